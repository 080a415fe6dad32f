"""Groups of duplicates of a data set, found from its tables and written all together; the newest grouping counts."""

from __future__ import annotations

import time
from typing import Any

from pipeline.dedup.search import find_duplicates, grouping_of
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.tables.duplicates import DUPLICATES, SEMANTIC

HASHED = (
    "clip_id, video_id, shot_index, duration_s, content_digest, video_hash, video_hash_contrasts, video_hash_times_us"
)


def group_duplicates(dataset: Dataset, config: DuplicatesConfig) -> None:
    """Find the groups, and write them if they differ from the last ones.

    Semantic duplicates are searched for among the clips that are embedded, and only if they count.
    """
    connection = connect(dataset)
    clips = connection.sql(f"select {HASHED} from clips").to_arrow_table()
    embeddings = None
    if SEMANTIC in config.kinds:
        embedded = "select clip_id, embedding from clips join embeddings using (clip_id, encoder)"
        embeddings = connection.sql(embedded).to_arrow_table()
    now_us = time.time_ns() // 1000
    rows = find_duplicates(clips, embeddings, config, now_us)
    last = connection.sql("from duplicates").to_arrow_table().to_pylist()
    if _without_time(rows) != _without_time(last):
        dataset.write_part(DUPLICATES, rows or [no_groups(config, now_us)])


def no_groups(config: DuplicatesConfig, grouped_us: int) -> dict[str, Any]:
    """The one row of a grouping that found nothing, so that it replaces the last one; the views leave it out."""
    no_clip = {"clip_id": "", "kind": "", "group_id": "", "match_id": ""}
    nothing = {"group_size": 0, "similarity": 0.0, "mirrored": False, "rate": None}
    return no_clip | nothing | {"grouping": grouping_of(config), "grouped_us": grouped_us}


def _without_time(rows: list[dict]) -> set[tuple]:
    return {tuple((name, value) for name, value in sorted(row.items()) if name != "grouped_us") for row in rows}
