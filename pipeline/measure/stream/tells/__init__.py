"""Marks of what is no footage: black, colour bars, countdown leaders, slideshows, recorded screens, too many cuts."""
