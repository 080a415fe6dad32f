"""Samples of any size packed into one token sequence, and the plan of which go together."""
