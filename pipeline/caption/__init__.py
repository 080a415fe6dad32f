"""Captions of clips: captioners and their backends, prompts, checks of what they wrote; expansion of prompts."""
