"""Training samples from the tables of a data set: a release, its latents, and its texts.

A release lists clips. Their latents are found by clip, transform and autoencoder, and their texts by content and text
encoder, so nothing that was encoded in another way can be read by mistake. What is known of all clips is in memory;
latents and embeddings are read when a pack is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from jobs.training.texts import release_texts
from model.training.examples import Sample
from model.training.samples import Shape
from pipeline.encode.arrays import CorruptArray, StoredArrays
from pipeline.encode.latents import OK, clip_transform
from pipeline.encode.wanted import training_texts
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


class ReleaseSamples:
    """The clips of a release that have latents, with their texts and the shares of these by a mix."""

    def __init__(self, dataset: Dataset, release: Release, encoding: Encoding, mix: TextMix) -> None:
        """Read the index.

        Raises:
            UsageError: no clip is encoded in this way, or one has latents, but none of its captions is embedded, or a
                part file cannot be read.
        """
        self._release, self._encoding = release.name, encoding
        try:
            self._index(dataset, release, encoding, mix)
        except CorruptArray as error:
            raise self._refusal(error) from error

    def _index(self, dataset: Dataset, release: Release, encoding: Encoding, mix: TextMix) -> None:
        self._latents = latents_of(dataset, release, encoding)
        texts = pa.table({"text_id": sorted({text_id(text) for text in release_texts(release)})})
        self._texts = StoredArrays(dataset, TEXT.within(encoding.text_encoder), texts)
        captions = {row["clip_id"]: training_texts(row) for row in release.clips.to_pylist()}
        self._shares = {name: self._shares_of(name, captions[name], mix) for name in self.shapes}

    def _refusal(self, error: CorruptArray) -> UsageError:
        return UsageError(f"release {self._release}: {error}; `reelmill encode --verify` makes what is damaged again")

    def _shares_of(self, clip_id: str, captions: Mapping[str, str], mix: TextMix) -> dict[str, float]:
        shares = {text_id(text): getattr(mix, kind) for kind, text in captions.items()}
        given = {key: share for key, share in shares.items() if share > 0 and key in self._texts}
        if not given:
            raise UsageError(
                f"release {self._release}: no caption of clip {clip_id} is embedded; run `reelmill encode` first"
            )
        return given

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """(C, T, H, W) of the latent of each clip, in the order of their ids."""
        index = self._latents.index
        return {name: tuple(shape) for name, shape in zip(*_columns(index, "clip_id", "shape"), strict=True)}

    @cached_property
    def _rates(self) -> dict[str, float]:
        """Latent frames a second of each clip."""
        rows = zip(*_columns(self._latents.index, "clip_id", "fps"), strict=True)
        return {name: (fps or self._encoding.fps) / self._encoding.stride_t for name, fps in rows}

    def read(self, ids: Sequence[str]) -> list[Sample]:
        """The samples of clips.

        Raises:
            UsageError: a latent or an embedding is not what was written.
        """
        try:
            latents = self._latents.read(ids)
            keys = list(dict.fromkeys(key for name in ids for key in self._shares[name]))
            texts = dict(zip(keys, self._texts.read(keys), strict=True))
        except CorruptArray as error:
            raise self._refusal(error) from error
        return [
            Sample(name, latent, [texts[key] for key in shares], self._rates[name], tuple(shares.values()))
            for name, latent in zip(ids, latents, strict=True)
            for shares in [self._shares[name]]
        ]


def latents_of(dataset: Dataset, release: Release, encoding: Encoding) -> StoredArrays:
    """The newest latent of each clip of a release; none is read.

    Raises:
        UsageError: no clip is encoded in this way.
    """
    clips = release.clips.select(["clip_id", "content_box"]).to_pylist()
    wanted = {
        "clip_id": [clip["clip_id"] for clip in clips],
        "transform": [clip_transform(clip, encoding.transform) for clip in clips],
    }
    table = LATENTS.within(encoding.autoencoder)
    latents = StoredArrays(dataset, table, pa.table(wanted), ["status", "fps", "valid"], f"status = '{OK}'")
    if not latents.index.num_rows:
        raise UsageError(
            f"release {release.name}: no clip is encoded with this recipe's frame rate, size and autoencoder; "
            "run `reelmill encode` first, with the same recipe"
        )
    return latents


def _columns(index: pa.Table, *names: str) -> list[list[Any]]:
    return [index[name].to_pylist() for name in names]
