"""DuckDB over a data set: its tables and the views of `schemas/views.sql`."""

from __future__ import annotations

import os
import re
from importlib import resources

import duckdb

from pipeline.dataset import Dataset
from schemas import CAPTIONS, CLIPS, EMBEDDINGS, LATENTS, RELEASES, TEXT, VIDEOS
from schemas.columns import Table

QUERY_NAMES: dict[str, Table] = {
    "videos_raw": VIDEOS,
    "clips": CLIPS,
    "captions": CAPTIONS,
    "embeddings": EMBEDDINGS,
    "latents": LATENTS,
    "text": TEXT,
}


def connect(dataset: Dataset) -> duckdb.DuckDBPyConnection:
    """A connection in which every table of the data set, each release (`release_NAME`) and every view can be named."""
    connection = duckdb.connect()
    for name, table in QUERY_NAMES.items():
        connection.register(name, dataset.scanner(table))
    for path in dataset.part_files(RELEASES.folder):
        name = os.path.basename(path).removesuffix(".parquet")
        connection.register("release_" + re.sub(r"\W", "_", name), dataset.scanner(RELEASES, [path]))
    connection.execute((resources.files("schemas") / "views.sql").read_text())
    return connection


def funnel(dataset: Dataset) -> dict[str, int]:
    """Rows at each stage, in order."""
    return dict(connect(dataset).execute("select stage, rows from funnel").fetchall())


def reject_reasons(dataset: Dataset) -> list[tuple[str, int, int]]:
    """Reason, clips that it rejects, clips that it alone rejects; most frequent first."""
    return connect(dataset).execute("select reason, clips, only_reason from reject_reasons").fetchall()
