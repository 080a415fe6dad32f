"""Training samples from the tables of a data set: a release, its latents, and its texts.

A release lists clips. Their latents are found by clip, transform and autoencoder, and their texts by content and text
encoder, so nothing that was encoded in another way can be read by mistake. Where all of them lie is in a table on disk
that is mapped into memory; latents and embeddings are read when a pack is made of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jobs.training.shapes import Shapes, tuples
from model.training.examples import Sample
from pipeline.encode.latents import place_of
from pipeline.encode.places import CorruptArray
from pipeline.encode.sorted_keys import Strings
from pipeline.encode.training_index import TrainingIndex, training_index
from pipeline.encode.wanted import KINDS
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from schemas.errors import UsageError
from schemas.recipe.train import TextMix, TrainConfig


@dataclass(frozen=True)
class Encoding:
    """Which latents and texts a run reads: the transform of `EncodeConfig`, and fingerprints of the two encoders."""

    transform: str
    autoencoder: str
    text_encoder: str
    fps: float
    stride_t: int
    """Frames to a latent frame."""


def frames_given(train: TrainConfig) -> tuple[str, ...]:
    """Single frames that training gives as conditions."""
    return ("last",) if train.model.lone_frames else ()


class ReleaseSamples:
    """The clips of a release that have latents, with their texts and the shares of these by a mix."""

    def __init__(
        self, dataset: Dataset, release: str, encoding: Encoding, mix: TextMix, single_frames: Sequence[str] = ()
    ) -> None:
        """Find out where they lie; none is read.

        Args:
            release: its name.
            single_frames: whose latents samples have too, where they are encoded (`encode.single_frames`).
        Raises:
            UsageError: there is no such release, no clip is encoded in this way, or one has latents, but none of its
                captions is embedded, or a part file cannot be read.
        """
        self._release, self._encoding = release, encoding
        self._index = index_of(dataset, release, encoding, single_frames)
        columns = self._index.clips.index
        self.names = self._index.clips.keys
        self.videos = Strings(columns["video_id"])
        self.shapes = Shapes(self.names, columns["shape"])
        """(C, T, H, W) of the latent of each clip, in the order of their ids."""
        self._rates, self._valid, self._motion = columns["fps"], columns["valid"], columns["motion_px_s"]
        self._texts = {kind: columns[kind] for kind in KINDS if getattr(mix, kind) > 0}
        self._shares = {kind: getattr(mix, kind) for kind in self._texts}
        self._require_texts()

    def _require_texts(self) -> None:
        """Raise UsageError if a clip has no text that can be drawn."""
        without = np.ones(len(self.shapes), bool)
        for places in self._texts.values():
            without &= places.is_null().to_numpy()
        if without.any():
            clip_id = self._index.clips.keys[int(without.argmax())]
            raise UsageError(
                f"release {self._release}: no caption of clip {clip_id} is embedded; run `reelmill encode` first"
            )

    @property
    def has_motion(self) -> bool:
        """Whether of any clip it is known how much moves."""
        return self._motion.null_count < len(self._motion)

    def sizes(self) -> Iterator[tuple[int, ...]]:
        """Frames, width and height in pixels of each clip as it is encoded, without padding."""
        return tuples(self._index.clips.index["valid"])

    def read(self, ids: Sequence[str]) -> list[Sample]:
        """The samples of clips.

        Raises:
            UsageError: a latent or an embedding is not what was written.
        """
        rows = [self._index.clips.keys.row(name) for name in ids]
        texts = [self._texts_of(row) for row in rows]
        places = sorted({place for of_clip in texts for place in of_clip.values()})
        try:
            latents = self._index.clips.read_rows(rows)
            arrays = dict(zip(places, self._index.texts.read_rows(places), strict=True))
            frames = self._frame_latents(ids)
        except CorruptArray as error:
            raise refusal(self._release, error) from error
        return [
            Sample(
                name,
                latent,
                [arrays[place] for place in of_clip.values()],
                self._fps(row) / self._encoding.stride_t,
                tuple(self._shares[kind] for kind in of_clip),
                frames[name],
                motion_px_s=self._motion[row].as_py(),
            )
            for name, row, latent, of_clip in zip(ids, rows, latents, texts, strict=True)
        ]

    def _texts_of(self, row: int) -> dict[str, int]:
        """The texts of a clip that may be drawn, by what they are: their rows in the index of texts."""
        places = {kind: column[row].as_py() for kind, column in self._texts.items()}
        return {kind: place for kind, place in places.items() if place is not None}

    def _frame_latents(self, ids: Sequence[str]) -> dict[str, dict[float, np.ndarray]]:
        """The latents of single frames of clips, by the seconds at which they are shown."""
        found: dict[str, dict[float, np.ndarray]] = {name: {} for name in ids}
        for frame, stored in self._index.frames.items():
            names = [name for name in found if name in stored]
            for name, latent in zip(names, stored.read(names), strict=True):
                row = self._index.clips.keys.row(name)
                found[name][place_of(frame, self._valid[row].as_py()[0]) / self._fps(row)] = latent
        return found

    def _fps(self, row: int) -> float:
        """Frames a second at which a clip is encoded."""
        return self._rates[row].as_py() or self._encoding.fps


def index_of(dataset: Dataset, release: str, encoding: Encoding, single_frames: Sequence[str] = ()) -> TrainingIndex:
    """Where the newest latent of each clip of a release lies, and each text.

    Raises:
        UsageError: there is no such release, no clip is encoded in this way, or a part file cannot be read.
    """
    try:
        index = training_index(
            dataset,
            releases.scanner(dataset, release),
            releases.content_hash(dataset, release),
            encoding.transform,
            encoding.autoencoder,
            encoding.text_encoder,
            single_frames,
        )
    except CorruptArray as error:
        raise refusal(release, error) from error
    if not index.clips.index.num_rows:
        if not releases.scanner(dataset, release).count_rows():
            raise UsageError(f"release {release}: it has no clips; freeze one with `reelmill release` that has some")
        raise UsageError(
            f"release {release}: no clip is encoded with this recipe's frame rate, size and autoencoder; "
            "run `reelmill encode` first, with the same recipe"
        )
    return index


def refusal(release: str, error: CorruptArray) -> UsageError:
    """What training says of damage."""
    return UsageError(f"release {release}: {error}; `reelmill encode --verify` makes what is damaged again")
