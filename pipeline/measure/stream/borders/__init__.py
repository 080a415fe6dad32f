"""Borders of a picture within its frame: the lines that a frame shows, what many frames tell, and one frame alone."""
