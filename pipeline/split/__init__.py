"""Frames to shots, and shots to clips."""
