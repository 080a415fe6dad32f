"""What is missing in a data set, one function for each product: rows that are not there, or were made otherwise.

Everything else takes what these functions return as given. Products are known by fingerprints, which the caller gives:
what is there under another fingerprint counts as missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.ingest.byte_identical import mark_duplicates
from pipeline.ingest.inputs import ListedInput
from pipeline.store.active_recipe import active_recipe, last_run_broke_off
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import CLIPS, EMBEDDINGS, LATENTS, TEXT, VIDEOS
from schemas.recipe import Recipe
from schemas.tables.clips import FAILED, KEPT, REJECTED
from schemas.tables.latents import text_id

CLIP_POSITION = "clip_id, uri, shot_index, start_frame, num_frames, start_us, end_us"
CLIP_GEOMETRY = "clip_id, uri, start_us, end_us, is_image, num_frames, width, height, content_box"


@dataclass(frozen=True)
class PendingInputs:
    """Inputs that have no row. `orphans` are keys of clips that a killed run wrote without their video's row."""

    inputs: tuple[ListedInput, ...]
    orphans: frozenset[tuple] = frozenset()


def pending_inputs(dataset: Dataset, inputs: Sequence[ListedInput]) -> PendingInputs:
    """Inputs to scan: those of which the tables have no row with this size and time of modification."""
    videos = dataset.read(VIDEOS, [*VIDEOS.key, "video_id", "duplicate_of"]).to_pylist()
    done = {VIDEOS.key_of(row) for row in videos}
    missing = tuple(listed for listed in inputs if listed.key not in done)
    complete = {row["video_id"] for row in videos if row["duplicate_of"] is None}
    clips = dataset.read(CLIPS, ["clip_id", "video_id"]).to_pylist()
    orphans = frozenset((clip["clip_id"],) for clip in clips if clip["video_id"] not in complete)
    return PendingInputs(mark_duplicates(missing, videos), orphans)


@dataclass(frozen=True)
class PendingStreamMeasures:
    """Stream measures to take again, of clips of one video."""

    uri: str
    clips: tuple[dict[str, Any], ...]
    measures: Mapping[str, str]
    """Their names, with the fingerprint that each is to have."""


def pending_stream_measures(dataset: Dataset, fingerprints: Mapping[str, str]) -> list[PendingStreamMeasures]:
    """Clips whose stream measures were taken otherwise, by video and by what they lack."""
    groups: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
    for row in _lacking(dataset, CLIP_POSITION, fingerprints, "true"):
        groups[row["uri"], tuple(row.pop("needs").items())].append(row)
    return [PendingStreamMeasures(uri, tuple(clips), dict(needs)) for (uri, needs), clips in sorted(groups.items())]


def pending_clip_measures(dataset: Dataset, fingerprints: Mapping[str, str]) -> list[dict[str, Any]]:
    """Clips that no rule has rejected yet and that lack a clip measure: rows of `clips`, each with `needs`, the names
    of what it lacks with the fingerprint that each is to have."""
    if not fingerprints:
        return []
    return _lacking(dataset, CLIP_GEOMETRY, fingerprints, f"status not in ('{REJECTED}', '{FAILED}')")


def _lacking(dataset: Dataset, columns: str, fingerprints: Mapping[str, str], condition: str) -> list[dict[str, Any]]:
    """Clips that lack a measure, in the order of their ids."""
    names = list(fingerprints)
    lacks = " or ".join(f"has_{name} is distinct from ?" for name in names)
    clips = connect(dataset).sql(
        f"select {columns}, {', '.join(f'has_{name}' for name in names)} from scored "
        f"where {condition} and ({lacks}) order by clip_id",
        params=list(fingerprints.values()),
    )
    rows = []
    for row in clips.to_arrow_table().to_pylist():
        taken = {name: row.pop(f"has_{name}") for name in names}
        rows.append(row | {"needs": {name: fingerprints[name] for name in names if taken[name] != fingerprints[name]}})
    return rows


def present_embeddings(dataset: Dataset, clips: Iterable[Mapping[str, Any]]) -> frozenset[tuple]:
    """Keys of the embeddings that clips have, by whichever encoder."""
    clip_ids = {clip["clip_id"] for clip in clips}
    return frozenset(key for key in dataset.keys(EMBEDDINGS) if key[0] in clip_ids)


def groups_are_pending(dataset: Dataset, recipe: Recipe) -> bool:
    """Whether duplicates are to be grouped again even if no row has been added: the recipe is another, or the last run
    was killed before it had judged."""
    return active_recipe(dataset) != recipe or last_run_broke_off(dataset)


def pending_captions(dataset: Dataset, captioner: str) -> list[dict[str, Any]]:
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


def pending_latents(
    dataset: Dataset, clips: Iterable[Mapping[str, Any]], transform: str, autoencoder: str
) -> list[Mapping[str, Any]]:
    """Clips without a latent by this transform and autoencoder, failed or not."""
    present = dataset.keys(LATENTS.within(autoencoder))
    return [clip for clip in clips if (clip["clip_id"], transform, autoencoder) not in present]


def pending_texts(dataset: Dataset, texts: Iterable[str], text_encoder: str) -> list[str]:
    """Texts without an embedding by this encoder, each once, sorted."""
    present = dataset.keys(TEXT.within(text_encoder))
    return [text for text in sorted(set(texts)) if (text_id(text), text_encoder) not in present]
