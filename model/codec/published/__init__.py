"""Codecs of the library diffusers, with published weights: Wan, LTX-Video, CogVideoX."""
