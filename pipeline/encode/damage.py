"""Damaged files of latents and embeddings: found by reading them, set aside or left out, and so made anew.

An array that is not what was written costs its own row. A part file whose other columns cannot be read costs all its
rows, and would stop every reader of the table: it is renamed, which takes it out of the table and keeps it for a look.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa

from pipeline.encode.arrays import StoredArrays
from pipeline.encode.latents import OK
from pipeline.encode.places import unreadable
from pipeline.store.dataset import Dataset
from pipeline.store.pending import Released, bounded, take
from schemas import LATENTS, TEXT
from schemas.columns import Table

DAMAGED = ".damaged"
"""Behind the name of a part file that cannot be read."""


def unreadable_parts(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Part files of latents and embeddings whose columns beside the arrays cannot be read, each with why."""
    for table in (LATENTS, TEXT):
        for path in dataset.part_files(table.folder):
            if why := unreadable(dataset, table, path):
                yield path, why


def set_aside(dataset: Dataset) -> list[str]:
    """Rename the part files that cannot be read; returns what they are called now."""
    paths = [path for path, _ in unreadable_parts(dataset)]
    return [dataset.rename_file(path, path + DAMAGED) for path in paths]


def corrupt_latents(dataset: Dataset, released: Released, autoencoder: str) -> list[str]:
    """Clips of a release of which a latent by an autoencoder is not what was written; all are read.

    Args:
        released: with the columns `clip_id` and `transform`.
    """
    connection = bounded(dataset)
    take(connection, "released", released)
    newest = f"""
        select clip_id, transform, max(written_us) as written_us from latents_raw semi join released
        using (clip_id, transform) where encoder = '{autoencoder}' and status = '{OK}' group by all
        """
    return _corrupt(dataset, connection, LATENTS.within(autoencoder), newest, ["clip_id", "transform", "written_us"])


def corrupt_texts(dataset: Dataset, texts: Released, text_encoder: str) -> list[str]:
    """Ids of texts whose embedding by an encoder is not what was written; all are read.

    Args:
        texts: with the column `text_id`.
    """
    connection = bounded(dataset)
    take(connection, "wanted_texts", texts)
    newest = f"""
        select text_id, max(written_us) as written_us from text_raw semi join wanted_texts using (text_id)
        where encoder = '{text_encoder}' group by all
        """
    return _corrupt(dataset, connection, TEXT.within(text_encoder), newest, ["text_id", "written_us"])


def _corrupt(
    dataset: Dataset, connection: duckdb.DuckDBPyConnection, table: Table, newest: str, key: Sequence[str]
) -> list[str]:
    """File by file, so that no more than the index of one is in memory."""
    connection.execute(f"create or replace temp table newest_arrays as {newest}")
    found: list[str] = []
    for path in dataset.part_files(table.folder):
        connection.register("of_file", dataset.scanner(table, [path]).to_table(columns=list(key)))
        query = f"select distinct * from of_file semi join newest_arrays using ({', '.join(key)})"
        wanted: pa.Table = connection.sql(query).to_arrow_table()
        found += StoredArrays.of_table(dataset, table, wanted, paths=[path]).corrupt()
    connection.execute("drop table newest_arrays")
    return list(dict.fromkeys(found))
