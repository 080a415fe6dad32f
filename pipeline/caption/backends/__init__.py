"""The captioner backends, one file each, and what they share. `catalogue.py` lists them and chooses one."""
