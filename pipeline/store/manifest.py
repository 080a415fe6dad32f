"""What stands now, as plain tables: one row a clip and one row an input, for whoever has only DuckDB, pandas or Spark.

`manifest/clips.parquet` has the final status with every reason, all scores, the newest accepted caption and what came
with the source; `manifest/videos.parquet` the newest row of each input. Both are written at the end of each job that
changes something, with memory that does not grow with the data set; each appears whole or not at all. Clips are in the
order of their videos and of time, half a million of them at a time.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing

import duckdb
import pyarrow as pa

from pipeline.store.dataset import Dataset
from pipeline.store.portions import bounded, portions

FOLDER = "manifest"
ROWS_AT_A_TIME = 20_000
CAPTION_COLUMNS = ("captioner", "captioner_name", "language", "short", "medium", "text_video_similarity")
CLIPS = f"""
select c.* exclude (measured), p.source,
       {", ".join(f"t.{name}" for name in CAPTION_COLUMNS)}, coalesce(t.merged, t.detailed) as detailed
from clips c
join video_locations p on p.video_id = c.video_id
left join (
    select * from captions where status = 'ok'
    qualify row_number() over (partition by clip_id order by written_us desc, captioner) = 1
) t on t.clip_id = c.clip_id
order by c.video_id, c.start_us, c.clip_id
"""
VIDEOS = "select * exclude (run_id, written_us) from videos order by uri"


def write_manifest(dataset: Dataset) -> None:
    """Write both tables anew."""
    connection = bounded(dataset)
    for name, query, turns in (("videos", VIDEOS, iter([0])), ("clips", CLIPS, portions(connection))):
        with closing(_batches(connection, query, turns)) as batches:
            columns = _plain(next(batches).schema)
            dataset.write_batches(f"{FOLDER}/{name}.parquet", columns, batches)


def _batches(
    connection: duckdb.DuckDBPyConnection, query: str, turns: Iterator[int]
) -> Generator[pa.RecordBatch, None, None]:
    """A batch without rows, then what the query gives at each turn."""
    for number in turns:
        reader = connection.sql(query).to_arrow_reader(ROWS_AT_A_TIME)
        if number == 0:
            yield pa.RecordBatch.from_pylist([], schema=reader.schema)
        yield from reader


def _plain(schema: pa.Schema) -> pa.Schema:
    """Without what DuckDB notes of its types."""
    return pa.schema([pa.field(field.name, field.type) for field in schema])
