"""What a release wants encoded: its clips with the keys of their latents, and its texts with theirs.

Both are read from the release's file a batch at a time, while DuckDB takes them, so that no more than a batch is in
Python's memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

from pipeline.caption.source_text import title_of
from pipeline.encode.latents import clip_transform
from schemas.tables.latents import text_id

CAPTIONS = ("detailed", "medium", "short")
CLIP_COLUMNS = ("clip_id", "uri", "start_us", "end_us", "is_image", "num_frames", "width", "height", "content_box")
ROWS_A_BATCH = 4000
"""Rows of a release that are in Python's memory at a time: some megabytes of captions."""
WANTED_TEXT = pa.schema([("text_id", pa.string()), ("text", pa.string())])
MAX_BOXES = 1 << 16
"""Content boxes whose keys are remembered; a data set has few beside its clips."""


def wanted_clips(
    released: pa.dataset.Dataset, transform: str, single_frames: Sequence[str] = ()
) -> pa.RecordBatchReader:
    """The clips of a release, a row for each latent that is wanted of them, with its `transform`.

    Args:
        transform: of the settings (`EncodeConfig.transform`).
        single_frames: that are encoded alone too, of clips that are no images; these rows say which in `frame`.
    """

    @lru_cache(MAX_BOXES)
    def key_of(frame: str | None, *box: int) -> str:
        return clip_transform({"content_box": box}, transform, frame)

    def keyed(batch: pa.RecordBatch, frame: str | None) -> pa.RecordBatch:
        keys = [key_of(frame, *box) for box in batch["content_box"].to_pylist()]
        names = pa.array([frame] * len(keys), pa.string())
        return pa.record_batch([*batch.columns, pa.array(keys, pa.string()), names], schema=schema)

    def rows() -> Iterator[pa.RecordBatch]:
        for batch in _batches(released, CLIP_COLUMNS):
            yield keyed(batch, None)
            for frame in dict.fromkeys(single_frames):
                yield keyed(batch.filter(pc.field("is_image") == pc.scalar(False)), frame)

    added = [("transform", pa.string()), ("frame", pa.string())]
    schema = pa.schema([*(released.schema.field(name) for name in CLIP_COLUMNS), *added])
    return pa.RecordBatchReader.from_batches(schema, rows())


def wanted_texts(released: pa.dataset.Dataset) -> pa.RecordBatchReader:
    """The texts of a release with their ids, some of them several times; the empty one is that of dropped texts."""

    def rows(texts: Collection[str]) -> pa.RecordBatch:
        return pa.record_batch([pa.array(map(text_id, texts)), pa.array(texts)], schema=WANTED_TEXT)

    def of_release() -> Iterator[pa.RecordBatch]:
        yield rows([""])
        for batch in _batches(released, (*CAPTIONS, "source")):
            yield rows(sorted({text for row in batch.to_pylist() for text in training_texts(row).values()}))

    return pa.RecordBatchReader.from_batches(WANTED_TEXT, of_release())


KINDS = (*CAPTIONS, "original")
"""The texts of a clip, by their names in `TextMix`."""
FACTS = {"video_id": pa.string(), "motion_px_s": pa.float64()}
"""What else training reads of a clip."""
WANTED_SAMPLE = pa.schema({"clip_id": pa.string(), **FACTS, **dict.fromkeys(("transform", *KINDS), pa.string())})


def wanted_samples(released: pa.dataset.Dataset, transform: str) -> pa.RecordBatchReader:
    """The clips of a release with `FACTS` and all keys of a sample: the `transform` of its latent, and the id of each
    text that training may use of it, null where it has none.

    Args:
        transform: of the settings (`EncodeConfig.transform`).
    """

    def keys(row: Mapping[str, Any]) -> dict[str, Any]:
        texts = {kind: text_id(text) for kind, text in training_texts(row).items()}
        facts = {name: row[name] for name in ("clip_id", *FACTS)}
        return facts | {"transform": clip_transform(row, transform)} | texts

    batches = _batches(released, ("clip_id", *FACTS, "content_box", *CAPTIONS, "source"))
    rows = (pa.RecordBatch.from_pylist(list(map(keys, batch.to_pylist())), WANTED_SAMPLE) for batch in batches)
    return pa.RecordBatchReader.from_batches(WANTED_SAMPLE, rows)


def training_texts(row: Mapping[str, Any]) -> dict[str, str]:
    """The texts of a released clip by their names in `TextMix`; one that a clip lacks is left out."""
    texts = {name: row.get(name) for name in CAPTIONS} | {"original": title_of(row["source"])}
    return {name: text for name, text in texts.items() if text}


def _batches(released: pa.dataset.Dataset, columns: Iterable[str]) -> Iterator[pa.RecordBatch]:
    return released.to_batches(columns=list(columns), batch_size=ROWS_A_BATCH, batch_readahead=1)
