"""Releases: frozen selections of clips, balanced draws, and what differs between two of them."""
