"""Pairs of clips that may be copies: banded frame hashes, sorted and grouped in DuckDB.

A hash of 64 bits is four bands of two grid rows. Any two bands are a key of 32 bits: two frames share one if the bits
that differ are in the other two bands (locality-sensitive hashing, Indyk & Motwani 1998). A mirrored picture has each
row reversed, so the smaller of a key and its reversal is the key of both. In a picture of large flat areas, such as a
slide, many contrasts are near zero and their signs are noise; so there are keys of the strong contrasts too, one of the
blocks that are brighter than their surroundings and one of those that are darker, as print is.

A key does not pair all clips that have it: sorted by hash, each is paired with the few before it (sorted neighbourhood,
Hernandez & Stolfo 1995). A picture that a thousand clips share, such as a leader, costs a thousand pairs times
`NEIGHBOURS` and not half a million, and its copies are still connected as a chain. The cost is that of sorting.

New clips are paired with each other and with known ones, whose hashes are read a batch at a time. Of those only the
frames that may share a key with a new clip are kept, so memory does not grow with the clips that are known.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.dedup.hashes import FrameHashes, HashedClips
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
FILTER_BITS = 27
"""Size of the table in which the keys of new clips are marked (Bloom 1970, with one hash): with 100,000 keys of each
kind, one known key in 75 is kept in vain."""

_PAIRS = """
with keyed as (
    select kind, key, clip, min(rank) as rank from frames group by kind, key, clip
), grouped as (
    select * from keyed
    qualify count(*) over (partition by kind, key) > 1 and min(clip) over (partition by kind, key) < {num_new}
), paired as (
    select clip, unnest([{lags}]) as other
    from grouped window along as (partition by kind, key order by rank, clip)
)
select distinct least(clip, other) as first, greatest(clip, other) as second
from paired where other is not null and least(clip, other) < {num_new} order by all
"""


@dataclass(frozen=True)
class Candidates:
    """Pairs of clips that share a key, at least one of which is new."""

    ids: list[str]
    """The new clips, then the known ones that are in a pair, or nearly so."""
    pairs: np.ndarray
    """(P, 2) int32 places in `ids`, in order."""


def candidate_pairs(clips: HashedClips, known: Iterable[FrameHashes] = ()) -> Candidates:
    """Pairs of new clips, and of new clips with known ones."""
    ids, marked = list(clips.ids), np.zeros(1 << FILTER_BITS, bool)
    with duckdb.connect(
        config={"memory_limit": MEMORY_LIMIT, "threads": 1, "temp_directory": tempfile.gettempdir()}
    ) as database:
        database.execute("set enable_progress_bar = false")
        database.execute("create table frames (kind utinyint, key uinteger, clip integer, rank ubigint)")
        for kind, keys, owners, rank in _keys(clips.frame_hashes):
            marked[_slots(kind, keys)] = True
            _insert(database, kind, keys, owners, rank)
        for frames in known:
            places: dict[int, int] = {}
            for kind, keys, owners, rank in _keys(frames):
                seen = marked[_slots(kind, keys)]
                for owner in np.unique(owners[seen]).tolist():
                    if owner not in places:
                        places[owner] = len(ids)
                        ids.append(frames.ids[owner])
                numbers = np.array([places[owner] for owner in owners[seen].tolist()], np.int32)
                _insert(database, kind, keys[seen], numbers, rank[seen])
        lags = ", ".join(f"lag(clip, {step}) over along" for step in range(1, NEIGHBOURS + 1))
        found = database.execute(_PAIRS.format(lags=lags, num_new=len(clips))).fetchnumpy()
    return Candidates(ids, np.stack([found["first"], found["second"]], axis=1).astype(np.int32))


def _keys(frames: FrameHashes) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """For each kind its number, and of the frames whose key is used: the key, the clip, and the rank in the order."""
    for kind, (view, chosen) in enumerate(KINDS):
        hashes = frames.hashes[:, view]
        keys, used = band_keys(hashes, chosen)
        yield kind, keys[used], frames.owners[used], np.minimum(hashes, mirrored(hashes))[used]


def _slots(kind: int, keys: np.ndarray) -> np.ndarray:
    """Where keys are marked: their upper bits after multiplication by a large odd number (Knuth 6.4)."""
    mixed = (keys.astype(np.uint64) * np.uint64(len(KINDS)) + np.uint64(kind)) * np.uint64(0x9E3779B97F4A7C15)
    return mixed >> np.uint64(64 - FILTER_BITS)


def _insert(
    database: duckdb.DuckDBPyConnection, kind: int, keys: np.ndarray, clips: np.ndarray, rank: np.ndarray
) -> None:
    if len(keys):
        rows = pa.table({"kind": np.full(len(keys), kind, np.uint8), "key": keys, "clip": clips, "rank": rank})
        database.register("added", rows)
        database.execute("insert into frames from added")
        database.unregister("added")


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
