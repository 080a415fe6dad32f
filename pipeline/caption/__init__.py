"""Video captioners, over an engine or a network of their own: clips in, a structured caption each out."""
