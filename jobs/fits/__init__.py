"""Fits of the small models under `model/weights`, each on the synthetic corpus alone."""
