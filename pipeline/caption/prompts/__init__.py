"""Prompt templates: TOML files with a version. A template is part of the captioner's fingerprint."""
