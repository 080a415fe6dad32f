"""A clip whose latent cannot be stored costs its own row only."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from model.codec.spec import CodecPlan, codec_spec
from pipeline.encode.latents import LatentEncoder, OutOfRange
from pipeline.encode.stage import LatentWriting
from pipeline.store.dataset import Dataset
from schemas import LATENTS
from schemas.recipe.encode import EncodeConfig


def test_a_latent_out_of_range_is_a_failed_row_and_the_others_are_written(
    clip_row: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LatentEncoder.__call__

    def black_overflows(self: LatentEncoder, frames: np.ndarray, plan: CodecPlan) -> np.ndarray:
        if not frames.any():
            raise OutOfRange("a latent cannot be stored as float16")
        return real(self, frames, plan)

    monkeypatch.setattr(LatentEncoder, "__call__", black_overflows)
    dataset = Dataset(str(tmp_path))
    writing = LatentWriting(dataset, EncodeConfig(), codec_spec(), 3, lambda *counts: None)
    rows = []
    for name, level in (("black", 0), ("grey", 128)):
        clip = clip_row(name, "v", is_image=True, content_box=[0, 0, 20, 16]) | {"transform": "t", "failures": 0}
        frames = np.full((1, 16, 20, 3), level, np.uint8)
        read = {"frames": frames.tobytes(), "shape": list(frames.shape), "failure": "", "transient": False}
        rows.append({"clip": pickle.dumps(clip)} | read)
    writing.write(pa.Table.from_pylist(rows))
    found = {row["clip_id"]: row for row in dataset.read(LATENTS.within(codec_spec().fingerprint)).to_pylist()}
    assert (found["black"]["status"], found["black"]["transient"]) == ("failed", False)
    assert found["black"]["reason"] == "a latent cannot be stored as float16"
    assert found["black"]["data"] is None
    assert (found["grey"]["status"], found["grey"]["valid"]) == ("ok", [1, 20, 16])
