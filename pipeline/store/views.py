"""DuckDB over a data set: its tables and the views of `schemas/views.sql`."""

from __future__ import annotations

import os
import re
from importlib import resources

import duckdb
import pyarrow as pa
import pyarrow.dataset

from pipeline.store.dataset import Dataset
from schemas import CAPTION_DECISIONS, CAPTIONS, CLIPS, DECISIONS, EMBEDDINGS, LATENTS, MEASURES, RELEASES, TEXT, VIDEOS
from schemas.columns import Table, arrow_fields
from schemas.tables.duplicates import DUPLICATES
from schemas.tables.measures import CLIP_MEASURES, STREAM_MEASURES

QUERY_NAMES: dict[str, Table] = {
    "videos_raw": VIDEOS,
    "clips_raw": CLIPS,
    "captions_raw": CAPTIONS,
    "caption_decisions": CAPTION_DECISIONS,
    "embeddings": EMBEDDINGS,
    "latents": LATENTS,
    "text": TEXT,
    "decisions": DECISIONS,
    "duplicates_raw": DUPLICATES,
} | {f"measures_{name}": table for name, table in MEASURES.items()}


def connect(dataset: Dataset) -> duckdb.DuckDBPyConnection:
    """A connection in which every table of the data set, each release (`release_NAME`) and every view can be named."""
    connection = duckdb.connect()
    for name, table in QUERY_NAMES.items():
        register(connection, name, table, dataset.scanner(table))
    for path in dataset.part_files(RELEASES.folder):
        name = os.path.basename(path).removesuffix(".parquet")
        connection.register("release_" + re.sub(r"\W", "_", name), dataset.scanner(RELEASES, [path]))
    for statement in scored_views():
        connection.execute(statement)
    connection.execute((resources.files("schemas") / "views.sql").read_text())
    return connection


def register(
    connection: duckdb.DuckDBPyConnection, name: str, table: Table, parts: pa.Table | pyarrow.dataset.Dataset
) -> None:
    """Name the parts of a table in a connection, in place of those that had the name; columns get the names of now.

    Args:
        parts: with the columns of `Table.stored_schema`.
    """
    if table.formerly:
        connection.register(f"{name}_parts", parts)
        connection.execute(f"create or replace view {name} as {_renamed(table, f'select * from {name}_parts')}")
    else:
        connection.register(name, parts)


def _renamed(table: Table, query: str) -> str:
    """A query that gives the columns of a query on parts under the names of now."""
    if not table.formerly:
        return query
    values = ", ".join(f"coalesce({name}, {former}) as {name}" for former, name in table.formerly.items())
    return f"select * exclude ({', '.join(table.formerly)}) replace ({values}) from ({query})"


def scored_views() -> list[str]:
    """SQL of the views `videos`, `video_locations`, `scored` and `clips`; the last two follow from the declared
    measures.

    `video_locations` has the files that hold the bytes of each video now, the original before its byte-identical
    duplicates. `scored` gives each clip its newest scores and decision, and for each measure M the fingerprint it was
    taken with (`has_M`) and why it failed (`failure_M`); `clips` is the same without those two. Clips are left out if
    their video has no row yet, since a killed run may not have written all of them, or if no file holds their bytes.
    """
    measured = {field.name for row_type in STREAM_MEASURES.values() for field in arrow_fields(row_type)}
    names = [name for name in CLIPS.schema.names if name not in {*measured, "uri", "measured", "status", "reasons"}]
    columns = ["if(list_contains(p.uris, c.uri), c.uri, p.uris[1]) as uri", *(f"c.{name}" for name in names)]
    taken, joins = [], []
    for name, row_type in STREAM_MEASURES.items():
        own = [field.name for field in arrow_fields(row_type)]
        columns += [f"if({name}.clip_id is null, c.{column}, {name}.{column}) as {column}" for column in own]
        taken.append(f"coalesce({name}.measure, json_extract_string(c.measured, '$.{name}')) as has_{name}")
    for name, row_type in CLIP_MEASURES.items():
        columns += [f"{name}.{field.name}" for field in arrow_fields(row_type)]
        taken.append(f"{name}.measure as has_{name}")
    for name, table in MEASURES.items():
        taken.append(f"{name}.failure as failure_{name}")
        newest = _newest(f"measures_{name}", "measured_us desc, measure", _plain_lists(table))
        joins.append(f"left join ({newest}) {name} using (clip_id)")
    columns += ["c.measured", "coalesce(d.status, c.status) as status", "coalesce(d.reasons, c.reasons) as reasons"]
    joins.append(f"left join ({_newest('decisions', 'decided_us desc, rules_fingerprint')}) d using (clip_id)")
    hidden = ", ".join(f"has_{name}, failure_{name}" for name in MEASURES)
    return [
        VIDEOS_VIEW,
        VIDEO_LOCATIONS_VIEW,
        f"create view scored as select {', '.join([*columns, *taken])} "
        f"from clips_raw c join video_locations p using (video_id) {' '.join(joins)} "
        "where c.video_id in (select video_id from videos_raw where duplicate_of is null)",
        f"create view clips as select * exclude ({hidden}) from scored",
    ]


VIDEOS_VIEW = """create view videos as
-- The newest row of each input: a file that changed in place was read again.
select * from videos_raw
qualify row_number() over (partition by uri order by modified_us desc, file_bytes desc) = 1"""
VIDEO_LOCATIONS_VIEW = """create view video_locations as
select video_id, list(uri order by duplicate_of is not null, uri) as uris,
       first(source order by duplicate_of is not null, uri) as source
from videos where video_id is not null group by video_id"""


def portable_views(dataset: Dataset) -> str:
    """SQL that gives plain DuckDB, started in the folder of the data set, the same tables and views.

    A table without parts yet is an empty view with its columns.
    """
    lines = ["-- Views for DuckDB without Reelmill: cd DATASET && duckdb -init views.sql"]
    for name, table in QUERY_NAMES.items():
        query = _no_rows(table)
        if dataset.part_files(table.folder):
            parts = f"read_parquet('{table.folder}/**/*.parquet', union_by_name = {str(bool(table.formerly)).lower()})"
            # With the columns of no rows: no part may have the former name of a column, or none that of now.
            query = f"{query} union all by name select * from {parts}" if table.formerly else f"select * from {parts}"
        lines.append(f"create view {name} as {_renamed(table, query)};")
    lines += [f"{statement};" for statement in scored_views()]
    return "\n".join([*lines, (resources.files("schemas") / "views.sql").read_text()])


def _no_rows(table: Table) -> str:
    """A query for all columns that parts may have, with their types, and no rows."""
    connection = duckdb.connect()
    connection.register("parts", table.stored_schema.empty_table())
    columns = connection.execute("describe parts").fetchall()
    return f"select {', '.join(f'null::{kind} as {name}' for name, kind, *_ in columns)} where false"


def write_portable_views(dataset: Dataset) -> None:
    """Write `views.sql` for the tables of now: one of them may have its first part."""
    dataset.write_bytes("views.sql", portable_views(dataset).encode())


def _newest(table: str, order: str, columns: str = "*") -> str:
    return f"select {columns} from {table} qualify row_number() over (partition by clip_id order by {order}) = 1"


def _plain_lists(table: Table) -> str:
    """All columns, lists of fixed length as plain lists: DuckDB 2.0 cannot pass arrays through an outer join."""
    names = [field.name for field in table.schema if pa.types.is_fixed_size_list(field.type)]
    return f"* replace ({', '.join(f'{name}::int[] as {name}' for name in names)})" if names else "*"


def funnel(dataset: Dataset) -> dict[str, int]:
    """Rows at each stage, in order."""
    return dict(connect(dataset).execute("select stage, rows from funnel").fetchall())


def reject_reasons(dataset: Dataset) -> list[tuple[str, int, int]]:
    """Reason, clips that it rejects, clips that it alone rejects; most frequent first."""
    return connect(dataset).execute("select reason, clips, only_reason from reject_reasons").fetchall()
