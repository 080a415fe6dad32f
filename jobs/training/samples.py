"""Training samples from the tables of a data set: a release, its latents, and its texts.

A release lists clips. Their latents are found by clip, transform and autoencoder, and their texts by content and text
encoder, so nothing that was encoded in another way can be read by mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.training.texts import release_texts, training_texts
from model.training.examples import Sample
from pipeline.encode.latents import OK, clip_transform
from pipeline.release.releases import Release
from pipeline.store.dataset import Dataset
from schemas import LATENTS, TEXT
from schemas.errors import UsageError
from schemas.recipe.train import TextMix
from schemas.tables.latents import text_id


@dataclass(frozen=True)
class Encoding:
    """Which latents and texts a run reads: the transform of `EncodeConfig`, and fingerprints of the two encoders."""

    transform: str
    autoencoder: str
    text_encoder: str
    fps: float
    stride_t: int
    """Frames to a latent frame."""


def latent_shapes(dataset: Dataset, release: Release, encoding: Encoding) -> dict[str, tuple[int, int, int, int]]:
    """Shapes (C, T, H, W) of the release's latents by clip; the latents themselves are not read.

    Raises:
        UsageError: no clip is encoded in this way.
    """
    table = _latents(dataset, release, encoding, ["clip_id", "shape"])
    shapes = {row["clip_id"]: tuple(row["shape"]) for row in table.to_pylist()}
    if not shapes:
        raise UsageError(
            f"release {release.name}: no clip is encoded with this recipe's frame rate, size and autoencoder; "
            "run `reelmill encode` first, with the same recipe"
        )
    return shapes


def load_samples(dataset: Dataset, release: Release, encoding: Encoding, mix: TextMix) -> list[Sample]:
    """All clips of a release that have latents, in order of clip id, each with its texts and their shares by `mix`.

    Raises:
        UsageError: a clip has latents, but none of its captions is embedded.
    """
    texts = _texts(dataset, release, encoding)
    captions = {row["clip_id"]: training_texts(row) for row in release.clips.to_pylist()}
    samples: dict[str, Sample] = {}
    for row in _latents(dataset, release, encoding, ["clip_id", "dtype", "shape", "data", "fps"]).to_pylist():
        clip_id = row["clip_id"]
        shares = {
            text_id(text): getattr(mix, kind)
            for kind, text in captions[clip_id].items()
            if text_id(text) in texts and getattr(mix, kind) > 0
        }
        if not shares:
            raise UsageError(
                f"release {release.name}: no caption of clip {clip_id} is embedded; run `reelmill encode` first"
            )
        found = [texts[key] for key in shares]
        latent_fps = (row["fps"] or encoding.fps) / encoding.stride_t
        samples[clip_id] = Sample(clip_id, _array(row), found, latent_fps, tuple(shares.values()))
    return [samples[clip_id] for clip_id in sorted(samples)]


def _latents(dataset: Dataset, release: Release, encoding: Encoding, columns: list[str]) -> pa.Table:
    released = [
        {"clip_id": row["clip_id"], "transform": clip_transform(row, encoding.transform)}
        for row in release.clips.to_pylist()
    ]
    wanted = pa.Table.from_pylist(released, pa.schema([("clip_id", pa.string()), ("transform", pa.string())]))
    rows = (pc.field("status") == OK) & pc.field("transform").isin(wanted["transform"].combine_chunks())
    table = LATENTS.within(encoding.autoencoder)
    found = dataset.scanner(table).to_table(
        columns=[*columns, "transform"], filter=rows & pc.field("clip_id").isin(release.clips["clip_id"])
    )
    of_release = {(row["clip_id"], row["transform"]) for row in released}
    keys = zip(found["clip_id"].to_pylist(), found["transform"].to_pylist(), strict=True)
    return found.filter(pa.array([key in of_release for key in keys], pa.bool_())).drop_columns(["transform"])


def _texts(dataset: Dataset, release: Release, encoding: Encoding) -> dict[str, np.ndarray]:
    wanted = pa.array(sorted({text_id(text) for text in release_texts(release)}), pa.string())
    table = dataset.scanner(TEXT.within(encoding.text_encoder)).to_table(filter=pc.field("text_id").isin(wanted))
    return {row["text_id"]: _array(row) for row in table.to_pylist()}


def _array(row: Mapping[str, Any]) -> np.ndarray:
    """The array that a row stores as bytes, dtype and shape; writable."""
    return np.frombuffer(row["data"], row["dtype"]).reshape(row["shape"]).copy()
