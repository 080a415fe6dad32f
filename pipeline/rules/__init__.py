"""Scores in, decisions out: the rules of a recipe over stored numbers. No video is opened and no model asked."""
