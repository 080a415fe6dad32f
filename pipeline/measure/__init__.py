"""Frames to numbers. A stream measure sees the frames of a video as they pass; a clip measure reads a clip again."""
