"""The diffusion transformer on packed tokens: blocks, attention layouts, positions, conditioning."""
