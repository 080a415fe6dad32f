"""What stands now, as plain tables: one row a clip and one row an input, for whoever has only DuckDB, pandas or Spark.

`manifest/clips.parquet` has the final status with every reason, all scores, the newest accepted caption and what came
with the source; `manifest/videos.parquet` the newest row of each input. Both are written at the end of each job that
changes something, with memory that does not grow with the data set; each appears whole or not at all.
"""

from __future__ import annotations

import pyarrow as pa

from pipeline.store.dataset import Dataset
from pipeline.store.portions import bounded, gather

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
"""
ORDER = "order by video_id, start_us, clip_id"
VIDEOS = "select * exclude (run_id, written_us) from videos order by uri"


def write_manifest(dataset: Dataset) -> None:
    """Write both tables anew."""
    connection = bounded(dataset)
    gather(connection, "standing_clips", CLIPS)
    for name, query in (("videos", VIDEOS), ("clips", f"from standing_clips {ORDER}")):
        batches = connection.sql(query).to_arrow_reader(ROWS_AT_A_TIME)
        dataset.write_batches(f"{FOLDER}/{name}.parquet", _plain(batches.schema), batches)


def _plain(schema: pa.Schema) -> pa.Schema:
    """Without what DuckDB notes of its types."""
    return pa.schema([pa.field(field.name, field.type) for field in schema])
