"""The fits that produce the small models under `model/weights`, each on synthetic clips only."""
