"""Video to latents and back: the causal autoencoder and its bottleneck."""
