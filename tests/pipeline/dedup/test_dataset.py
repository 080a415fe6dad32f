"""Groupings of a data set: the newest counts, also one that finds nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.dedup.dataset import group_duplicates
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import VIDEOS
from schemas.recipe.duplicates import DuplicatesConfig
from tests.conftest import MakeRow, write_clips

TIMES_US = [0, 500_000, 1_000_000, 1_500_000]


def test_a_grouping_that_finds_nothing_counts_too(tmp_path: Path, video_row: MakeRow, clip_row: MakeRow) -> None:
    dataset = Dataset(str(tmp_path))
    contrasts = np.random.default_rng(0).normal(0, 30, (len(TIMES_US), 64)).clip(-127, 127).astype(np.int8)
    noisy = (contrasts + np.random.default_rng(1).integers(-2, 3, contrasts.shape)).clip(-127, 127).astype(np.int8)
    dataset.write_part(VIDEOS, [video_row("v0"), video_row("v1")])
    rows = []
    for number, frames in enumerate((contrasts, noisy)):
        described = {
            "content_digest": str(number),
            "video_hash": np.packbits(frames > 0, axis=1).tobytes(),
            "video_hash_contrasts": frames.tobytes(),
            "video_hash_times_us": TIMES_US,
        }
        rows.append(clip_row(f"c{number}", f"v{number}", **described))
    write_clips(dataset, rows)

    def grouped(config: DuplicatesConfig) -> list[tuple]:
        group_duplicates(dataset, config)
        return connect(dataset).sql("select clip_id, group_size from duplicates order by 1").fetchall()

    assert grouped(DuplicatesConfig()) == [("c0", 2), ("c1", 2)]
    num_parts = len(dataset.part_files("duplicates"))
    for _ in range(2):
        assert grouped(DuplicatesConfig(near_distance=0.001)) == []
        assert len(dataset.part_files("duplicates")) == num_parts + 1
    assert grouped(DuplicatesConfig()) == [("c0", 2), ("c1", 2)]
