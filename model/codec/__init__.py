"""Video to latents and back: the causal autoencoder."""
