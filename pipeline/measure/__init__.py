"""Frames to numbers. A stream measure sees each frame of a video as it passes; a clip measure reads a clip again."""
