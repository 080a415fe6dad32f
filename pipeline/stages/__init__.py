"""The stages, one idea a file: frozen settings in the recipe, pure functions on arrays, no Ray."""
