"""Groups of texts that say the same, or nearly the same, in time that grows with their number and not its square.

Two texts say nearly the same if the Jaccard index of their sets of content words is `SAME_WORDS` or more. Candidates
have a band of their MinHash signatures in common (Broder 1997; Leskovec et al., Mining of Massive Datasets, section
3.4). Each is compared with the first text of its bucket only, so that a bucket of many texts costs one comparison each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

import duckdb
import numpy as np
import pyarrow as pa

from schemas.words import STOP_WORDS, terms

SAME_WORDS = 0.9
"""Of 19 content words one may be missing. Synthetic captions that differ in one fact share at most 16 of 18."""
NUM_BANDS, ROWS_PER_BAND = 16, 8
"""Of pairs with an index of .9, 1 - (1 - .9^8)^16 = 99.99% share a band; of pairs with .5, 6%."""
MEMORY_LIMIT = "1GB"
"""Above this, DuckDB sorts on disk."""
_WITHOUT_CONTENT: frozenset[str] = frozenset().union(*STOP_WORDS.values())
_RANDOM = np.random.default_rng(0)
_FACTORS = _RANDOM.integers(0, 1 << 63, (NUM_BANDS * ROWS_PER_BAND, 1), np.uint64) * 2 + 1
_OFFSETS = _RANDOM.integers(0, 1 << 63, (NUM_BANDS * ROWS_PER_BAND, 1), np.uint64)

_LEADERS = """
with paired as (
    select distinct text, leader from (
        select text, first_value(text) over (partition by band, bucket order by text) as leader from bands
    ) where leader < text
)
select p.text, min(p.leader)
from paired p join contents one on one.text = p.text join contents other on other.text = p.leader
where len(list_intersect(one.terms, other.terms)) >=
      ? * (len(one.terms) + len(other.terms) - len(list_intersect(one.terms, other.terms)))
group by p.text
"""


def near_equal(texts: Iterable[Sequence[str]]) -> np.ndarray:
    """The number of the first text of each text's group, (N,) int64; a text without content words is by itself.

    Args:
        texts: in batches, so that they need not be in memory together; numbered from 0 in this order.
    """
    with duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "threads": 1}) as database:
        database.execute("set enable_progress_bar = false")
        database.execute("create table contents (text bigint, terms ubigint[])")
        database.execute("create table bands (text bigint, band utinyint, bucket ubigint)")
        num_texts = 0
        for batch in texts:
            _insert(database, num_texts, [content(text) for text in batch])
            num_texts += len(batch)
        led = database.execute(_LEADERS, [SAME_WORDS]).fetchnumpy()
    leaders = np.arange(num_texts)
    found, first = (np.asarray(values, np.int64) for values in led.values())
    leaders[found] = first
    while (leaders[leaders] != leaders).any():
        leaders = leaders[leaders]
    return leaders


def content(text: str) -> np.ndarray:
    """Hashes of the different content words of a text, sorted, (W,) uint64."""
    return np.array(sorted(map(_hash, terms(text) - _WITHOUT_CONTENT)), np.uint64)


def buckets(hashes: np.ndarray) -> np.ndarray:
    """The bucket of each band for a set of hashes, (NUM_BANDS,) uint64: equal for equal sets.

    Args:
        hashes: (W,) uint64, W >= 1.
    """
    signature = (_FACTORS * hashes + _OFFSETS).min(axis=1).reshape(NUM_BANDS, ROWS_PER_BAND)
    return np.bitwise_xor.reduce(signature * _FACTORS[:ROWS_PER_BAND, 0], axis=1)


def _insert(database: duckdb.DuckDBPyConnection, first: int, contents: list[np.ndarray]) -> None:
    numbered = [(first + i, hashes) for i, hashes in enumerate(contents) if len(hashes)]
    if not numbered:
        return
    numbers = np.array([number for number, _ in numbered])
    tables = {
        "contents": {
            "text": numbers,
            "terms": pa.array([hashes.tolist() for _, hashes in numbered], pa.list_(pa.uint64())),
        },
        "bands": {
            "text": np.repeat(numbers, NUM_BANDS),
            "band": np.tile(np.arange(NUM_BANDS, dtype=np.uint8), len(numbered)),
            "bucket": np.concatenate([buckets(hashes) for _, hashes in numbered]),
        },
    }
    for name, columns in tables.items():
        database.register("batch", pa.table(columns))
        database.execute(f"insert into {name} select * from batch")
        database.unregister("batch")


@lru_cache(maxsize=1 << 16)
def _hash(term: str) -> int:
    return int.from_bytes(hashlib.blake2b(term.encode(), digest_size=8).digest(), "big")
