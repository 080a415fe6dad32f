"""What is missing in a data set, one function for each product: rows that are not there, or were made otherwise.

Everything else takes what these functions return as given: plans, which do not come into memory. Products are known by
fingerprints, which the caller gives: what is there under another fingerprint counts as missing. So does what failed and
may pass (`retrying.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

import duckdb
import pyarrow as pa

from pipeline.store.active_recipe import active_recipe, last_run_broke_off
from pipeline.store.dataset import Dataset
from pipeline.store.plans import Plan, Row, as_it_is, write_plan
from pipeline.store.portions import bounded, gather
from pipeline.store.retrying import Retrying
from schemas import CAPTIONS
from schemas.recipe import Recipe
from schemas.recipe.caption import CaptionConfig
from schemas.tables.clips import FAILED, KEPT, REJECTED

Released: TypeAlias = pa.Table | pa.RecordBatchReader
"""Rows of a release, in memory or as they come."""
CLIP_POSITION = "clip_id, uri, shot_index, start_frame, num_frames, start_us, end_us"
CLIP_GEOMETRY = "clip_id, uri, start_us, end_us, is_image, num_frames, width, height, content_box, regular"
BY_TIME = "start_us, clip_id"


def pending_stream_measures(dataset: Dataset, fingerprints: Mapping[str, str], retrying: Retrying) -> Plan:
    """Clips whose stream measures were taken otherwise, as `_lacking` gives them."""
    return _lacking(dataset, CLIP_POSITION, fingerprints, retrying, "true")


def pending_clip_measures(dataset: Dataset, fingerprints: Mapping[str, str], retrying: Retrying) -> Plan:
    """Clips that no rule has rejected yet and that lack a clip measure, as `_lacking` gives them."""
    still_in = f"status <> '{REJECTED}'" if retrying.all_failures else f"status not in ('{REJECTED}', '{FAILED}')"
    return _lacking(dataset, CLIP_GEOMETRY, fingerprints, retrying, still_in)


def _lacking(
    dataset: Dataset, columns: str, fingerprints: Mapping[str, str], retrying: Retrying, condition: str
) -> Plan:
    """Clips that lack a measure; each with `needs`, the names of what it lacks with the fingerprint that each is to
    have, and `failures`, how often each has failed."""
    needs = []
    for name, fingerprint in fingerprints.items():
        failed = f"failed_{name}"
        lacks = (
            f"has_{name} is distinct from '{fingerprint}' and "
            f"({failed}.measure is distinct from '{fingerprint}' or {retrying.condition(failed)})"
        )
        before = f"if({failed}.measure = '{fingerprint}', coalesce({failed}.num_failures, 0), 0)"
        facts = f"{{'name': '{name}', 'fingerprint': '{fingerprint}', 'failures': {before}::int}}"
        needs.append(f"if({lacks}, {facts}, null)")
    listed = f"list_filter([{', '.join(needs)}], lambda need: need is not null)" if needs else "[]"
    query = f"""
        select * from (
            select {columns}, {listed} as needs from scored join video_locations using (video_id) where {condition}
        ) where len(needs) > 0
        """
    return _plan_of_clips(dataset, query, _with_needs)


def _plan_of_clips(dataset: Dataset, query: str, decode: Callable[[Row], Row] = as_it_is) -> Plan:
    """The plan of a query that `gather` can ask."""
    with bounded(dataset) as connection:
        gather(connection, "gathered", query)
        return write_plan(dataset, connection, "from gathered", order=BY_TIME, decode=decode)


def _with_needs(row: Row) -> Row:
    needs = row["needs"]
    return row | {
        "needs": {need["name"]: need["fingerprint"] for need in needs},
        "failures": {need["name"]: need["failures"] for need in needs},
    }


def groups_are_pending(dataset: Dataset, recipe: Recipe) -> bool:
    """Whether duplicates are to be grouped again even if no row has been added: the recipe is another, or the last run
    was killed before it had judged."""
    return active_recipe(dataset) != recipe or last_run_broke_off(dataset)


def pending_captions(dataset: Dataset, config: CaptionConfig, captioner: str, retrying: Retrying) -> Plan:
    """Kept clips without a caption by this captioner, accepted or not, of the frames and hints that it has now.

    Each comes with its newest embedding where there is one, what was measured that captions are checked against, what
    came with its source, and how often captioning it has failed.
    """
    failed = "(o.failure is not null or coalesce(o.transient, false))"
    said = [
        *(["camera_motion", "camera_confidence", "overlay_texts"] if config.hints else []),
        *(["p.source"] if config.rewrite else []),
    ]
    given = f"md5(to_json(row({', '.join(said)}))::varchar)" if said else "''"
    query = f"""
        select {CLIP_GEOMETRY}, encoder, embedding, p.source,
               camera_motion, camera_strength, camera_confidence, overlay_texts,
               if(is_other, 0, coalesce(o.num_failures, 0)) as failures, {given} as given
        from (select *, '{captioner}' as captioner from clips) c
        left join embeddings e using (clip_id, encoder) join video_locations p using (video_id)
        left join newest_captions o using (clip_id, captioner),
        lateral (select coalesce(o.shown_box <> c.content_box::int[] or o.given <> {given}, false) as is_other)
        where c.status = '{KEPT}' and (o.clip_id is null or is_other or {failed} and {retrying.condition("o")})
        """
    return _plan_of_clips(dataset, query)


def pending_caption_checks(dataset: Dataset, version: int) -> Plan:
    """Captions of clips that stand whose checks were made by code of another version: rows of `captions`.

    A caption that could not be made again for now keeps its count of failures, which is that of its newest row.
    """
    kept = ", ".join(f"s.{name}" for name in CAPTIONS.unstamped_names if name not in ("transient", "num_failures"))
    query = f"""
        select {kept}, n.transient, n.num_failures, c.uri, c.start_us
        from standing_captions s join newest_captions n using (clip_id, captioner) join clip_statuses c using (clip_id)
        where s.failure is null and s.checks_version is distinct from {version}
        """
    return _plan_of_clips(dataset, query)


def pending_latents(
    dataset: Dataset,
    released: Released,
    autoencoder: str,
    retrying: Retrying,
    corrupt: Collection[str] = (),
) -> Plan:
    """Rows of a release without a latent by their `transform` and the autoencoder; each with how often that failed.

    Args:
        released: columns of `ReleaseClip`, `transform`, and `frame` where single frames are wanted.
        corrupt: clips whose latents do not count.
    """
    with bounded(dataset, OF_A_RELEASE) as connection:
        query = latents_query(connection, released, autoencoder, retrying, corrupt)
        return write_plan(dataset, connection, query, order=BY_TIME)


def latents_query(
    connection: duckdb.DuckDBPyConnection,
    released: Released,
    autoencoder: str,
    retrying: Retrying,
    corrupt: Collection[str] = (),
) -> str:
    """SQL, on a connection to the data set, of what `pending_latents` plans."""
    take(connection, "released", released)
    take(connection, "corrupt_clips", pa.table({"clip_id": pa.array(corrupt, pa.string())}))
    return f"""
        select r.*, coalesce(l.num_failures, 0) as failures, coalesce(p.regular, false) as regular
        from released r
        left join (
            select clip_id, transform, status, transient, num_failures, run_id
            from latents where encoder = '{autoencoder}'
        ) l using (clip_id, transform)
        left join (select distinct clip_id, video_id from clips_raw) c using (clip_id)
        left join video_locations p on p.video_id = c.video_id
        where l.clip_id is null or r.clip_id in (from corrupt_clips)
            or l.status = '{FAILED}' and {retrying.condition("l")}
        """


TEXTS_TOGETHER = 256
"""Texts that are embedded together: a group of rows of the plan of texts."""


def pending_texts(dataset: Dataset, texts: Released, text_encoder: str, corrupt: Collection[str] = ()) -> Plan:
    """Texts without an embedding by this encoder, each once, the longest first in groups that are embedded together.

    Args:
        texts: columns `text_id` and `text`; a text may come several times.
        corrupt: ids of texts whose embedding does not count.
    """
    group = f"((row_number() over (order by length(text) desc, text_id) - 1) // {TEXTS_TOGETHER})"
    with bounded(dataset, OF_A_RELEASE) as connection:
        missing = texts_query(connection, texts, text_encoder, corrupt)
        query = f"select *, printf('%012d', {group}) as uri from ({missing})"
        return write_plan(dataset, connection, query, order="text_id")


def texts_query(
    connection: duckdb.DuckDBPyConnection, texts: Released, text_encoder: str, corrupt: Collection[str] = ()
) -> str:
    """SQL, on a connection to the data set, of what `pending_texts` plans, without the groups."""
    take(connection, "wanted_texts", texts)
    take(connection, "corrupt_texts", pa.table({"text_id": pa.array(corrupt, pa.string())}))
    return f"""
        select text_id, any_value(text) as text from wanted_texts t
        where text_id in (from corrupt_texts)
            or not exists (from text_raw x where x.text_id = t.text_id and x.encoder = '{text_encoder}')
        group by text_id
        """


OF_A_RELEASE = "256MiB"
"""Of DuckDB's own memory for what grows with a release; it keeps the rest in temporary files. A choice."""


def take(connection: duckdb.DuckDBPyConnection, name: str, rows: Released) -> None:
    """Make a table of rows that come in batches: they can be read once, and DuckDB keeps on a disk what is too much."""
    connection.register("coming", rows)
    connection.execute(f"create or replace temp table {name} as from coming")
    connection.unregister("coming")
