"""Duplicates: clips that show the same. Candidates by banded hashes, compared frame by frame, grouped, ranked."""
