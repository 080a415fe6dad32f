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
from schemas.identity import bytes_digest
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


@dataclass(frozen=True)
class LatentSize:
    """What is known of a latent without reading it."""

    shape: tuple[int, int, int, int]
    """(C, T, H, W)."""
    valid: tuple[int, int, int]
    """Frames, width and height of the clip in pixels, without padding."""


def latent_sizes(dataset: Dataset, release: Release, encoding: Encoding) -> dict[str, LatentSize]:
    """Sizes of the release's latents by clip; the latents themselves are not read.

    Raises:
        UsageError: no clip is encoded in this way.
    """
    rows = _latents(dataset, release, encoding, ["shape", "valid"])
    sizes = {row["clip_id"]: LatentSize(tuple(row["shape"]), tuple(row["valid"])) for row in rows}
    if not sizes:
        raise UsageError(
            f"release {release.name}: no clip is encoded with this recipe's frame rate, size and autoencoder; "
            "run `reelmill encode` first, with the same recipe"
        )
    return sizes


def load_samples(dataset: Dataset, release: Release, encoding: Encoding, mix: TextMix) -> list[Sample]:
    """All clips of a release that have latents, in order of clip id, each with its texts and their shares by `mix`.

    Raises:
        UsageError: a clip has latents, but none of its captions is embedded; or a latent is not what was written.
    """
    texts = _texts(dataset, release, encoding)
    captions = {row["clip_id"]: training_texts(row) for row in release.clips.to_pylist()}
    samples: dict[str, Sample] = {}
    for row in _latents(dataset, release, encoding, ["dtype", "shape", "data", "data_hash", "fps"]):
        clip_id = row["clip_id"]
        if bytes_digest(row["data"]) != row["data_hash"]:
            raise UsageError(
                f"release {release.name}: the latent of clip {clip_id} is corrupt; `reelmill encode --verify` mends it"
            )
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


def _latents(dataset: Dataset, release: Release, encoding: Encoding, columns: list[str]) -> list[dict[str, Any]]:
    """The newest latent of each clip of a release."""
    released = [
        {"clip_id": row["clip_id"], "transform": clip_transform(row, encoding.transform)}
        for row in release.clips.to_pylist()
    ]
    wanted = pa.Table.from_pylist(released, pa.schema([("clip_id", pa.string()), ("transform", pa.string())]))
    rows = (pc.field("status") == OK) & pc.field("transform").isin(wanted["transform"].combine_chunks())
    table = LATENTS.within(encoding.autoencoder)
    found = dataset.scanner(table).to_table(
        columns=["clip_id", "transform", "written_us", *columns],
        filter=rows & pc.field("clip_id").isin(release.clips["clip_id"]),
    )
    of_release = {(row["clip_id"], row["transform"]) for row in released}
    keys = zip(found["clip_id"].to_pylist(), found["transform"].to_pylist(), strict=True)
    rows = found.filter(pa.array([key in of_release for key in keys], pa.bool_())).to_pylist()
    return list({row["clip_id"]: row for row in sorted(rows, key=lambda row: row["written_us"])}.values())


def _texts(dataset: Dataset, release: Release, encoding: Encoding) -> dict[str, np.ndarray]:
    wanted = pa.array(sorted({text_id(text) for text in release_texts(release)}), pa.string())
    table = dataset.scanner(TEXT.within(encoding.text_encoder)).to_table(filter=pc.field("text_id").isin(wanted))
    return {row["text_id"]: _array(row) for row in table.to_pylist()}


def _array(row: Mapping[str, Any]) -> np.ndarray:
    """The array that a row stores as bytes, dtype and shape; writable."""
    return np.frombuffer(row["data"], row["dtype"]).reshape(row["shape"]).copy()
