"""Signs, in a caption itself, that the captioner failed: refusals, loops, cuts, leaks, filler, wrong language."""

from pipeline.caption.checks.measure import check

__all__ = ["check"]
