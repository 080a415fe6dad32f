"""Prompt templates: TOML files with a version, which is part of the captioner's fingerprint."""
