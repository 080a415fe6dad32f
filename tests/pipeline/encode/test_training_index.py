"""The index of a release is that of its newest latents and texts, and is made once for a list of part files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from pipeline.encode import latents
from pipeline.encode import training_index as module
from pipeline.encode.latents import clip_transform
from pipeline.encode.training_index import FOLDER, TrainingIndex, training_index
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from schemas import LATENTS, RELEASES, TEXT
from schemas.identity import bytes_digest
from schemas.tables.latents import text_id
from tests.jobs.conftest import release_row, write_release

NAMES = ("a", "b", "c", "d")
KEYS = "settings", "vae", "t5"


def stored(number: int) -> dict[str, Any]:
    values = np.full((2, 1 + number % 3, 2, 2), number, np.float16)
    data = values.tobytes()
    return {"dtype": "float16", "shape": list(values.shape), "data": data, "data_hash": bytes_digest(data)}


def latent(clip: dict[str, Any], number: int, **changes: Any) -> dict[str, Any]:
    facts = {"clip_id": clip["clip_id"], "transform": clip_transform(clip, "settings"), "encoder": "vae"}
    made = {"status": "ok", "valid": [1, 16, 16], "fps": 8.0}
    return dict.fromkeys(LATENTS.schema.names) | facts | made | stored(number) | changes


def embedding(text: str, number: int) -> dict[str, Any]:
    return {"text_id": text_id(text), "encoder": "t5", "text": text} | stored(number)


@pytest.fixture
def clips() -> list[dict[str, Any]]:
    clips = [release_row(name, number) for number, name in enumerate(NAMES)]
    texts = {"short": None, "medium": None, "detailed": "of all", "source": "{}"}
    clips = [clip | texts | {"short": f"short {clip['clip_id']}"} for clip in clips]
    clips[1] |= {"source": '{"title": "a title"}', "medium": "medium"}
    return clips


@pytest.fixture
def dataset(tmp_path: Path, clips: list[dict[str, Any]]) -> Dataset:
    """Four clips, of which the last one has no latent; the short caption of the third is not embedded."""
    dataset = Dataset(str(tmp_path / "ds"))
    write_release(dataset, "r", clips)
    dataset.write_part(LATENTS.within("vae"), [latent(clip, number) for number, clip in enumerate(clips[:3])])
    texts = ["of all", "short a", "short b", "a title", "medium"]
    dataset.write_part(TEXT.within("t5"), [embedding(text, 10 + number) for number, text in enumerate(texts)])
    return dataset


def index(dataset: Dataset, name: str = "r", keys: Sequence[str] = KEYS) -> TrainingIndex:
    return training_index(dataset, releases.scanner(dataset, name), releases.content_hash(dataset, name), *keys)


def texts_of(found: TrainingIndex, clip_id: str) -> dict[str, float]:
    """The number that each embedding of a clip is filled with, by what it is."""
    row = found.clips.index.slice(found.clips.keys.row(clip_id), 1).to_pylist()[0]
    places = {kind: row[kind] for kind in ("detailed", "medium", "short", "original") if row[kind] is not None}
    arrays = found.texts.read_rows(list(places.values()))
    return {kind: float(array.flat[0]) for kind, array in zip(places, arrays, strict=True)}


def test_each_clip_has_its_latent_and_its_texts(dataset: Dataset) -> None:
    found = index(dataset)
    assert list(found.clips.keys) == ["a", "b", "c"]
    assert [float(array.flat[0]) for array in found.clips.read(["c", "a", "b"])] == [2, 0, 1]
    assert found.clips.index["shape"].to_pylist() == [[2, 1 + number, 2, 2] for number in range(3)]
    assert texts_of(found, "a") == {"detailed": 10, "short": 11}
    assert texts_of(found, "b") == {"detailed": 10, "medium": 14, "short": 12, "original": 13}
    assert texts_of(found, "c") == {"detailed": 10}


def test_the_newest_counts_and_what_failed_or_is_of_others_does_not(
    dataset: Dataset, clips: list[dict[str, Any]]
) -> None:
    later = Dataset(dataset.location, "later")
    failed = latent(clips[1], 0, status="failed", dtype=None, shape=None, data=None, data_hash=None)
    other = latent(clips[2], 77, transform="another")
    later.write_part(LATENTS.within("vae"), [latent(clips[0], 50), failed, other])
    later.write_part(LATENTS.within("another"), [latent(clips[3], 60)])
    later.write_part(TEXT.within("t5"), [embedding("short a", 51), embedding("of nobody", 52)])
    found = index(dataset)
    assert [float(array.flat[0]) for array in found.clips.read(["a", "b", "c"])] == [50, 1, 2]
    assert texts_of(found, "a") == {"detailed": 10, "short": 51}
    assert found.texts.index.num_rows == 5


class Footers:
    """Counts the part files of which something is read while the index is found."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        real = Dataset.open_file
        monkeypatch.setattr(Dataset, "open_file", lambda dataset, path: self.paths.append(path) or real(dataset, path))

    def of(self, dataset: Dataset) -> int:
        self.paths.clear()
        index(dataset)
        return len(self.paths)


def test_the_second_time_no_part_file_is_looked_into(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    footers = Footers(monkeypatch)
    assert [footers.of(dataset), footers.of(dataset), footers.of(dataset)] == [2, 0, 0]
    found = index(dataset)
    assert texts_of(found, "a") == {"detailed": 10, "short": 11}


def test_a_part_file_that_is_new_or_gone_or_of_another_size_gives_another_index(
    dataset: Dataset, clips: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    footers = Footers(monkeypatch)
    footers.of(dataset)
    Dataset(dataset.location, "later").write_part(LATENTS.within("vae"), [latent(clips[3], 3)])
    assert list(index(dataset).clips.keys) == ["a", "b", "c", "d"]
    assert footers.of(dataset) == 0
    Dataset(dataset.location, "later").write_part(TEXT.within("t5"), [embedding("short c", 3)])
    assert footers.of(dataset) == 4
    assert texts_of(index(dataset), "c") == {"detailed": 10, "short": 3}
    assert len(dataset.files(FOLDER)) == 2
    path = next(
        path for path in dataset.part_files(LATENTS.folder) if pyarrow.parquet.read_metadata(path).num_rows == 1
    )
    rows = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(rows.slice(0, 0), path)
    assert list(index(dataset).clips.keys) == ["a", "b", "c"]
    Path(path).unlink()
    assert footers.of(dataset) == 3


def test_a_copy_of_a_data_set_has_its_index_with_it(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    footers = Footers(monkeypatch)
    footers.of(dataset)
    moved = Dataset(str(Path(dataset.location).rename(tmp_path / "moved")))
    assert footers.of(moved) == 0
    assert texts_of(index(moved), "b") == {"detailed": 10, "medium": 14, "short": 12, "original": 13}


def test_an_index_that_is_damaged_is_made_again(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    footers = Footers(monkeypatch)
    footers.of(dataset)
    for path in map(Path, dataset.files(FOLDER)):
        path.write_bytes(path.read_bytes()[:-5])
        assert footers.of(dataset) == 2
        assert footers.of(dataset) == 0
    assert texts_of(index(dataset), "a") == {"detailed": 10, "short": 11}


def test_other_settings_and_other_releases_have_an_index_of_their_own(
    dataset: Dataset, clips: list[dict[str, Any]]
) -> None:
    write_release(dataset, "fewer", clips[:1])
    assert list(index(dataset, "fewer").clips.keys) == ["a"]
    assert list(index(dataset).clips.keys) == ["a", "b", "c"]
    for number, name in enumerate(KEYS):
        keys = [*KEYS[:number], f"not {name}", *KEYS[number + 1 :]]
        found = index(dataset, keys=keys)
        assert len(found.clips.keys) == (3 if number == 2 else 0)
        assert len(found.texts.keys) == (0 if number == 2 else 5)
    assert len(index(dataset).texts.keys) == 5


def test_latents_that_other_code_has_made_are_not_found(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(index(dataset).clips.keys) == 3
    monkeypatch.setattr(latents, "VERSION", latents.VERSION + 1)
    assert len(index(dataset).clips.keys) == 0


def test_motion_is_that_of_the_release_and_unknown_in_one_of_an_earlier_version(
    dataset: Dataset, clips: list[dict[str, Any]]
) -> None:
    assert index(dataset).clips.index["motion_px_s"].to_pylist() == [0.0, 1.0, None]
    (path,) = dataset.part_files(RELEASES.folder)
    rows = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(rows.drop_columns(["motion_px_s"]), path)
    dataset.delete_files(dataset.files(FOLDER))
    assert index(dataset).clips.index["motion_px_s"].to_pylist() == [None] * 3


def test_an_index_of_another_version_is_made_again(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    footers = Footers(monkeypatch)
    assert [footers.of(dataset), footers.of(dataset)] == [2, 0]
    monkeypatch.setattr(module, "VERSION", module.VERSION - 1)
    assert footers.of(dataset) == 2
