"""A convolutional denoiser in the transformer's place, as a baseline."""
