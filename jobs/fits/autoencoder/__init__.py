"""The fit of the built-in video codec."""
