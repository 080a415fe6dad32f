"""The texts of released clips that training may use."""

from __future__ import annotations

from pipeline.encode.wanted import training_texts
from pipeline.release.releases import Release


def release_texts(release: Release) -> set[str]:
    """All texts of a release that training may use."""
    return {text for row in release.clips.to_pylist() for text in training_texts(row).values()}
