"""Measures of clips that the rules have left in: each reads some frames of a clip, most of them with a model."""
