"""Pairs of clips that may be copies: banded frame hashes, sorted and grouped in DuckDB.

A hash of 64 bits is four bands of two grid rows. Any two bands are a key of 32 bits: two frames share one if the bits
that differ are in the other two bands (locality-sensitive hashing, Indyk & Motwani 1998). A mirrored picture has each
row reversed, so the smaller of a key and its reversal is the key of both. In a picture of large flat areas, such as a
slide, many contrasts are near zero and their signs are noise; so there are keys of the strong contrasts too, one of the
blocks that are brighter than their surroundings and one of those that are darker, as print is.

A key does not pair all clips that have it: sorted by hash, each is paired with the few before it (sorted neighbourhood,
Hernandez & Stolfo 1995). A picture that a thousand clips share, such as a leader, costs a thousand pairs times
`NEIGHBOURS` and not half a million, and its copies are still connected as a chain. The cost is that of sorting.
"""

from __future__ import annotations

from itertools import combinations

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.dedup.hashes import HashedClips
from pipeline.measure.stream.video_hash import mirrored

NUM_BANDS, BAND_BITS = 4, 16
NEIGHBOURS = 6
"""Number of clips before it with which a clip is paired, for each key."""
MIN_KEY_BITS = 3
"""A key with fewer bits set says almost nothing about a picture, and is left out."""
MEMORY_LIMIT = "1GB"
"""Above this, DuckDB sorts on disk."""

_PAIRS = """
with keyed as (
    select key, clip, min(rank) as rank from frames group by key, clip
), grouped as (
    select key, clip, rank from keyed where key in (select key from keyed group by key having count(*) > 1)
), paired as (
    select clip, unnest([{lags}]) as other
    from grouped window along as (partition by key order by rank, clip)
)
insert into pairs select distinct least(clip, other), greatest(clip, other) from paired where other is not null
"""


def candidate_pairs(clips: HashedClips) -> np.ndarray:
    """Pairs of clips that share a key, (P, 2) int32, in order."""
    lags = ", ".join(f"lag(clip, {step}) over along" for step in range(1, NEIGHBOURS + 1))
    with duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "threads": 1}) as database:
        database.execute("set enable_progress_bar = false")
        database.execute("create table pairs (first integer, second integer)")
        owners = clips.owners
        for hashes in (clips.hashes, clips.strong_hashes, clips.dark_hashes):
            rank = np.minimum(hashes, mirrored(hashes))
            for chosen in combinations(range(NUM_BANDS), 2):
                keys, used = band_keys(hashes, chosen)
                frames = pa.table({"key": keys[used], "clip": owners[used], "rank": rank[used]})
                database.register("frames", frames)
                database.execute(_PAIRS.format(lags=lags))
                database.unregister("frames")
        found = database.execute("select distinct first, second from pairs order by all").fetchnumpy()
    return np.stack([found["first"], found["second"]], axis=1).astype(np.int32)


def band_keys(hashes: np.ndarray, chosen: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The keys of frames from two bands, the same for a picture and its mirror image, and which of them are used.

    Returns:
        (F,) uint32 keys and (F,) bool.
    """
    keys = np.minimum(_join(hashes, chosen), _join(mirrored(hashes), chosen))
    return keys, np.bitwise_count(keys) >= MIN_KEY_BITS


def _join(hashes: np.ndarray, chosen: tuple[int, int]) -> np.ndarray:
    high, low = (hashes >> np.uint64(BAND_BITS * (NUM_BANDS - 1 - band)) & np.uint64(0xFFFF) for band in chosen)
    return (high << np.uint64(BAND_BITS) | low).astype(np.uint32)
