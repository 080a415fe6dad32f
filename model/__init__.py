"""Networks, diffusion and training on torch alone.

It runs where there is no Ray. A setting or a file that cannot be used is a ValueError; `jobs` says which recipe key or
argument it came from.
"""
