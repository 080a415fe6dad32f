"""The fit of the built-in captioner."""
