"""Releases: frozen selections of clips, balanced samples, and what differs between two of them."""
