"""The fit of the built-in image-text model."""
