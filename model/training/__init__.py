"""One training run: examples, a step, the loop, validation, weight averages, checkpoints. No Ray here."""
