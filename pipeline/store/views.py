"""DuckDB over a data set: its tables and the views of `schemas/views.sql`."""

from __future__ import annotations

import functools
import itertools
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import duckdb
import pyarrow as pa

from pipeline.store.dataset import Dataset
from pipeline.store.newest import FIRST, OF_ROW, STAMPS, STANDING_CAPTIONS, newest, newest_measured
from schemas import (
    CAPTION_DECISIONS,
    CAPTION_IDENTITY,
    CAPTIONS,
    CLIPS,
    DECISIONS,
    EMBEDDINGS,
    LATENTS,
    MEASURES,
    RELEASES,
    TEXT,
    VIDEOS,
)
from schemas.columns import Table, arrow_fields
from schemas.contradiction import contradiction_macro
from schemas.tables.captions import OK, REJECTED
from schemas.tables.clips import PENDING
from schemas.tables.duplicates import DUPLICATE_MATCHES, DUPLICATES
from schemas.tables.measures import CLIP_MEASURES, STREAM_MEASURES

QUERY_NAMES: dict[str, Table] = {
    "videos": VIDEOS,
    "clips": CLIPS,
    "captions": CAPTIONS,
    "caption_decisions": CAPTION_DECISIONS,
    "caption_identity": CAPTION_IDENTITY,
    "embeddings": EMBEDDINGS,
    "latents": LATENTS,
    "text": TEXT,
    "decisions": DECISIONS,
    "duplicates": DUPLICATES,
    "duplicate_matches": DUPLICATE_MATCHES,
} | {f"measures_{name}": table for name, table in MEASURES.items()}
"""The tables. NAME_raw is all rows of a table, NAME the newest row of each key or what follows from those."""
DERIVED_CATALOGUE = "derived"
"""Name of the catalogue that has all views but those of the part files."""
DERIVED = frozenset({"clips", "captions", "duplicates"})
"""Names of views that are more than the newest rows."""


AS_WRITTEN = "set disabled_optimizers = 'build_side_probe_side'"
"""DuckDB would hold that side of a join in memory that it takes for smaller. In a chain of outer joins with tables of
which most are empty that is all clips, each time: 7 GB and 20 s for a million, in place of .7 GB and 5 s. Like this it
holds the side that stands second."""


def connect(dataset: Dataset) -> duckdb.DuckDBPyConnection:
    """A connection in which every table of the data set, each release (`release_NAME`) and every view can be named."""
    connection = duckdb.connect(config={"temp_directory": tempfile.gettempdir()})
    connection.execute(f"set enable_progress_bar = false; {AS_WRITTEN}")
    for name, table in QUERY_NAMES.items():
        _name_parts(connection, f"{name}_parts", dataset, table, dataset.part_files(table.folder))
    see_rows(connection)
    for path in dataset.part_files(RELEASES.folder):
        _name_parts(connection, _view_of_release(connection, path), dataset, RELEASES, [path])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "views.duckdb")
        path.write_bytes(_derived_catalogue())
        connection.execute(f"attach {_quoted(str(path))} as {DERIVED_CATALOGUE} (read_only)")
    connection.execute(f"set search_path = 'memory.main,{DERIVED_CATALOGUE}.main'")
    return connection


def _name_parts(
    connection: duckdb.DuckDBPyConnection, name: str, dataset: Dataset, table: Table, paths: Sequence[str]
) -> None:
    """Name the rows of part files, in the columns that parts of the table may have.

    DuckDB reads local files itself, within its limit of memory. What lies on an object store comes through Arrow, which
    has the credentials, and reads ahead in memory that no limit knows of.
    """
    if not dataset.is_local:
        connection.register(name, dataset.scanner(table, paths))
        return
    if not paths:
        connection.execute(f"create temp view {name} as {_no_rows(table)}")
        return
    columns = (
        f"{_quoted(column)}: {{name: {_quoted(column)}, type: {_quoted(kind)}, default_value: null}}"
        for column, kind in column_types(table).items()
    )
    files = ", ".join(_quoted(re.sub(r"([*?[])", r"[\1]", path)) for path in paths)
    connection.execute(
        f"create temp view {name} as "
        f"select * from read_parquet([{files}], schema = map {{{', '.join(columns)}}}, hive_partitioning = false)"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@functools.cache
def _derived_catalogue() -> bytes:
    """A DuckDB file of the derived views, over tables that a connection has by the same names.

    DuckDB follows each view down to the tables when it is made, half a second for all of them, but not when a file of
    views is attached.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "views.duckdb")
        with duckdb.connect(path) as connection:
            for name, table in QUERY_NAMES.items():
                connection.register(f"{name}_parts", table.stored_schema.empty_table())
            see_rows(connection)
            for statement in derived_views():
                connection.execute(statement)
            connection.execute((resources.files("schemas") / "views.sql").read_text())
        return path.read_bytes()


def see_rows(connection: duckdb.DuckDBPyConnection, *, of_all: str = "true", of_clips: str = "true") -> None:
    """Make NAME_raw of the part files of each table, which a connection has as NAME_parts; all rows if no more is said.

    Args:
        of_all: condition on the rows of all tables.
        of_clips: on those of tables that have a `clip_id`.
    """
    for name, table in QUERY_NAMES.items():
        where = f"({of_all}) and ({of_clips})" if "clip_id" in table.schema.names else of_all
        rows = _raw(name, _parts_here)
        connection.execute(f"create or replace temp view {name}_raw as select * from ({rows}) where {where}")


def _view_of_release(connection: duckdb.DuckDBPyConnection, path: str) -> str:
    """A name that is not taken, as `release_v1_0` is by release `v1-0` when there is `v1.0` too."""
    name = "release_" + re.sub(r"\W", "_", os.path.basename(path).removesuffix(".parquet"))
    taken = {row[0] for row in connection.execute("select table_name from information_schema.tables").fetchall()}
    numbered = (f"{name}_{number}" for number in itertools.count(2))
    return next(free for free in itertools.chain([name], numbered) if free not in taken)


def keep_rows_until(connection: duckdb.DuckDBPyConnection, time_us: int) -> None:
    """Let a connection see no rows that were written later than a time; those that do not say when count as earlier."""
    see_rows(connection, of_all=f"written_us is null or written_us <= {time_us}")


def _parts_here(name: str) -> str:
    return f"select * from {name}_parts"


def _raw(name: str, parts: Callable[[str], str]) -> str:
    """Query for all rows of a table in its columns of now.

    Captions of earlier versions came with their first decision: it is the oldest of `caption_decisions`.

    Args:
        parts: from the name of a table to a query for its part files.
    """
    rows = QUERY_NAMES[name].sql_of_now(parts(name))
    if name != "caption_decisions":
        return rows
    with_captions = (
        "select clip_id, captioner, 'as it was written' as rules_fingerprint, status, reasons, run_id, "
        f"coalesce(written_us, captioned_us) as written_us from ({parts('captions')}) "
        f"where status in ('{OK}', '{REJECTED}')"
    )
    return f"{rows} union all by name {with_captions}"


def derived_views() -> list[str]:
    """SQL of the newest rows of each table, and of views that are made from them.

    `video_locations` has the files that hold the bytes of each video now, the original before its byte-identical
    duplicates. `scored` gives each clip its newest scores and decision, and for each measure M the fingerprint it was
    taken with (`has_M`) and the failure to take it since then (`failed_M`); `clips` is the same without those two.
    `clip_statuses` has no scores, `shown_clips` those that captions are held against, `fingerprinted` hashes alone: a
    query reads the tables of all measures that its views name, whichever columns it asks for.
    """
    newest_rows = [
        f"create view {f'newest_{name}' if name in DERIVED else name} as "
        f"{newest(f'{name}_raw', OF_ROW.get(name, table.key), first=FIRST.get(name, ''))}"
        for name, table in QUERY_NAMES.items()
    ]
    internal = ", ".join(f"has_{name}, failed_{name}" for name in MEASURES)
    return [
        contradiction_macro(),
        *newest_rows,
        f"create view standing_captions as {STANDING_CAPTIONS}",
        VIDEO_LOCATIONS_VIEW,
        f"create view clip_statuses as {_standing_clips([])}",
        f"create view shown_clips as {_standing_clips(['letterbox', 'camera', 'embedding'])}",
        f"create view fingerprinted as {_standing_clips(['fingerprint'])}",
        f"create view scored as {_standing_clips(list(MEASURES))}",
        f"create view clips as select * exclude ({internal}) from scored",
    ]


def _standing_clips(measures: Sequence[str]) -> str:
    """Query for the clips that stand, with their newest decision and the newest scores of some measures.

    What was taken of another content box is not had. Clips are left out if their video has no row yet, since a killed
    run may not have written all of them, if it has been divided otherwise since, or if no file holds their bytes.
    """
    scores = {field.name for row_type in STREAM_MEASURES.values() for field in arrow_fields(row_type)}
    hidden = {*scores, *STAMPS, "uri", "measured"}
    columns = ["if(list_contains(p.uris, c.uri), c.uri, p.uris[1]) as uri"]
    columns += [f"c.{name}" for name in CLIPS.schema.names if name not in hidden]
    taken, joins = [], []
    for name in measures:
        own = [field.name for field in arrow_fields((STREAM_MEASURES | CLIP_MEASURES)[name])]
        if name in STREAM_MEASURES:
            again = AGAIN.format(name)
            columns += [f"if({again}, {name}.good.{column}, c.{column}) as {column}" for column in own]
            first = f"json_extract_string(c.measured, '$.{name}')"
            taken.append(f"if({again}, {name}.good.measure, {first}) as has_{name}")
        else:
            columns += [f"{name}.good.{column}" for column in own]
            taken.append(f"if({name}.good.shown_box = {BOX}, {name}.good.measure, null) as has_{name}")
        same_box = f" and {name}.tried.shown_box = {BOX}" if name in CLIP_MEASURES else ""
        taken.append(f"if({name}.tried.failure is not null{same_box}, {name}.tried, null) as failed_{name}")
        joins.append(f"left join ({newest_measured(name, own)}) {name} on {name}.clip_id = c.clip_id")
    columns += ["c.measured", f"coalesce(d.status, '{PENDING}') as status", "coalesce(d.reasons, []) as reasons"]
    joins.append("left join decisions d on d.clip_id = c.clip_id")
    return (
        f"select {', '.join([*columns, *taken])} "
        f"from newest_clips c join video_locations p on p.video_id = c.video_id {' '.join(joins)} "
        "where c.split is not distinct from p.split "
        "and c.video_id in (select video_id from videos_raw where duplicate_of is null)"
    )


AGAIN = "({0}.good is not null and coalesce({0}.good.written_us, 0) >= coalesce(c.written_us, 0))"
"""Whether a stream measure has been taken again since the clip's video was scanned."""
BOX = f"if({AGAIN.format('letterbox')}, letterbox.good.content_box, c.content_box::int[])"
VIDEO_LOCATIONS_VIEW = """create view video_locations as
select video_id, list(uri order by duplicate_of is not null, uri) as uris,
       first(source order by duplicate_of is not null, uri) as source,
       coalesce(max(corrected_times), 1) = 0 as regular,
       arg_max(split, (duplicate_of is null, coalesce(written_us, 0))) filter (split is not null) as split
from videos where video_id is not null group by video_id"""


def portable_views(dataset: Dataset) -> str:
    """SQL that gives plain DuckDB, started in the folder of the data set, the same tables and views.

    A table without parts yet is an empty view with its columns.
    """
    lines = [
        "-- Views for DuckDB without Reelmill: cd DATASET && duckdb -init views.sql",
        "-- Of a join the side that stands second is held in memory: so these views are written.",
        f"{AS_WRITTEN};",
    ]

    def parts(name: str) -> str:
        table = QUERY_NAMES[name]
        if not dataset.part_files(table.folder):
            return _no_rows(table)
        # With the columns of no rows: no part may have a column that is new, or has another name now.
        files = f"read_parquet('{table.folder}/**/part-*.parquet', union_by_name = true)"
        return f"{_no_rows(table)} union all by name select * from {files}"

    lines += [f"create view {name}_raw as {_raw(name, parts)};" for name in QUERY_NAMES]
    lines += [f"{statement};" for statement in derived_views()]
    return "\n".join([*lines, (resources.files("schemas") / "views.sql").read_text()])


def _no_rows(table: Table) -> str:
    """A query for all columns that parts may have, with their types, and no rows."""
    columns = (f"null::{kind} as {name}" for name, kind in column_types(table).items())
    return f"select {', '.join(columns)} where false"


def column_types(table: Table) -> dict[str, str]:
    """DuckDB's types of the columns that parts of a table may have."""
    return _types_of(table.stored_schema.serialize().to_pybytes())


@functools.cache
def _types_of(schema: bytes) -> dict[str, str]:
    with duckdb.connect() as connection:
        connection.register("parts", pa.ipc.read_schema(pa.py_buffer(schema)).empty_table())
        return {name: kind for name, kind, *_ in connection.execute("describe parts").fetchall()}


def write_portable_views(dataset: Dataset) -> None:
    """Write `views.sql` for the tables of now: one of them may have its first part."""
    dataset.write_bytes("views.sql", portable_views(dataset).encode())


def funnel(dataset: Dataset) -> dict[str, int]:
    """Rows at each stage, in order."""
    return dict(connect(dataset).execute("select stage, rows from funnel").fetchall())


def reject_reasons(dataset: Dataset) -> list[tuple[str, int, int]]:
    """Reason, clips that it rejects, clips that it alone rejects; most frequent first."""
    return connect(dataset).execute("select reason, clips, only_reason from reject_reasons").fetchall()
