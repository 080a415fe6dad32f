"""Networks, diffusion and training on torch alone: runs where there is no Ray, and raises ValueError."""
