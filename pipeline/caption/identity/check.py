"""The checks of all captions of a data set against each other, from its tables: rows of `caption_identity`.

Captions of one captioner are read in the order in which they were written, a block of `BLOCK` at a time; the vectors of
a data set are never in memory together. Its rows are written all together, and only if a caption or an embedding has
been added or changed since.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from pipeline.caption.identity.blocks import Span, batch_spans, block_spans
from pipeline.caption.identity.fit import are_evident, fits, mean_cosine, shift
from pipeline.caption.identity.near_equal import near_equal
from pipeline.caption.identity.repeats import SAMPLE, num_unlike
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import CAPTION_IDENTITY

VERSION = 1
"""Raised when the code changes what is written of the same captions and embeddings."""
BLOCK = 2500
"""Captions that are compared with each other, 25 MB for each matrix of their pairs. More find more captions whose clip
is far off in the order of writing: of a shuffle, 99.2% within one block and 98.5% over two."""
TEXTS_AT_A_TIME = 10_000

_MEMBERS = """
create or replace temp view members as
select c.clip_id, c.captioner, s.encoder, c.written_us as caption_us, c.run_id, c.batch_id, c.batch_place,
       c.detailed, c.text_embedding, e.embedding,
       hash(c.clip_id, c.detailed, c.run_id, c.written_us, c.batch_id, c.batch_place, s.encoder, e.run_id, e.written_us)
           as facts
from standing_captions c
join clips s on s.clip_id = c.clip_id and s.encoder = c.similarity_encoder
     and (c.shown_box is null or c.shown_box = s.content_box::int[])
join embeddings e on e.clip_id = s.clip_id and e.encoder = s.encoder
where c.text_embedding is not null
"""
_PENDING = f"""
with states as (
    select captioner, encoder, md5(concat_ws(' ', {VERSION}, count(*), bit_xor(facts))) as state
    from members group by all
)
select s.captioner, s.encoder, s.state from members m join states s using (captioner, encoder)
left join caption_identity i on i.clip_id = m.clip_id and i.captioner = m.captioner and i.checked = s.state
where i.clip_id is null group by all order by all
"""
_NUMBERED = """
create or replace temp table numbered as
select row_number() over (order by run_id, caption_us, batch_id, batch_place, clip_id) - 1 as place,
       dense_rank() over (order by run_id, caption_us, batch_id) as batch,
       clip_id, captioner, encoder, caption_us, detailed
from members where captioner = ? and encoder = ?
"""
_VECTORS = """
select m.text_embedding, m.embedding from numbered n join members m using (clip_id, captioner, encoder) order by n.place
"""
_GROUPS = """
with grouped as (
    select n.*, leader, count(*) over (partition by leader) as size,
           row_number() over (partition by leader order by place) - 1 as number
    from numbered n join texts using (detailed) join leaders using (text)
), twice as (
    select *, unnest([0, 1]) as is_member from grouped where size > 1
)
select leader, place, size, is_member, m.embedding
from twice n join members m using (clip_id, captioner, encoder)
where is_member = 1 or number % ceil(size / ?) = 0
order by leader, is_member, place
"""
"""The clips of each group of captions: those that stand for it, then all."""


@dataclass(frozen=True)
class Checked:
    """What was checked of one captioner."""

    captioner: str
    num_captions: int
    is_evident: bool
    """Whether the embedding model tells which caption belongs to which clip."""


@dataclass(frozen=True)
class Pending:
    """Captions of one captioner, with embeddings of one model, that are to be checked."""

    captioner: str
    encoder: str
    state: str
    """Hash of everything that is read."""


def pending_checks(dataset: Dataset) -> list[Pending]:
    """The captioners with captions that were not checked against those of now."""
    connection = connect(dataset)
    connection.execute(_MEMBERS)
    return [Pending(*row) for row in connection.execute(_PENDING).fetchall()]


def check_captions(dataset: Dataset, pending: Sequence[Pending]) -> list[Checked]:
    """Check all captions of captioners, and write a row for each caption."""
    done = []
    for one in pending:
        connection = connect(dataset)
        connection.execute(_MEMBERS)
        connection.execute(_NUMBERED, [one.captioner, one.encoder])
        columns, is_evident = _columns(connection)
        rows = connection.sql("select clip_id, captioner, encoder, caption_us from numbered order by place")
        table = rows.to_arrow_table()
        for name, values in (columns | {"checked": pa.repeat(pa.scalar(one.state), table.num_rows)}).items():
            table = table.append_column(name, values)
        dataset.write_table(CAPTION_IDENTITY, table)
        done.append(Checked(one.captioner, table.num_rows, is_evident))
    return done


def _columns(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, pa.Array], bool]:
    """The columns of `IdentityChecks`, in the order of places, and whether fits are evident."""
    numbered = connection.sql("select batch, clip_id from numbered order by place").to_arrow_table()
    batches, clip_ids = numbered["batch"].to_numpy(), numbered["clip_id"]
    own, margin, shifts = (np.full(len(batches), np.nan) for _ in range(3))
    better = np.full(len(batches), -1)
    total = np.zeros(0)
    spans = block_spans(batches, BLOCK)
    for (start, end), (texts, clips) in zip(spans, _blocks(connection, spans), strict=True):
        found = fits(texts, clips)
        if found is not None:
            own[start:end], margin[start:end] = found.own, found.margin
            better[start:end] = np.where(found.better >= 0, found.better + start, -1)
        for first, last in batch_spans(batches[start:end]):
            shifted = shift(texts[first:last], clips[first:last])
            shifts[start + first : start + last] = np.nan if shifted is None else shifted
        total = clips.sum(axis=0, dtype=np.float64) + (total if len(total) else 0)
    known = margin[~np.isnan(margin)]
    is_evident = bool(len(known)) and are_evident(known)
    columns = {
        "own_fit": _nullable(own),
        "fit_margin": _nullable(margin if is_evident else np.full(len(margin), np.nan)),
        "better_clip": clip_ids.take(pa.array(better, mask=better < 0)),
        "batch_shift": _nullable(shifts),
        "num_unlike": pa.array(_num_unlike(connection, len(own), total)),
    }
    return columns, is_evident


def _blocks(connection: duckdb.DuckDBPyConnection, spans: Sequence[Span]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Vectors of texts and clips of each block."""
    reader = connection.sql(_VECTORS).to_arrow_reader(BLOCK)
    read = pa.table({name: pa.array([], pa.list_(pa.float32())) for name in ("text_embedding", "embedding")})
    for start, end in spans:
        while read.num_rows < end - start:
            read = pa.concat_tables([read, pa.Table.from_batches([reader.read_next_batch()]).cast(read.schema)])
        block, read = read.slice(0, end - start), read.slice(end - start)
        yield _matrix(block["text_embedding"]), _matrix(block["embedding"])


def _num_unlike(connection: duckdb.DuckDBPyConnection, num_captions: int, total: np.ndarray) -> np.ndarray:
    """`num_unlike` of each caption, in the order of places.

    Args:
        total: (D,) sum of the vectors of all clips.
    """
    if num_captions < 2:
        return np.zeros(num_captions, np.int64)
    connection.execute(
        "create or replace temp table texts as "
        "select detailed, row_number() over (order by min(place)) - 1 as text from numbered group by detailed"
    )
    reader = connection.sql("select detailed from texts order by text").to_arrow_reader(TEXTS_AT_A_TIME)
    leaders = near_equal(batch.column(0).to_pylist() for batch in reader)
    connection.register("leaders", pa.table({"text": np.arange(len(leaders)), "leader": leaders}))
    found, mean = np.zeros(num_captions, np.int64), mean_cosine(total, num_captions)
    sample: list[np.ndarray] = []
    sampled = -1
    for batch in connection.sql(_GROUPS, params=[SAMPLE]).to_arrow_reader(BLOCK):
        group, place, size, is_member = (batch[name].to_numpy() for name in ("leader", "place", "size", "is_member"))
        clips = _matrix(pa.chunked_array([batch["embedding"]]))
        for first, end in batch_spans(2 * group + is_member):
            if is_member[first]:
                shown = num_unlike(clips[first:end], np.concatenate(sample), size[first], mean)
                found[place[first:end]] = shown
            else:
                sample = [*(sample if sampled == group[first] else []), clips[first:end]]
                sampled = group[first]
    return found


def _matrix(vectors: pa.ChunkedArray) -> np.ndarray:
    """(N, D) float32 of N lists of D numbers."""
    flat = vectors.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(vectors), -1)


def _nullable(values: np.ndarray) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
