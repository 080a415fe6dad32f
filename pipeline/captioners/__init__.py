"""Video captioners over an engine: clips in, a structured caption each out."""
