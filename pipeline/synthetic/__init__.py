"""The synthetic corpus: clips and videos made from a seed, whose truth is known because it was drawn."""
