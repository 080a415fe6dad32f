"""From the tables of a data set to training samples: a release, its latents, and its texts.

A release names clips; latents and texts are found by content address (clip and transform and autoencoder, text and
encoder), so what was encoded in another way cannot be read by mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from model.examples import Sample
from pipeline.dataset import Dataset
from pipeline.releases import Release
from pipeline.stages.latents import OK, TIME_STRIDE
from schemas import LATENTS, TEXT
from schemas.errors import UsageError
from schemas.latents import text_id


@dataclass(frozen=True)
class Encoding:
    """Which latents and texts a run reads: the transform of `EncodeConfig`, and two fingerprints."""

    transform: str
    autoencoder: str
    text_encoder: str
    fps: float


def latent_shapes(dataset: Dataset, release: Release, encoding: Encoding) -> dict[str, tuple[int, int, int, int]]:
    """Shapes (C, T, H, W) of the release's latents by clip, read without the latents themselves.

    Raises:
        UsageError: none of the clips has been encoded in this way.
    """
    table = _latents(dataset, release, encoding, ["clip_id", "shape"])
    shapes = {row["clip_id"]: tuple(row["shape"]) for row in table.to_pylist()}
    if not shapes:
        raise UsageError(
            f"release {release.name}: no clip is encoded with this recipe's frame rate, size and autoencoder; "
            "run `reelmill encode` first, with the same recipe"
        )
    return shapes


def load_samples(dataset: Dataset, release: Release, encoding: Encoding) -> list[Sample]:
    """All samples of a release that have latents, in order of clip id.

    Raises:
        UsageError: a clip has latents but none of its captions has been embedded.
    """
    texts = _texts(dataset, release, encoding)
    captions = dict(zip(release.clips["clip_id"].to_pylist(), _captions(release), strict=True))
    samples: dict[str, Sample] = {}
    for row in _latents(dataset, release, encoding, ["clip_id", "dtype", "shape", "data", "fps"]).to_pylist():
        clip_id = row["clip_id"]
        found = [texts[text_id(text)] for text in dict.fromkeys(captions[clip_id]) if text_id(text) in texts]
        if not found:
            raise UsageError(
                f"release {release.name}: no caption of clip {clip_id} is embedded; run `reelmill encode` first"
            )
        samples[clip_id] = Sample(clip_id, _array(row), found, (row["fps"] or encoding.fps) / TIME_STRIDE)
    return [samples[clip_id] for clip_id in sorted(samples)]


def _latents(dataset: Dataset, release: Release, encoding: Encoding, columns: list[str]) -> pa.Table:
    rows = (pc.field("status") == OK) & (pc.field("transform") == encoding.transform)
    table = LATENTS.within(encoding.autoencoder)
    return dataset.scanner(table).to_table(
        columns=columns, filter=rows & pc.field("clip_id").isin(release.clips["clip_id"])
    )


def _texts(dataset: Dataset, release: Release, encoding: Encoding) -> dict[str, np.ndarray]:
    wanted = pa.array(sorted({text_id(text) for texts in _captions(release) for text in texts}), pa.string())
    table = dataset.scanner(TEXT.within(encoding.text_encoder)).to_table(filter=pc.field("text_id").isin(wanted))
    return {row["text_id"]: _array(row) for row in table.to_pylist()}


def _captions(release: Release) -> list[tuple[str, str]]:
    """Detailed and short caption of each clip."""
    return list(zip(release.clips["detailed"].to_pylist(), release.clips["short"].to_pylist(), strict=True))


def _array(row: Mapping[str, Any]) -> np.ndarray:
    """The array that a row holds as bytes, dtype and shape; writable."""
    return np.frombuffer(row["data"], row["dtype"]).reshape(row["shape"]).copy()
