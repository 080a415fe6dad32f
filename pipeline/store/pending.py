"""What is missing in a data set, one function for each product: rows that are not there, or were made otherwise.

Everything else takes what these functions return as given. Products are known by fingerprints, which the caller gives:
what is there under another fingerprint counts as missing. So does what failed and may pass (`retrying.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.store.active_recipe import active_recipe, last_run_broke_off
from pipeline.store.dataset import Dataset
from pipeline.store.retrying import Retrying
from pipeline.store.views import connect
from schemas import TEXT
from schemas.recipe import Recipe
from schemas.recipe.caption import CaptionConfig
from schemas.tables.clips import FAILED, KEPT, REJECTED
from schemas.tables.latents import text_id

CLIP_POSITION = "clip_id, uri, shot_index, start_frame, num_frames, start_us, end_us"
CLIP_GEOMETRY = "clip_id, uri, start_us, end_us, is_image, num_frames, width, height, content_box, regular"


@dataclass(frozen=True)
class PendingStreamMeasures:
    """Stream measures to take again, of clips of one video."""

    uri: str
    clips: tuple[dict[str, Any], ...]
    measures: Mapping[str, str]
    """Their names, with the fingerprint that each is to have. Each clip has `failures`, how often each has failed."""


def pending_stream_measures(
    dataset: Dataset, fingerprints: Mapping[str, str], retrying: Retrying
) -> list[PendingStreamMeasures]:
    """Clips whose stream measures were taken otherwise, by video and by what they lack."""
    groups: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
    for row in _lacking(dataset, CLIP_POSITION, fingerprints, retrying, "true"):
        groups[row["uri"], tuple(row.pop("needs").items())].append(row)
    return [PendingStreamMeasures(uri, tuple(clips), dict(needs)) for (uri, needs), clips in sorted(groups.items())]


def pending_clip_measures(
    dataset: Dataset, fingerprints: Mapping[str, str], retrying: Retrying
) -> list[dict[str, Any]]:
    """Clips that no rule has rejected yet and that lack a clip measure: rows of `clips`, each with `needs`, the names
    of what it lacks with the fingerprint that each is to have, and `failures`, how often each has failed."""
    if not fingerprints:
        return []
    still_in = f"status <> '{REJECTED}'" if retrying.all_failures else f"status not in ('{REJECTED}', '{FAILED}')"
    return _lacking(dataset, CLIP_GEOMETRY, fingerprints, retrying, still_in)


def _lacking(
    dataset: Dataset, columns: str, fingerprints: Mapping[str, str], retrying: Retrying, condition: str
) -> list[dict[str, Any]]:
    """Clips that lack a measure, in the order of their ids."""
    names = list(fingerprints)
    lacks = [
        f"(has_{name} is distinct from '{fingerprint}' and "
        f"(failed_{name}.measure is distinct from '{fingerprint}' or {retrying.condition(f'failed_{name}')})) "
        f"as lacks_{name}, if(failed_{name}.measure = '{fingerprint}', failed_{name}.num_failures, 0) as num_{name}"
        for name, fingerprint in fingerprints.items()
    ]
    some = " or ".join(f"lacks_{name}" for name in names)
    clips = connect(dataset).sql(
        f"from (select {columns}, {', '.join(lacks)} from scored join video_locations using (video_id) "
        f"where {condition}) where {some} order by clip_id"
    )
    rows = []
    for row in clips.to_arrow_table().to_pylist():
        lacking = [name for name in names if row.pop(f"lacks_{name}")]
        failures = {name: row.pop(f"num_{name}") or 0 for name in names}
        needs = {name: fingerprints[name] for name in lacking}
        rows.append(row | {"needs": needs, "failures": {name: failures[name] for name in lacking}})
    return rows


def groups_are_pending(dataset: Dataset, recipe: Recipe) -> bool:
    """Whether duplicates are to be grouped again even if no row has been added: the recipe is another, or the last run
    was killed before it had judged."""
    return active_recipe(dataset) != recipe or last_run_broke_off(dataset)


def pending_captions(
    dataset: Dataset, config: CaptionConfig, captioner: str, retrying: Retrying
) -> list[dict[str, Any]]:
    """Kept clips without a caption by this captioner, accepted or not, of the frames and hints that it has now.

    Each comes with its newest embedding where there is one, what was measured that captions are checked against, what
    came with its source, and how often captioning it has failed.
    """
    failed = f"(o.status = '{FAILED}' or coalesce(o.transient, false))"
    said = [
        *(["camera_motion", "camera_confidence", "overlay_texts"] if config.hints else []),
        *(["p.source"] if config.rewrite else []),
    ]
    given = f"md5(to_json(row({', '.join(said)}))::varchar)" if said else "''"
    rows = connect(dataset).sql(
        f"""
        select {CLIP_GEOMETRY}, encoder, embedding, p.source,
               camera_motion, camera_strength, camera_confidence, overlay_texts,
               coalesce(o.shown_box <> c.content_box::int[] or o.given <> {given}, false) as is_other,
               if(is_other, 0, coalesce(o.num_failures, 0)) as failures, {given} as given
        from clips c left join embeddings e using (clip_id, encoder) join video_locations p using (video_id)
        left join (select * from newest_captions where captioner = ?) o using (clip_id)
        where c.status = '{KEPT}' and (o.clip_id is null or is_other or {failed} and {retrying.condition("o")})
        order by clip_id
        """,
        params=[captioner],
    )
    return rows.to_arrow_table().drop_columns(["is_other"]).to_pylist()


def pending_latents(
    dataset: Dataset, clips: Iterable[Mapping[str, Any]], autoencoder: str, retrying: Retrying
) -> list[dict[str, Any]]:
    """Clips of a release without a latent by their `transform` and the autoencoder; each with how often that failed."""
    clips = list(clips)
    connection = connect(dataset)
    names = ("clip_id", "transform")
    connection.register("released", pa.table({n: pa.array([clip[n] for clip in clips], pa.string()) for n in names}))
    found = connection.execute(
        f"""
        select r.clip_id, coalesce(l.num_failures, 0), coalesce(p.regular, false)
        from released r left join (select * from latents where encoder = ?) l using (clip_id, transform)
        left join newest_clips c using (clip_id) left join video_locations p on p.video_id = c.video_id
        where l.clip_id is null or l.status = '{FAILED}' and {retrying.condition("l")}
        """,
        [autoencoder],
    ).fetchall()
    pending = {clip_id: {"failures": failures, "regular": regular} for clip_id, failures, regular in found}
    return [dict(clip) | pending[clip["clip_id"]] for clip in clips if clip["clip_id"] in pending]


def pending_texts(dataset: Dataset, texts: Iterable[str], text_encoder: str) -> list[str]:
    """Texts without an embedding by this encoder, each once, sorted."""
    present = dataset.keys(TEXT.within(text_encoder))
    return [text for text in sorted(set(texts)) if (text_id(text), text_encoder) not in present]
