"""What training knows of the samples of a release before it reads one: where their latents and texts lie.

DuckDB joins the release's file with the newest latents and embeddings. The tables that come of it follow from the
release, the settings and the part files, and are made once for these (`kept_tables`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.dataset

from pipeline.encode.arrays import StoredArrays
from pipeline.encode.kept_tables import kept_tables
from pipeline.encode.latents import OK, clip_transform
from pipeline.encode.places import PLACE, gather_places, newest_of_each
from pipeline.encode.wanted import FACTS, KINDS, wanted_clips, wanted_samples
from pipeline.store.dataset import Dataset
from pipeline.store.pending import take
from schemas import LATENTS, TEXT
from schemas.columns import Table
from schemas.identity import digest

FOLDER = "indexes"
VERSION = 3
"""Raised when other rows or columns are in the tables."""
ARRAY = {"dtype": pa.string(), "shape": pa.list_(pa.int32()), "data_hash": pa.string(), **PLACE}
TEXTS = pa.schema({"text_id": pa.string(), **ARRAY})
CLIPS = pa.schema(
    {
        "clip_id": pa.string(),
        **ARRAY,
        **FACTS,
        "valid": pa.list_(pa.int32()),
        "fps": pa.float64(),
        **dict.fromkeys(KINDS, pa.int32()),
    }
)
"""The last ones say which row of the texts each kind of text is, null where the clip has none that is embedded."""

FRAMES = pa.schema({"clip_id": pa.string(), **ARRAY})


@dataclass(frozen=True)
class TrainingIndex:
    """The latents of a release's clips, by clip, and the embeddings of their texts, by text; none is read."""

    clips: StoredArrays
    """With the columns `CLIPS`."""
    texts: StoredArrays
    frames: Mapping[str, StoredArrays]
    """Latents of single frames by clip, for each that was asked for."""


def training_index(
    dataset: Dataset,
    released: pa.dataset.Dataset,
    content_hash: str,
    transform: str,
    autoencoder: str,
    text_encoder: str,
    single_frames: Sequence[str] = (),
) -> TrainingIndex:
    """The newest latent of each clip of a release, and the newest embedding of each of their texts.

    Args:
        released: the rows of the release.
        content_hash: of these rows.
        transform: of the settings (`EncodeConfig.transform`).
        autoencoder, text_encoder: their fingerprints.
        single_frames: of which the latents are wanted too, where there are some.
    Raises:
        CorruptArray: a part file's columns cannot be read.
    """
    latents, texts = LATENTS.within(autoencoder), TEXT.within(text_encoder)
    latent_parts, text_parts = _parts(dataset, latents), _parts(dataset, texts)

    def make(connection: duckdb.DuckDBPyConnection) -> Mapping[str, str]:
        take(connection, "wanted", wanted_samples(released, transform))
        of_latents = ("clip_id", "transform", "status", "valid", "fps")
        gather_places(connection, "latent_places", dataset, latents, list(latent_parts), of_latents)
        gather_places(connection, "text_places", dataset, texts, list(text_parts), ["text_id"])
        connection.execute(f"create temp table texts as {TEXTS_QUERY}")
        take(connection, "wanted_latents", wanted_clips(released, transform, single_frames))
        of_frames = {f"frames-{frame}": FRAME_QUERY.format(frame) for frame in single_frames}
        of_texts = f"select {', '.join(TEXTS.names)} from texts order by text_id"
        return {"clips": CLIPS_QUERY, "texts": of_texts} | of_frames

    latents_of_now = clip_transform({"content_box": ()}, transform)
    made_by = digest(VERSION, latents_of_now, autoencoder, text_encoder, sorted(single_frames))
    key = digest(sorted(_named(latents, latent_parts)), sorted(_named(texts, text_parts)))
    folder = f"{FOLDER}/{content_hash}-{made_by}"
    schemas = {"clips": CLIPS, "texts": TEXTS} | {f"frames-{frame}": FRAMES for frame in single_frames}
    tables = kept_tables(dataset, folder, key, schemas, make)
    return TrainingIndex(
        StoredArrays(dataset, list(latent_parts), tables["clips"]),
        StoredArrays(dataset, list(text_parts), tables["texts"]),
        {frame: StoredArrays(dataset, list(latent_parts), tables[f"frames-{frame}"]) for frame in single_frames},
    )


OF_WANTED_TEXTS = (
    f"(from text_places semi join (select unnest([{', '.join(KINDS)}]) as text_id from wanted) using (text_id))"
)
TEXTS_QUERY = f"""
    select *, (row_number() over (order by text_id) - 1)::int as place
    from ({newest_of_each(OF_WANTED_TEXTS, "text_id")})
    """
OF_WANTED_CLIPS = f"(from latent_places semi join wanted using (clip_id, transform) where status = '{OK}')"
OF_FRAME = f"""(
        from latent_places semi join (from wanted_latents where frame = '{{}}') using (clip_id, transform)
        where status = '{OK}'
    )"""
FRAME_QUERY = f"select {', '.join(FRAMES.names)} from ({newest_of_each(OF_FRAME, 'clip_id')}) order by clip_id"
CLIPS_QUERY = f"""
    select {", ".join(f"{'w' if name in FACTS else 'l'}.{name}" for name in CLIPS.names if name not in KINDS)},
           {", ".join(f"of_{kind}.place as {kind}" for kind in KINDS)}
    from ({newest_of_each(OF_WANTED_CLIPS, "clip_id")}) l join wanted w using (clip_id)
    {" ".join(f"left join texts of_{kind} on of_{kind}.text_id = w.{kind}" for kind in KINDS)}
    order by clip_id
    """


def _parts(dataset: Dataset, table: Table) -> dict[str, int]:
    """The part files of a table with their sizes, by path, sorted."""
    return {path: size for _, sizes in dataset.parts(table) for path, size in sizes.items()}


def _named(table: Table, parts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The same by names within the table's folder, wherever the data set lies."""
    return [(path.rpartition(f"{table.folder}/")[2], size) for path, size in parts.items()]
