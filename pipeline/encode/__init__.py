"""Released clips to latents, and their texts to embeddings, once for all epochs of training."""
