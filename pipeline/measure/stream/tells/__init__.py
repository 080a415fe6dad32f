"""Tells: signs that a clip is not footage, such as colour bars, countdowns, slideshows and screen recordings."""
