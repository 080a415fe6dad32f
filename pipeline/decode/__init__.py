"""Files to frames: the single pass over a video, and the frames of a clip at given times, both by one clock."""

VERSION = 2
"""Raised when the code shows other pictures or gives other times: whatever is made of frames is then made again."""
