"""Samples of any size packed into one token sequence: patches, packs, and the plan of which samples go together."""
