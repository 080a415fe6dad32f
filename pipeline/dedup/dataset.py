"""Groups of duplicates of a data set: new clips are searched for among all, and changed groups are written."""

from __future__ import annotations

import time

from pipeline.dedup.groups import find_groups
from pipeline.dedup.near_search import make_near_pairs, search_copies
from pipeline.dedup.search import ALL_PAIRS, grouping_of, pair_table
from pipeline.dedup.semantic_search import make_semantic_pairs, search_meanings
from pipeline.store.dataset import Dataset
from pipeline.store.portions import bounded
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.tables.duplicates import DUPLICATES, SEMANTIC

_CHANGED = """
select {columns}, '{run_id}' as run_id, {now_us} as written_us from (
    select {columns} from {found} except select {columns} from duplicates
    union all
    select * replace (0 as group_size) from (select {columns} from duplicates)
    anti join {found} using (clip_id, kind)
) order by clip_id, kind
"""


def group_duplicates(dataset: Dataset, config: DuplicatesConfig) -> None:
    """Search for the clips that have not been searched for, and write the groups that differ from those before.

    Semantic duplicates are searched for only if they count.
    """
    grouping = grouping_of(config)
    connection = bounded(dataset)
    has_searched = search_copies(dataset, connection, config, grouping)
    if SEMANTIC in config.kinds:
        has_searched |= search_meanings(dataset, connection, config, grouping)
    if has_searched:
        connection = bounded(dataset)
    make_near_pairs(connection, grouping)
    if SEMANTIC in config.kinds:
        make_semantic_pairs(connection, grouping)
    else:
        connection.register("semantic_pairs", pair_table([]))
    found = find_groups(connection, ALL_PAIRS, grouping)
    columns = ", ".join(name for name in DUPLICATES.schema.names if name not in ("run_id", "written_us"))
    changed = _CHANGED.format(columns=columns, found=found, run_id=dataset.run_id, now_us=time.time_ns() // 1000)
    dataset.append(DUPLICATES, connection.sql(changed))
