"""Files to frames: the single pass over a video, and the frames of a clip at given times, both by one clock."""
