"""Inputs and where their bytes lie: lists, file systems, downloaded copies, the sandbox for untrusted decoding."""
