"""Borders of a picture within its frame: how a frame shows them, and what many frames say of them together."""
