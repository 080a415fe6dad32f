"""Clips of the same meaning in a data set: each embedding is searched for once, among all of its model.

An embedding that is written anew is searched for again, and what was found for the one before no longer counts. The
vectors lie in a temporary file, so that memory does not grow with the data set.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.dedup.semantic import close_pairs
from pipeline.store.dataset import ROWS_AT_A_TIME, Dataset
from pipeline.store.portions import gather
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.tables.duplicates import DUPLICATE_MATCHES, SEMANTIC

_EMBEDDED = f"""
select s.clip_id, s.encoder, coalesce(e.written_us, 0) as embedded_us,
       coalesce(m.written_us >= e.written_us, false) as is_known
from shown_clips s join embeddings e using (clip_id, encoder)
left join duplicate_matches m
    on m.clip_id = s.clip_id and m.match_id is null and m.kind = '{SEMANTIC}' and m.grouping = '{{grouping}}'
    and m.searched_by = s.encoder
"""
_NUMBERED = """
create or replace temp table embedded as
select *, row_number() over (partition by encoder order by is_known, clip_id) - 1 as number from unnumbered
"""
_NEW = """
select encoder, count(*) filter (not is_known), count(*) from embedded
group by all having not bool_and(is_known) order by all
"""
_VECTORS = "select number, embedding from embedded join embeddings using (clip_id, encoder) where encoder = '{encoder}'"
_MATCHES = f"""
select a.clip_id, '{SEMANTIC}' as kind, b.clip_id as match_id, max(cosine)::double as similarity, false as mirrored,
       null::double as rate, '{{grouping}}' as grouping, a.encoder as searched_by, null::blob as frame_hashes,
       '{{run_id}}' as run_id, {{now_us}} as written_us
from close join embedded a on a.number = first join embedded b on b.number = second and b.encoder = a.encoder
where a.encoder = '{{encoder}}' group by all
"""
_SEARCHED = f"""
select clip_id, '{SEMANTIC}' as kind, null as match_id, null as similarity, null as mirrored, null as rate,
       '{{grouping}}' as grouping, encoder as searched_by, null as frame_hashes,
       '{{run_id}}' as run_id, {{now_us}} as written_us
from embedded where not is_known and encoder = '{{encoder}}'
"""
_SEMANTIC_PAIRS = f"""
create or replace temp view semantic_pairs as
select m.clip_id as first, m.match_id as second, m.similarity, m.mirrored, m.rate
from duplicate_matches m
join embedded a on a.clip_id = m.clip_id and a.encoder = m.searched_by
join embedded b on b.clip_id = m.match_id and b.encoder = m.searched_by
where m.kind = '{SEMANTIC}' and m.grouping = '{{grouping}}' and m.written_us >= greatest(a.embedded_us, b.embedded_us)
"""


def search_meanings(
    dataset: Dataset, connection: duckdb.DuckDBPyConnection, config: DuplicatesConfig, grouping: str
) -> bool:
    """Search for the embeddings that have not been searched for; returns whether there were any."""
    _number(connection, grouping)
    searches = connection.execute(_NEW).fetchall()
    for encoder, num_new, num_clips in searches:
        now = {"run_id": dataset.run_id, "now_us": time.time_ns() // 1000, "grouping": grouping, "encoder": encoder}
        connection.execute("create or replace temp table close (first bigint, second bigint, cosine float)")
        with _vectors(connection, encoder, num_clips) as vectors:
            for pairs, cosines in close_pairs(vectors, num_new, config.semantic_cosine, config.seed):
                found = pa.table({"first": pairs[:, 0], "second": pairs[:, 1], "cosine": cosines})
                connection.register("found", found)
                connection.execute("insert into close from found")
                connection.unregister("found")
        dataset.append(DUPLICATE_MATCHES, connection.sql(_MATCHES.format(**now)))
        dataset.append(DUPLICATE_MATCHES, connection.sql(_SEARCHED.format(**now)))
    return bool(searches)


def make_semantic_pairs(connection: duckdb.DuckDBPyConnection, grouping: str) -> None:
    """Make the view `semantic_pairs` of what was found among the clips that stand."""
    _number(connection, grouping)
    connection.execute(_SEMANTIC_PAIRS.format(grouping=grouping))


def _number(connection: duckdb.DuckDBPyConnection, grouping: str) -> None:
    """Make the table `embedded`: the embeddings of clips that stand, those that have not been searched for first."""
    gather(connection, "unnumbered", _EMBEDDED.format(grouping=grouping))
    connection.execute(_NUMBERED)
    connection.execute("drop table unnumbered")


@contextmanager
def _vectors(connection: duckdb.DuckDBPyConnection, encoder: str, num_clips: int) -> Iterator[np.ndarray]:
    """The embeddings of one model, in the order of clips' numbers: (N, D) float32, on disk."""
    with tempfile.TemporaryFile() as file:
        vectors = np.empty((0, 1), np.float32)
        for batch in connection.sql(_VECTORS.format(encoder=encoder)).to_arrow_reader(ROWS_AT_A_TIME):
            rows = np.asarray(batch["embedding"].flatten(), np.float32).reshape(batch.num_rows, -1)
            if not len(vectors):
                vectors = np.memmap(file, np.float32, "w+", shape=(num_clips, rows.shape[1]))
            vectors[np.asarray(batch["number"])] = rows
        yield vectors
