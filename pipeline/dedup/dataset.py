"""Groups of duplicates of a data set: new clips are searched for among all, and groups that have changed are written.

Each clip is searched for once: the row that says so in `duplicate_matches` holds the hashes of its frames, by which
clips that come later find it. Clips are searched for a number at a time, and what is found is written with them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import duckdb
import pyarrow as pa

from pipeline.dedup.groups import Pair
from pipeline.dedup.hashes import FrameHashes, HashedClips
from pipeline.dedup.search import content_pairs, duplicate_rows, grouping_of, near_pairs, pairs_by_meaning
from pipeline.store.dataset import ROWS_AT_A_TIME, Dataset
from pipeline.store.views import connect
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.tables.duplicates import DUPLICATE_MATCHES, DUPLICATES, NEAR, SEMANTIC

CLIPS_AT_A_TIME = 50_000
"""Clips that are searched for at a time; their hashes are in memory, at about a kilobyte a clip."""
HASHED = "clip_id, video_id, shot_index, duration_s, video_hash, video_hash_contrasts, video_hash_times_us"
STANDING = """
create or replace temp table standing as
select s.clip_id, s.has_fingerprint as hashed, m.clip_id is not null as is_known
from scored s left join duplicate_matches m
    on m.clip_id = s.clip_id and m.match_id is null and m.grouping = '{grouping}' and m.hashed = s.has_fingerprint
"""
FRAME_HASHES = """
select m.clip_id, m.frame_hashes from duplicate_matches m join standing s using (clip_id, hashed)
where s.is_known and m.match_id is null and m.grouping = '{grouping}'
"""
MATCHES = """
select m.clip_id, m.match_id, m.similarity, m.mirrored, m.rate
from duplicate_matches m join standing a using (clip_id, hashed)
join standing b on b.clip_id = m.match_id and b.hashed = m.hashed
where m.grouping = '{grouping}' order by all
"""
CHANGED = """
select {columns}, '{run_id}' as run_id, {now_us} as written_us from (
    select {columns} from found except select {columns} from duplicates
    union all
    select * replace (0 as group_size) from (select {columns} from duplicates)
    anti join found using (clip_id, kind)
) order by clip_id, kind
"""


def group_duplicates(dataset: Dataset, config: DuplicatesConfig) -> None:
    """Search for the clips that have not been searched for, and write the groups that differ from those before.

    Semantic duplicates are searched for among all clips that are embedded, and only if they count.
    """
    grouping = grouping_of(config)
    while _search(dataset, config, grouping):
        pass
    connection = _connect(dataset, grouping)
    matches = connection.execute(MATCHES.format(grouping=grouping)).fetchall()
    near = [_in_order(Pair(one, other, NEAR, *evidence)) for one, other, *evidence in matches]
    semantic: list[Pair] = []
    if SEMANTIC in config.kinds:
        embedded = "select clip_id, embedding from clips join embeddings using (clip_id, encoder)"
        semantic = list(pairs_by_meaning(connection.sql(embedded).to_arrow_table(), config))
    rows = duplicate_rows(content_pairs(connection), near, semantic, grouping)
    found = DUPLICATES.unstamped(rows)
    connection.register("found", found)
    facts = {"columns": ", ".join(found.column_names), "run_id": dataset.run_id, "now_us": time.time_ns() // 1000}
    dataset.append(DUPLICATES, connection.sql(CHANGED.format(**facts)))


def _in_order(pair: Pair) -> Pair:
    return pair if pair.first < pair.second else pair.reversed()


def _connect(dataset: Dataset, grouping: str) -> duckdb.DuckDBPyConnection:
    connection = connect(dataset)
    connection.execute(STANDING.format(grouping=grouping))
    return connection


def _search(dataset: Dataset, config: DuplicatesConfig, grouping: str) -> bool:
    """Search for some clips that have not been searched for, and write what is found; whether there were any."""
    connection = _connect(dataset, grouping)
    new = connection.sql(
        f"select clip_id, hashed from standing where not is_known order by clip_id limit {CLIPS_AT_A_TIME}"
    ).to_arrow_table()
    if not new.num_rows:
        return False
    hashed = dict(zip(new["clip_id"].to_pylist(), new["hashed"].to_pylist(), strict=True))
    clips = _read(connection, list(hashed))
    known = _known(connection, grouping)  # read to its end before any clip is read in full
    pairs = near_pairs(clips, config, known, lambda ids: _read(connection, ids))
    found = [
        {
            "clip_id": pair.first,
            "match_id": pair.second,
            "similarity": pair.similarity,
            "mirrored": pair.mirrored,
            "rate": pair.rate,
            "frame_hashes": None,
        }
        for pair in (found if found.first in hashed else found.reversed() for found in pairs)
    ]
    stored = zip(clips.ids, clips.frame_hashes.stored(), strict=True)
    nothing = {"match_id": None, "similarity": None, "mirrored": None, "rate": None}
    searched = [{"clip_id": clip_id, "frame_hashes": hashes, **nothing} for clip_id, hashes in stored]
    rows = [row | {"grouping": grouping, "hashed": hashed[row["clip_id"]]} for row in [*found, *searched]]
    dataset.write_table(DUPLICATE_MATCHES, DUPLICATE_MATCHES.unstamped(rows))
    return True


def _read(connection: duckdb.DuckDBPyConnection, clip_ids: list[str]) -> HashedClips:
    """All that is stored of the frames of clips."""
    connection.register("wanted", pa.table({"clip_id": pa.array(clip_ids, pa.string())}))
    rows = connection.sql(f"select {HASHED} from clips semi join wanted using (clip_id)").to_arrow_table()
    connection.unregister("wanted")
    return HashedClips.of(rows)


def _known(connection: duckdb.DuckDBPyConnection, grouping: str) -> Iterator[FrameHashes]:
    """The hashes of the clips that have been searched for, some at a time."""
    reader = connection.sql(FRAME_HASHES.format(grouping=grouping)).to_arrow_reader(ROWS_AT_A_TIME)
    for batch in reader:
        rows = pa.Table.from_batches([batch])
        yield FrameHashes.of(rows["clip_id"].to_pylist(), rows["frame_hashes"])
