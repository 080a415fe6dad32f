"""Technical quality: light, colour, detail, noise, blocks, interlacing, repeated frames and flicker."""
