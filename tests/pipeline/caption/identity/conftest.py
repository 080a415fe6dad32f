"""Data sets of captions and embeddings that belong together, or do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.store.dataset import Dataset
from schemas import EMBEDDINGS, MEASURES, VIDEOS
from tests.conftest import write_captions, write_clips

MakeRow = Callable[..., dict[str, Any]]
MakeDataset = Callable[..., Dataset]
BOX = [0, 0, 160, 120]


@pytest.fixture
def captioned(tmp_path: Path, video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow) -> MakeDataset:
    """`captioned(texts, clips, said, batch)`: kept clips c000, c001, ... with their embeddings and captions."""

    def make(texts: np.ndarray, clips: np.ndarray, said: Sequence[str] | None = None, batch: int = 32) -> Dataset:
        dataset = Dataset(str(tmp_path / "ds"), run_id="run0")
        ids = [f"c{i:03}" for i in range(len(texts))]
        dataset.write_part(VIDEOS, [video_row("v0")])
        write_clips(dataset, [clip_row(clip_id, "v0", content_box=BOX) for clip_id in ids])
        embedded = {"measure": "m", "shown_box": BOX, "encoder": "e"}
        measured = dict.fromkeys(MEASURES["embedding"].schema.names) | embedded
        dataset.write_part(MEASURES["embedding"], [measured | {"clip_id": clip_id} for clip_id in ids])
        points = [{"clip_id": i, "encoder": "e", "embedding": v.tolist()} for i, v in zip(ids, clips, strict=True)]
        dataset.write_part(EMBEDDINGS, points)
        rows = [
            caption_row(
                clip_id,
                shown_box=BOX,
                text_embedding=vector.tolist(),
                similarity_encoder="e",
                detailed=said[i] if said is not None else f"caption number {i} says thing{i}",
                batch_id=f"batch {i // batch:03}",
                batch_place=i % batch,
                written_us=1000 + i // batch,
            )
            for i, (clip_id, vector) in enumerate(zip(ids, texts, strict=True))
        ]
        write_captions(dataset, rows)
        return dataset

    return make
