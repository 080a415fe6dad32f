"""What a measure is: the two protocols, and what the registry says of an implementation of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipeline.decode.clip_frames import Clip, Sampling, spread
from pipeline.decode.frame import Span, StreamFrame, VideoFacts
from schemas.recipe import Recipe
from schemas.recipe.measure import MeasureConfig


class StreamMeasure(Protocol):
    """Frames of a video in, as they pass; numbers of any span out. It keeps a few numbers of a frame, no picture."""

    every_frame: bool
    """Whether it is given every frame, or only the sampled ones (`measure.sample_hz`)."""

    def push(self, frame: StreamFrame, previous: StreamFrame | None) -> None:
        """Take a frame; `previous` is the one just before it in the video, sampled or not."""
        ...

    def scores(self, span: Span, spans: Sequence[Span]) -> dict[str, Any]:
        """The columns for one span, out of all `spans` of the video, once the last frame has been pushed."""
        ...


@dataclass(frozen=True)
class StreamKind:
    """How the stream measures that one object takes are made; most objects take one."""

    covers: tuple[str, ...]
    """Names of the measures, whose columns are declared under them in `schemas/tables/measures.py`."""
    make: Callable[[VideoFacts, MeasureConfig], StreamMeasure]
    version: int
    """Raised when the code gives other numbers, here and nowhere else."""


class ClipMeasure(Protocol):
    """Frames of a clip in, numbers out. What it runs on, such as a model, is loaded when it is made."""

    def measure(self, frames: np.ndarray, times_s: list[float]) -> dict[str, Any]:
        """The columns for one clip.

        Args:
            frames: (T, H, W, 3) uint8 RGB inside the content box, T >= 1, in the order of time.
            times_s: when each is shown, from the clip's start.
        """
        ...


def shared_sampling(clip: Clip, recipe: Recipe) -> Sampling:
    """The frames of the recipe's section [frames], which measures without a sampling of their own are shown."""
    return spread(clip, recipe.frames.num_frames, recipe.frames.max_pixels_px)


@dataclass(frozen=True)
class ClipKind:
    """How a clip measure is made. It is on when the recipe's section of its name says so, or if there is none."""

    name: str
    """Its columns are declared under this name in `schemas/tables/measures.py`."""
    make: Callable[[Recipe], ClipMeasure]
    version: int
    """Raised when the code gives other numbers, here and nowhere else."""
    settings: Callable[[Recipe], Sequence[object]]
    """All of the recipe that its numbers depend on, with digests of the weights that it names."""
    sampling: Callable[[Clip, Recipe], Sampling] | None = None
    """Frames of its own, large ones, say: then it runs where they are read. Without, it is shown the shared
    ones."""
