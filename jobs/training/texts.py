"""The texts of released clips that training may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.caption.source_text import title_of
from pipeline.release.releases import Release


def training_texts(row: Mapping[str, Any]) -> dict[str, str]:
    """The texts of a released clip by their names in `TextMix`; one that a clip lacks is left out."""
    texts = {name: row.get(name) for name in ("detailed", "medium", "short")} | {"original": title_of(row["source"])}
    return {name: text for name, text in texts.items() if text}


def release_texts(release: Release) -> set[str]:
    """All texts of a release that training may use."""
    return {text for row in release.clips.to_pylist() for text in training_texts(row).values()}
