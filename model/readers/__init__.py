"""Networks that read pictures and texts: open_clip models, CoCa, the captioner, text encoders."""
