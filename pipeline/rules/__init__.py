"""Rules: from stored scores to decisions. No video is read and no model is run."""
