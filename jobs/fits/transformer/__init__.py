"""The fit of the built-in diffusion transformer to synthetic clips, by the training loop of `reelmill train`."""
