"""Input and output of `reelmill sample`: the picture or video that it starts from, and the file that it writes."""
