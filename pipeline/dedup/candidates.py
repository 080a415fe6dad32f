"""Pairs of clips that may be copies: banded frame hashes, sorted and grouped in DuckDB.

A hash of 64 bits is four bands of two grid rows. Any two bands are a key of 32 bits: two frames share one if the bits
that differ are in the other two bands (locality-sensitive hashing, Indyk & Motwani 1998). A mirrored picture has each
row reversed, so the smaller of a key and its reversal is the key of both. In a picture of large flat areas, such as a
slide, many contrasts are near zero and their signs are noise; so there are keys of the strong contrasts too, one of the
blocks that are brighter than their surroundings and one of those that are darker, as print is.

A key does not pair all clips that have it: sorted by hash, each is paired with the few before it (sorted neighbourhood,
Hernandez & Stolfo 1995). A picture that a thousand clips share, such as a leader, costs a thousand pairs times
`NEIGHBOURS` and not half a million, and its copies are still connected as a chain. The cost is that of sorting.

One kind of key is looked at after the other, over all frames: what is large is on DuckDB's side, which goes to disk
where memory ends. Where few clips are new, only frames that share a key with one of theirs are grouped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import combinations

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.dedup.hashes import FrameHashes
from pipeline.dedup.matching import perhaps_alike
from pipeline.measure.stream.video_hash import mirrored

NUM_BANDS, BAND_BITS = 4, 16
NEIGHBOURS = 6
"""Number of clips before it with which a clip is paired, for each key."""
MIN_KEY_BITS = 3
"""A key with fewer bits set says almost nothing about a picture, and is left out."""
MEMORY_LIMIT = "1GB"
"""Above this, DuckDB sorts on disk."""
KINDS = [(view, chosen) for view in range(3) for chosen in combinations(range(NUM_BANDS), 2)]
"""Which hash of a frame a key is of, and which two of its bands."""
PAIRS_AT_A_TIME = 50_000
"""Pairs that are compared at a time: at most twice as many clips are in memory, of some kilobytes each."""

_PAIRS = """
with shared as (
    select key from {frames} group by key having min(clip) <> max(clip) and min(clip) < {num_new}
), grouped as (
    select key, clip, min(rank) as rank from keyed semi join shared using (key) group by key, clip
), paired as (
    select clip, unnest([{lags}]) as other from grouped window along as (partition by key order by rank, clip)
)
insert into pairs
select distinct least(clip, other), greatest(clip, other) from paired
where other is not null and least(clip, other) < {num_new}
"""


class CandidateSearch:
    """Clips by number, of which those before `num_new` are new, and pairs of them that share a key."""

    def __init__(self, num_new: int) -> None:
        self._num_new, self._num_clips = num_new, 0
        self._database = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "temp_directory": tempfile.gettempdir()})
        self._database.execute("set enable_progress_bar = false")
        columns = ", ".join(f"hash_{view} ubigint, mirrored_{view} ubigint" for view in range(3))
        self._database.execute(f"create table frames (clip integer, {columns})")
        self._database.execute("create table pairs (first integer, second integer)")

    def __enter__(self) -> CandidateSearch:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, numbers: np.ndarray, frames: FrameHashes) -> None:
        """Add the clips of some hashes.

        Args:
            numbers: (N,) int, of each clip.
        """
        self._num_clips += len(numbers)
        columns = {"clip": np.repeat(numbers.astype(np.int32), np.diff(frames.starts))}
        for view, hashes in enumerate(frames.hashes.T):
            columns |= {f"hash_{view}": hashes, f"mirrored_{view}": mirrored(hashes)}
        self._database.register("added", pa.table(columns))
        self._database.execute("insert into frames from added")
        self._database.unregister("added")

    def pairs(self) -> Iterator[np.ndarray]:
        """The pairs, at least one of each new, in order and some at a time: (P, 2) int32, the smaller number first."""
        lags = ", ".join(f"lag(clip, {step}) over along" for step in range(1, NEIGHBOURS + 1))
        few = self._num_new < self._num_clips // 2
        frames = f"(from keyed where key in (select key from keyed where clip < {self._num_new}))" if few else "keyed"
        query = _PAIRS.format(lags=lags, num_new=self._num_new, frames=frames)
        for view, chosen in KINDS:
            key, rank = _key(view, chosen), f"least(hash_{view}, mirrored_{view})"
            self._database.execute(
                f"create or replace view keyed as select clip, {key} as key, {rank} as rank from frames "
                f"where bit_count({key}) >= {MIN_KEY_BITS}"
            )
            self._database.execute(query)
        self._database.execute("drop view keyed")
        found = self._database.sql("select distinct first, second from pairs order by all")
        for batch in found.to_arrow_reader(PAIRS_AT_A_TIME):
            yield np.stack([batch["first"], batch["second"]], axis=1)

    def likely_pairs(self) -> Iterator[np.ndarray]:
        """Those of `pairs` that are worth a look by `match`, which reads more than hashes; in order, some at a time."""
        waiting: list[np.ndarray] = []
        for pairs in self.pairs():
            numbers, places = np.unique(pairs, return_inverse=True)
            waiting.append(pairs[perhaps_alike(self._hashes(numbers), places.reshape(pairs.shape))])
            if sum(map(len, waiting)) >= PAIRS_AT_A_TIME:
                yield np.concatenate(waiting)
                waiting = []
        if sum(map(len, waiting)):
            yield np.concatenate(waiting)

    def _hashes(self, numbers: np.ndarray) -> FrameHashes:
        """Of clips, in the order of their numbers, which ascend."""
        lookup = self._database.cursor()  # pairs are being read from the other one
        lookup.register("wanted", pa.table({"clip": numbers}))
        columns = "clip, hash_0, hash_1, hash_2"
        query = f"select {columns} from frames semi join wanted using (clip) order by clip, frames.rowid"
        clips, *hashes = lookup.execute(query).fetchnumpy().values()
        return FrameHashes(np.searchsorted(clips, np.append(numbers, numbers[-1] + 1)), np.stack(hashes, axis=1))


def _key(view: int, chosen: tuple[int, int]) -> str:
    """SQL of the key of a frame from two bands of a hash, the same for a picture and its mirror image."""

    def joined(column: str) -> str:
        high, low = (f"({column} >> {BAND_BITS * (NUM_BANDS - 1 - band)} & {(1 << BAND_BITS) - 1})" for band in chosen)
        return f"({high} << {BAND_BITS} | {low})"

    return f"least({joined(f'hash_{view}')}, {joined(f'mirrored_{view}')})::uinteger"
