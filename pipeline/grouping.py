"""Groups of duplicates of a data set, found from its tables and written as a whole; the newest grouping stands."""

from __future__ import annotations

import time

from pipeline.dataset import Dataset
from pipeline.duplicates.search import find_duplicates
from pipeline.query import connect
from schemas.duplicates import DUPLICATES, SEMANTIC
from schemas.splitting import DuplicatesConfig

HASHED = (
    "clip_id, video_id, shot_index, duration_s, content_digest, video_hash, video_hash_contrasts, video_hash_times_us"
)


def group_duplicates(dataset: Dataset, config: DuplicatesConfig) -> None:
    """Find what shows the same, and write it if it is not what stands.

    Semantic duplicates are looked for among the clips that are embedded, and only if they count.
    """
    connection = connect(dataset)
    clips = connection.sql(f"select {HASHED} from clips").to_arrow_table()
    embeddings = None
    if SEMANTIC in config.kinds:
        embedded = "select clip_id, embedding from clips join embeddings using (clip_id, encoder)"
        embeddings = connection.sql(embedded).to_arrow_table()
    rows = find_duplicates(clips, embeddings, config, time.time_ns() // 1000)
    standing = connection.sql("from duplicates").to_arrow_table().to_pylist()
    if _without_time(rows) != _without_time(standing):
        dataset.write_part(DUPLICATES, rows)


def _without_time(rows: list[dict]) -> set[tuple]:
    return {tuple((name, value) for name, value in sorted(row.items()) if name != "grouped_us") for row in rows}
