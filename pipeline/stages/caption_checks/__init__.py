"""Signs, in a caption itself, that the captioner failed: refusals, loops, cuts, leaks, filler, wrong language."""

from pipeline.stages.caption_checks.measure import check

__all__ = ["check"]
