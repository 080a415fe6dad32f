"""The synthetic corpus: clips and videos drawn from a seed, so that what is true of them is known."""
