"""What is still to be done in a data set: inputs without a row, clips without a caption, files that are copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset import Dataset
from pipeline.filesystems import local_copy
from pipeline.listing import ListedInput
from schemas import CAPTIONS, CLIPS, EMBEDDINGS, VIDEOS
from schemas.clips import KEPT
from schemas.identity import ID_HEX_CHARS

HASH_THREADS = 8


@dataclass(frozen=True)
class Pending:
    """The work that is left. `orphans` are clips whose video has no row; `embedded`, embeddings without a caption."""

    inputs: tuple[ListedInput, ...]
    uncaptioned: tuple[dict[str, Any], ...] = ()
    orphans: frozenset[tuple] = frozenset()
    embedded: frozenset[tuple] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.inputs or self.uncaptioned)


def find_pending(dataset: Dataset, inputs: Sequence[ListedInput], captioner: str | None) -> Pending:
    """Compare inputs and tables. `captioner` is a captioner's fingerprint, or None if captions are not wanted."""
    videos = dataset.read(VIDEOS, [*VIDEOS.key, "video_id", "duplicate_of"]).to_pylist()
    done = {VIDEOS.key_of(row) for row in videos}
    fresh = tuple(listed for listed in inputs if listed.key not in done)
    complete = {row["video_id"] for row in videos if row["duplicate_of"] is None}
    clips = dataset.read(CLIPS)
    orphans = frozenset(
        (clip_id,)
        for clip_id, video_id in zip(clips["clip_id"].to_pylist(), clips["video_id"].to_pylist(), strict=True)
        if video_id not in complete
    )
    uncaptioned = _uncaptioned(dataset, clips, orphans, captioner) if captioner is not None else ()
    waiting = {clip["clip_id"] for clip in uncaptioned}
    embedded = frozenset(key for key in dataset.keys(EMBEDDINGS) if key[0] in waiting) if waiting else frozenset()
    return Pending(mark_copies(fresh, videos), uncaptioned, orphans, embedded)


def _uncaptioned(
    dataset: Dataset, clips: pa.Table, orphans: frozenset[tuple], captioner: str
) -> tuple[dict[str, Any], ...]:
    captioned = {clip_id for clip_id, fingerprint in dataset.keys(CAPTIONS) if fingerprint == captioner}
    kept = clips.filter(pc.field("status") == KEPT).to_pylist()
    return tuple(c for c in kept if c["clip_id"] not in captioned and (c["clip_id"],) not in orphans)


def mark_copies(inputs: Sequence[ListedInput], videos: Iterable[dict[str, Any]]) -> tuple[ListedInput, ...]:
    """Mark inputs that have the bytes of an earlier one, so that their clips are made once.

    Only files of the same size can be copies, so only those are read here, before the graph starts; the first in order
    is the original, whatever order the graph then works in.
    """
    originals: dict[str, str] = {}
    sizes: dict[int, int] = defaultdict(int)
    for row in videos:
        sizes[row["file_bytes"]] += 1
        if row["video_id"] and row["duplicate_of"] is None:
            originals.setdefault(row["video_id"], row["uri"])
    for listed in inputs:
        sizes[listed.file_bytes] += 1
    alike = [listed for listed in inputs if listed.file_bytes > 0 and sizes[listed.file_bytes] > 1]
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        hashes = dict(zip([listed.uri for listed in alike], pool.map(_hash, [x.uri for x in alike]), strict=True))
    marked = []
    for listed in inputs:
        video_id = hashes.get(listed.uri)
        original = originals.setdefault(video_id, listed.uri) if video_id else listed.uri
        marked.append(listed if original == listed.uri else replace(listed, duplicate_of=original))
    return tuple(marked)


def _hash(uri: str) -> str | None:
    try:
        with local_copy(uri) as local:
            return local.sha256[:ID_HEX_CHARS]
    except OSError:
        return None
