"""Clips that show the same: candidates by banded hashes, verified frame by frame, grouped, ranked."""
