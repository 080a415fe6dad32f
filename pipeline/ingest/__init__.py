"""Inputs and where their bytes are: lists, file systems, downloaded copies, the sandbox for untrusted decoding."""
