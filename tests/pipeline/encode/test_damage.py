"""A latent that is not what was written is found, of a whole clip and of a single frame alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset
import pytest

from pipeline.encode.damage import corrupt_latents
from pipeline.encode.wanted import wanted_clips
from pipeline.store.dataset import Dataset
from schemas import LATENTS, RELEASES
from schemas.identity import bytes_digest
from tests.jobs.conftest import release_row

FRAMES = ("first", "last")


@pytest.mark.parametrize("frame", [None, "first", "last"])
def test_a_clip_of_which_any_latent_is_damaged_is_told_once(tmp_path: Path, frame: str | None) -> None:
    dataset = Dataset(str(tmp_path), "run")
    released = pyarrow.dataset.dataset(RELEASES.encode([release_row(name, 0) for name in "abc"]))
    wanted: list[dict[str, Any]] = wanted_clips(released, "settings", FRAMES).read_all().to_pylist()
    rows = []
    for number, row in enumerate(wanted):
        data = np.full((8, 1, 2, 2), number, np.float16).tobytes()
        key = {name: row[name] for name in ("clip_id", "transform", "frame")} | {"encoder": "vae", "status": "ok"}
        facts = {"dtype": "float16", "shape": [8, 1, 2, 2], "data": data, "data_hash": bytes_digest(data)}
        if row["clip_id"] == "b" and row["frame"] == frame:
            facts |= {"data": bytes(len(data) - 1) + b"\7"}
        rows.append(dict.fromkeys(LATENTS.schema.names) | key | facts)
    dataset.write_part(LATENTS.within("vae"), rows)
    assert corrupt_latents(dataset, wanted_clips(released, "settings", FRAMES), "vae") == ["b"]
    of_clips = corrupt_latents(dataset, wanted_clips(released, "settings"), "vae")
    assert of_clips == (["b"] if frame is None else [])
