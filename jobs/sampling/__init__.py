"""Around sampling: the picture or video that a sample starts from, and sampled frames to files."""
