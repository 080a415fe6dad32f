"""Latents that are no longer what was written are found, whatever part of the file is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.encode.verify import corrupt_latents
from pipeline.store.dataset import Dataset
from pipeline.store.newest import STAMPS
from schemas import LATENTS
from schemas.identity import bytes_digest

DATA = bytes(range(256)) * 4


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    dataset = Dataset(str(tmp_path))
    dataset.write_part(LATENTS.within("e"), [latent("a"), latent("b"), failed("c")])
    return dataset


def latent(clip_id: str, data: bytes = DATA) -> dict:
    row = dict.fromkeys(set(LATENTS.schema.names) - set(STAMPS))
    written = {"clip_id": clip_id, "transform": "t", "encoder": "e", "status": "ok"}
    return row | written | {"data": data, "data_hash": bytes_digest(DATA)}


def failed(clip_id: str) -> dict:
    return latent(clip_id) | {"status": "failed", "data": None, "data_hash": None}


KEYS = {(name, "t") for name in "abc"}


def test_what_is_as_it_was_written_or_is_not_there_is_not_corrupt(dataset: Dataset) -> None:
    assert corrupt_latents(dataset, "e", KEYS) == []
    assert corrupt_latents(dataset, "another", KEYS) == []


def test_the_newest_latent_of_a_key_is_judged(dataset: Dataset) -> None:
    dataset.write_part(LATENTS.within("e"), [latent("a", b"x" + DATA[1:])])
    assert corrupt_latents(dataset, "e", KEYS) == [("a", "t")]
    assert corrupt_latents(dataset, "e", {("b", "t")}) == []
    dataset.write_part(LATENTS.within("e"), [latent("a"), failed("d")])
    assert corrupt_latents(dataset, "e", KEYS) == []


def test_a_flipped_byte_is_found_and_what_cannot_be_read_at_all(dataset: Dataset) -> None:
    (path,) = Path(dataset.location).rglob("*.parquet")
    content = path.read_bytes()
    start = content.index(DATA[:64])
    for first, end in ((start + 5, start + 6), (start - 8, start)):  # of an array, and of what says where it is
        damaged = bytearray(content)
        damaged[first:end] = (0xFF ^ byte for byte in content[first:end])
        path.write_bytes(damaged)
        assert ("a", "t") in corrupt_latents(dataset, "e", KEYS)
