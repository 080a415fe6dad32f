"""Measures of the decode pass: each takes frames as they pass, and gives its columns for any span of them."""
