"""Files to frames: one clock, one pass, and the frames of a clip at the times asked for."""
