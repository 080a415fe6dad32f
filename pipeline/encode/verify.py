"""Whether stored latents are still what was written."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow.dataset

from pipeline.encode.latents import OK
from pipeline.store.dataset import Dataset
from schemas import LATENTS
from schemas.identity import bytes_digest

Key = tuple[str, str]
"""The clip and the transform of a latent."""
FACTS = ["clip_id", "transform", "status", "written_us", "data_hash"]


def corrupt_latents(dataset: Dataset, autoencoder: str, keys: Collection[Key]) -> list[Key]:
    """Those of `keys` whose newest latent by this codec has other bytes than were written, or cannot be read.

    All latents of the codec are read, a row group at a time.
    """
    newest: dict[Key, tuple[int, bool]] = {}
    for group in _row_groups(dataset, autoencoder):
        rows = group.to_table(columns=FACTS).to_pylist()
        for row, digest in zip(rows, _digests(group, len(rows)), strict=True):
            key = row["clip_id"], row["transform"]
            if row["status"] == OK and key in keys and row["written_us"] >= newest.get(key, (0, True))[0]:
                newest[key] = row["written_us"], digest == row["data_hash"]
    return sorted(key for key, (_, is_whole) in newest.items() if not is_whole)


def _row_groups(dataset: Dataset, autoencoder: str) -> Iterator[pyarrow.dataset.Fragment]:
    for fragment in dataset.scanner(LATENTS.within(autoencoder)).get_fragments():
        yield from fragment.split_by_row_group()


def _digests(group: pyarrow.dataset.Fragment, num_rows: int) -> list[str | None]:
    """The hash of the bytes of each row as they are now; None for all where they cannot be read."""
    try:
        data = group.to_table(columns=["data"])["data"]
    except OSError:
        return [None] * num_rows
    return [bytes_digest(memoryview(value.as_buffer())) if value.is_valid else None for value in data]
