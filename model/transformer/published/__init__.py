"""Published transformers as configurations of ours: their settings, and maps of their weights both ways."""
