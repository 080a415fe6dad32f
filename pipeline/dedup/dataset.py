"""Groups of duplicates of a data set: new clips are searched for among all, and groups that have changed are written.

Each clip is searched for once: the row that says so in `duplicate_matches` holds the hashes of its frames, by which
clips that come later find it. Clips are numbers here, new ones first, and their rows pass some at a time. Matches are
written as they are found, and in the end that the clips have been searched for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.dedup.candidates import CandidateSearch
from pipeline.dedup.groups import find_groups
from pipeline.dedup.hashes import FrameHashes, HashedClips
from pipeline.dedup.search import ALL_PAIRS, Pair, grouping_of, matching_pairs, pair_table, pairs_by_meaning
from pipeline.store.dataset import ROWS_AT_A_TIME, Dataset
from pipeline.store.views import connect
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.tables.duplicates import DUPLICATE_MATCHES, DUPLICATES, SEMANTIC

STANDING = """
create or replace temp table standing as
select *, row_number() over (order by is_known, clip_id) - 1 as number from (
    select s.clip_id, s.has_fingerprint as hashed, m.clip_id is not null as is_known
    from scored s left join duplicate_matches m
        on m.clip_id = s.clip_id and m.match_id is null and m.grouping = '{grouping}'
        and m.hashed is not distinct from s.has_fingerprint
)
"""
HASHED = """
select number, hashed, clip_id, video_id, shot_index, duration_s, video_hash, video_hash_contrasts, video_hash_times_us
from clips join standing using (clip_id)
"""
FRAME_HASHES = """
select s.number, m.frame_hashes from duplicate_matches m join standing s using (clip_id, hashed)
where s.is_known and m.match_id is null and m.grouping = '{grouping}'
"""
SEARCHED = """
select s.clip_id, null as match_id, null as similarity, null as mirrored, null as rate, '{grouping}' as grouping,
       s.hashed, frame_hashes, '{run_id}' as run_id, {now_us} as written_us
from searched join standing s using (number)
"""
NEAR_PAIRS = """
create or replace temp view near_pairs as
select m.clip_id as first, m.match_id as second, m.similarity, m.mirrored, m.rate
from duplicate_matches m join standing a using (clip_id, hashed)
join standing b on b.clip_id = m.match_id and b.hashed = m.hashed
where m.grouping = '{grouping}'
"""
CHANGED = """
select {columns}, '{run_id}' as run_id, {now_us} as written_us from (
    select {columns} from {found} except select {columns} from duplicates
    union all
    select * replace (0 as group_size) from (select {columns} from duplicates)
    anti join {found} using (clip_id, kind)
) order by clip_id, kind
"""


def group_duplicates(dataset: Dataset, config: DuplicatesConfig) -> None:
    """Search for the clips that have not been searched for, and write the groups that differ from those before.

    Semantic duplicates are searched for among all clips that are embedded, and only if they count.
    """
    grouping = grouping_of(config)
    connection = connect(dataset)
    connection.execute(STANDING.format(grouping=grouping))
    if num_new := connection.execute("select count(*) from standing where not is_known").fetchall()[0][0]:
        _search(dataset, connection, config, grouping, num_new)
        connection = connect(dataset)
        connection.execute(STANDING.format(grouping=grouping))
    connection.execute(NEAR_PAIRS.format(grouping=grouping))
    semantic: Iterable[Pair] = []
    if SEMANTIC in config.kinds:
        embedded = "select clip_id, embedding from clips join embeddings using (clip_id, encoder)"
        semantic = pairs_by_meaning(connection.sql(embedded).to_arrow_table(), config)
    connection.register("semantic_pairs", pair_table(semantic))
    found = find_groups(connection, ALL_PAIRS, grouping)
    columns = ", ".join(name for name in DUPLICATES.schema.names if name not in ("run_id", "written_us"))
    changed = CHANGED.format(columns=columns, found=found, run_id=dataset.run_id, now_us=time.time_ns() // 1000)
    dataset.append(DUPLICATES, connection.sql(changed))


def _search(
    dataset: Dataset, connection: duckdb.DuckDBPyConnection, config: DuplicatesConfig, grouping: str, num_new: int
) -> None:
    """Search for the new clips, and write what is found and that they have been searched for."""
    searched = connection.cursor()  # the other one is being read from
    searched.execute("create or replace table searched (number bigint, frame_hashes blob)")
    with CandidateSearch(num_new) as search:
        for rows in _batches(connection, f"{HASHED} where not is_known"):
            clips, numbers = _hashed(rows)
            search.add(numbers, clips.frame_hashes)
            searched.register("added", pa.table({"number": numbers, "hashes": clips.frame_hashes.stored()}))
            searched.execute("insert into searched from added")
        for rows in _batches(connection, FRAME_HASHES.format(grouping=grouping)):
            search.add(np.asarray(rows["number"]), FrameHashes.of(rows["frame_hashes"]))
        for pairs in search.pairs():
            _write_matches(dataset, connection, pairs, config, grouping, num_new)
    stamps = {"run_id": dataset.run_id, "now_us": time.time_ns() // 1000}
    dataset.append(DUPLICATE_MATCHES, connection.sql(SEARCHED.format(grouping=grouping, **stamps)))


def _write_matches(
    dataset: Dataset,
    connection: duckdb.DuckDBPyConnection,
    pairs: np.ndarray,
    config: DuplicatesConfig,
    grouping: str,
    num_new: int,
) -> None:
    """Write those of some pairs of clips, by number, that are edited copies."""
    wanted, places = np.unique(pairs, return_inverse=True)
    connection.register("wanted", pa.table({"number": wanted}))
    rows = connection.sql(f"{HASHED} semi join wanted using (number)").to_arrow_table()
    connection.unregister("wanted")
    clips, numbers = _hashed(rows)
    place_of = np.argsort(numbers)
    found = list(matching_pairs(clips, place_of[places.reshape(pairs.shape)], config))
    is_new = dict(zip(clips.ids, (numbers < num_new).tolist(), strict=True))
    hashed = dict(zip(rows["clip_id"].to_pylist(), rows["hashed"].to_pylist(), strict=True))
    matches = [
        {
            "clip_id": pair.first,
            "match_id": pair.second,
            "similarity": pair.similarity,
            "mirrored": pair.mirrored,
            "rate": pair.rate,
            "grouping": grouping,
            "hashed": hashed[pair.first],
            "frame_hashes": None,
        }
        for pair in (pair if is_new[pair.first] else pair.reversed() for pair in found)
    ]
    dataset.write_table(DUPLICATE_MATCHES, DUPLICATE_MATCHES.unstamped(matches))


def _batches(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.Table]:
    """The rows of a query, some at a time."""
    for batch in connection.sql(query).to_arrow_reader(ROWS_AT_A_TIME):
        yield pa.Table.from_batches([batch])


def _hashed(rows: pa.Table) -> tuple[HashedClips, np.ndarray]:
    """Clips of the query `HASHED`, and their numbers, both in the order of clip ids."""
    rows = rows.sort_by("clip_id")
    return HashedClips.of(rows), np.asarray(rows["number"])
