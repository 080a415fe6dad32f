"""Video captioners behind one seam: clips in, a short and a detailed caption each out."""
