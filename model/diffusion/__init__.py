"""Diffusion as small modules on independent axes: path, sampler, guidance, task."""
