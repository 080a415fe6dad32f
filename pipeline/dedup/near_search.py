"""Edited copies among the clips of a data set: each clip is searched for once, among all, by the hashes of its frames.

The row that says that a clip was searched for holds its hashes, by which clips that come later find it. Clips are
numbers here, new ones first, and their rows pass some at a time. Matches are written as they are found, and in the end
that the clips have been searched for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.dedup.candidates import CandidateSearch
from pipeline.dedup.hashes import FrameHashes, HashedClips
from pipeline.dedup.search import matching_pairs
from pipeline.store.dataset import ROWS_AT_A_TIME, Dataset
from pipeline.store.portions import gather
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.tables.duplicates import DUPLICATE_MATCHES, NEAR

_KNOWN = f"""
select s.clip_id, s.has_fingerprint as searched_by, m.clip_id is not null as is_known
from fingerprinted s left join duplicate_matches m
    on m.clip_id = s.clip_id and m.match_id is null and m.kind = '{NEAR}' and m.grouping = '{{grouping}}'
    and m.searched_by is not distinct from s.has_fingerprint
"""
_NUMBERED = """
create or replace temp table standing as
select *, row_number() over (order by is_known, clip_id) - 1 as number from known
"""
_HASHED = """
select number, searched_by, clip_id, video_id, shot_index, duration_s,
       video_hash, video_hash_contrasts, video_hash_times_us
from fingerprinted join standing using (clip_id)
"""
_FRAME_HASHES = f"""
select s.number, m.frame_hashes from duplicate_matches m join standing s using (clip_id, searched_by)
where s.is_known and m.match_id is null and m.kind = '{NEAR}' and m.grouping = '{{grouping}}'
"""
_SEARCHED = f"""
select s.clip_id, '{NEAR}' as kind, null as match_id, null as similarity, null as mirrored, null as rate,
       '{{grouping}}' as grouping, s.searched_by, frame_hashes, '{{run_id}}' as run_id, {{now_us}} as written_us
from searched join standing s using (number)
"""
_NEAR_PAIRS = f"""
create or replace temp view near_pairs as
select m.clip_id as first, m.match_id as second, m.similarity, m.mirrored, m.rate
from duplicate_matches m join standing a using (clip_id, searched_by)
join standing b on b.clip_id = m.match_id and b.searched_by = m.searched_by
where m.kind = '{NEAR}' and m.grouping = '{{grouping}}'
"""


def search_copies(
    dataset: Dataset, connection: duckdb.DuckDBPyConnection, config: DuplicatesConfig, grouping: str
) -> bool:
    """Search for the clips that have not been searched for; returns whether there were any."""
    _number(connection, grouping)
    num_new = connection.execute("select count(*) from standing where not is_known").fetchall()[0][0]
    if not num_new:
        return False
    searched = connection.cursor()  # the other one is being read from
    searched.execute("create or replace table searched (number bigint, frame_hashes blob)")
    with CandidateSearch(num_new) as search:
        for rows in _batches(connection, f"{_HASHED} where not is_known"):
            clips, numbers = _hashed(rows)
            search.add(numbers, clips.frame_hashes)
            searched.register("added", pa.table({"number": numbers, "hashes": clips.frame_hashes.stored()}))
            searched.execute("insert into searched from added")
        for rows in _batches(connection, _FRAME_HASHES.format(grouping=grouping)):
            search.add(np.asarray(rows["number"]), FrameHashes.of(rows["frame_hashes"]))
        for pairs in search.likely_pairs():
            _write_matches(dataset, connection, pairs, config, grouping, num_new)
    stamps = {"run_id": dataset.run_id, "now_us": time.time_ns() // 1000}
    dataset.append(DUPLICATE_MATCHES, connection.sql(_SEARCHED.format(grouping=grouping, **stamps)))
    return True


def make_near_pairs(connection: duckdb.DuckDBPyConnection, grouping: str) -> None:
    """Make the view `near_pairs` of what was found among the clips that stand."""
    _number(connection, grouping)
    connection.execute(_NEAR_PAIRS.format(grouping=grouping))


def _number(connection: duckdb.DuckDBPyConnection, grouping: str) -> None:
    """Make the table `standing`: the clips that stand, numbered, those that have not been searched for first."""
    gather(connection, "known", _KNOWN.format(grouping=grouping))
    connection.execute(_NUMBERED)
    connection.execute("drop table known")


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
    rows = connection.sql(f"{_HASHED} semi join wanted using (number)").to_arrow_table()
    connection.unregister("wanted")
    clips, numbers = _hashed(rows)
    place_of = np.argsort(numbers)
    found = list(matching_pairs(clips, place_of[places.reshape(pairs.shape)], config))
    is_new = dict(zip(clips.ids, (numbers < num_new).tolist(), strict=True))
    searched_by = dict(zip(rows["clip_id"].to_pylist(), rows["searched_by"].to_pylist(), strict=True))
    matches = [
        {
            "clip_id": pair.first,
            "kind": NEAR,
            "match_id": pair.second,
            "similarity": pair.similarity,
            "mirrored": pair.mirrored,
            "rate": pair.rate,
            "grouping": grouping,
            "searched_by": searched_by[pair.first],
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
    """Clips of the query `_HASHED`, and their numbers, both in the order of clip ids."""
    rows = rows.sort_by("clip_id")
    return HashedClips.of(rows), np.asarray(rows["number"])
