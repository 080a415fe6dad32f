"""A balanced release: drawn from trainable clips, the same for the same seed, and no draw without embeddings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.release import releases
from pipeline.store.dataset import Dataset, to_parquet
from schemas import EMBEDDINGS, MEASURES, VIDEOS
from schemas.errors import UsageError
from schemas.identity import digest
from tests.conftest import write_captions, write_clips

MakeRow = Callable[..., dict[str, Any]]
NUM_COMMON, NUM_RARE = 180, 20


@pytest.fixture
def dataset(tmp_path: Path, video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow) -> Dataset:
    """A large cloud of embeddings and a small one, far apart."""
    dataset = Dataset(str(tmp_path / "ds"))
    names = [f"common{i}" for i in range(NUM_COMMON)] + [f"rare{i}" for i in range(NUM_RARE)]
    random = np.random.default_rng(0)
    points = []
    for name in names:
        centre = np.eye(8)[0 if name.startswith("common") else 4]
        vector = centre + random.normal(0, 0.01, 8)
        points.append((vector / np.linalg.norm(vector)).tolist())
    dataset.write_part(VIDEOS, [video_row("v0")])
    write_clips(dataset, [clip_row(name, "v0") for name in names])
    write_captions(dataset, [caption_row(name) for name in names])
    rows = [{"clip_id": n, "encoder": "e", "embedding": p} for n, p in zip(names, points, strict=True)]
    dataset.write_part(EMBEDDINGS, rows)
    mark = {
        "measure": "m",
        "written_us": 1,
        "failure": None,
        "transient": None,
        "num_failures": None,
        "shown_box": [0, 0, 160, 120],
        "encoder": "e",
    }
    dataset.write_part(MEASURES["embedding"], [{"clip_id": name} | mark for name in names])
    return dataset


def test_the_rare_kind_is_sampled_more_than_its_share(dataset: Dataset) -> None:
    drawn = [releases.select(dataset, "true", releases.Balance(40, seed))["clip_id"].to_pylist() for seed in range(5)]
    assert {len(clips) for clips in drawn} == {40}
    rare = np.mean([sum(clip.startswith("rare") for clip in clips) for clips in drawn])
    assert rare > 1.5 * 40 * NUM_RARE / (NUM_RARE + NUM_COMMON)


def test_a_sample_is_frozen_with_its_seed(dataset: Dataset) -> None:
    first, is_new = releases.freeze(dataset, "even", "true", releases.Balance(10, seed=7))
    again, is_new_again = releases.freeze(dataset, "even", "true", releases.Balance(10, seed=7))
    assert (is_new, is_new_again) == (True, False)
    assert first.content_hash == again.content_hash
    with pytest.raises(UsageError, match="other content"):
        releases.freeze(dataset, "even", "true", releases.Balance(10, seed=8))


def test_clips_without_an_embedding_cannot_be_balanced(
    dataset: Dataset, clip_row: MakeRow, caption_row: MakeRow
) -> None:
    write_clips(dataset, [clip_row("bare", "v0")])
    write_captions(dataset, [caption_row("bare")])
    with pytest.raises(UsageError, match="1 of 201 clips have no embedding"):
        releases.select(dataset, "true", releases.Balance(10))


def test_a_release_that_an_earlier_version_froze_without_a_column_is_the_same_selection(dataset: Dataset) -> None:
    """It had no motion, and its hash is that of the other columns."""
    frozen, _ = releases.freeze(dataset, "old", "true")
    rows = frozen.clips.drop_columns(["motion_px_s"])
    facts = {"name": "old", "hash": digest(*rows.to_pylist()), "where": "true", "frozen_us": 1}
    metadata = {releases.METADATA_KEY: json.dumps(facts)}
    dataset.write_bytes("releases/old.parquet", to_parquet(rows.replace_schema_metadata(metadata)))
    again, is_new = releases.freeze(dataset, "old", "true")
    assert (is_new, again.frozen_us, again.content_hash) == (False, 1, facts["hash"])
    assert again.content_hash != frozen.content_hash
    with pytest.raises(UsageError, match="other content"):
        releases.freeze(dataset, "old", "clip_id <> 'rare0'")


def test_a_release_has_the_motion_of_its_clips(dataset: Dataset, clip_row: MakeRow, caption_row: MakeRow) -> None:
    write_clips(dataset, [clip_row("moving", "v0", motion_px_s=4.5)])
    write_captions(dataset, [caption_row("moving")])
    (row,) = releases.select(dataset, "clip_id = 'moving'").to_pylist()
    assert row["motion_px_s"] == 4.5
