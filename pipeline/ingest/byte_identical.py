"""Inputs with the same bytes as another one, found before any of them is decoded, so that their clips are made once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from pipeline.ingest.filesystems import local_copy
from pipeline.ingest.inputs import ListedInput
from schemas.identity import ID_HEX_CHARS

HASH_THREADS = 8


def mark_duplicates(inputs: Sequence[ListedInput], videos: Iterable[Mapping[str, Any]]) -> tuple[ListedInput, ...]:
    """The inputs, those marked that have the bytes of an earlier one or of a video in the tables.

    Only files of the same size can have the same bytes, so only those are read. The first in order is the original,
    whatever order they are scanned in.

    Args:
        videos: rows of `videos`: video_id, uri, file_bytes and duplicate_of.
    """
    originals: dict[str, str] = {}
    sizes: dict[int, int] = defaultdict(int)
    for row in videos:
        sizes[row["file_bytes"]] += 1
        if row["video_id"] and row["duplicate_of"] is None:
            originals.setdefault(row["video_id"], row["uri"])
    for listed in inputs:
        sizes[listed.file_bytes] += 1
    alike = [listed.uri for listed in inputs if listed.file_bytes > 0 and sizes[listed.file_bytes] > 1]
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        video_ids = dict(zip(alike, pool.map(_video_id, alike), strict=True))
    marked = []
    for listed in inputs:
        video_id = video_ids.get(listed.uri)
        original = originals.setdefault(video_id, listed.uri) if video_id else listed.uri
        marked.append(listed if original == listed.uri else replace(listed, duplicate_of=original))
    return tuple(marked)


def _video_id(uri: str) -> str | None:
    """The hash of a file's bytes; None if they cannot be read, which scanning reports."""
    try:
        with local_copy(uri) as local:
            return local.sha256[:ID_HEX_CHARS]
    except OSError:
        return None
