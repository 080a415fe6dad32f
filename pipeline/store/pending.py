"""What is still to be done in a data set: inputs without a row, measures not taken, clips without a caption."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from pipeline.ingest.filesystems import local_copy
from pipeline.ingest.inputs import ListedInput
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import CLIPS, VIDEOS
from schemas.identity import ID_HEX_CHARS
from schemas.tables.clips import FAILED, KEPT, REJECTED

HASH_THREADS = 8


@dataclass(frozen=True)
class PendingInputs:
    """Inputs that have no row. `orphans` are keys of clips that a killed run wrote without their video's row."""

    inputs: tuple[ListedInput, ...]
    orphans: frozenset[tuple] = frozenset()


def pending_inputs(dataset: Dataset, inputs: Sequence[ListedInput]) -> PendingInputs:
    """Compare inputs and tables."""
    videos = dataset.read(VIDEOS, [*VIDEOS.key, "video_id", "duplicate_of"]).to_pylist()
    done = {VIDEOS.key_of(row) for row in videos}
    fresh = tuple(listed for listed in inputs if listed.key not in done)
    complete = {row["video_id"] for row in videos if row["duplicate_of"] is None}
    clips = dataset.read(CLIPS, ["clip_id", "video_id"]).to_pylist()
    orphans = frozenset((clip["clip_id"],) for clip in clips if clip["video_id"] not in complete)
    return PendingInputs(mark_copies(fresh, videos), orphans)


@dataclass(frozen=True)
class Remeasuring:
    """Measures of the decode pass to take again, of clips of one video."""

    uri: str
    clips: tuple[dict[str, Any], ...]
    measures: tuple[str, ...]


def to_remeasure(dataset: Dataset, wanted: Mapping[str, str]) -> list[Remeasuring]:
    """Clips whose scores were not taken with the wanted fingerprints, by video and by what they lack."""
    names = list(wanted)
    columns = ", ".join(f"has_{name}" for name in names)
    lacks = " or ".join(f"has_{name} is distinct from ?" for name in names)
    rows = connect(dataset).sql(
        f"select {CLIP_POSITION}, {columns} from scored where {lacks}", params=[wanted[name] for name in names]
    )
    groups: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.to_arrow_table().to_pylist():
        lacking = tuple(name for name in names if row[f"has_{name}"] != wanted[name])
        groups[row["uri"], lacking].append(row)
    return [Remeasuring(uri, tuple(clips), lacking) for (uri, lacking), clips in sorted(groups.items())]


CLIP_POSITION = "clip_id, uri, shot_index, start_frame, num_frames, start_us, end_us"


def to_measure(dataset: Dataset, wanted: Mapping[str, str]) -> list[dict[str, Any]]:
    """Clips still in that lack a clip measure: rows of `clips`, each with `needs`, the names of what it lacks."""
    if not wanted:
        return []
    names = list(wanted)
    clips = connect(dataset).sql(
        f"select {CLIP_GEOMETRY}, {', '.join(f'has_{name}' for name in names)} from scored "
        f"where status not in ('{REJECTED}', '{FAILED}') order by clip_id"
    )
    rows = []
    for row in clips.to_arrow_table().to_pylist():
        needs = [name for name in names if row.pop(f"has_{name}") != wanted[name]]
        if needs:
            rows.append(row | {"needs": needs})
    return rows


CLIP_GEOMETRY = "clip_id, uri, start_us, end_us, is_image, num_frames, width, height, content_box"


def to_caption(dataset: Dataset, captioner: str) -> list[dict[str, Any]]:
    """Kept clips without a caption by this captioner, accepted or not.

    Each comes with its newest embedding where there is one, what was measured that captions are checked against, and
    what came with its source.
    """
    rows = connect(dataset).sql(
        f"""
        select {CLIP_GEOMETRY}, encoder, embedding, source,
               camera_motion, camera_strength, camera_confidence, overlay_texts
        from clips left join embeddings using (clip_id, encoder) join video_locations using (video_id)
        where status = '{KEPT}' and clip_id not in (select clip_id from captions_raw where captioner = ?)
        order by clip_id
        """,
        params=[captioner],
    )
    return rows.to_arrow_table().to_pylist()


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
