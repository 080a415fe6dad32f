"""The fit of the built-in CoCa."""
