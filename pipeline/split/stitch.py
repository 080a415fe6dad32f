"""Stitching: shots of one scene that a jump cut or an occlusion divides become one again (Panda-70M, Chen et al. 2024).

The frames on both sides of all hard cuts are read again, in one pass, and embedded. Where their unit vectors are
close together, the cut is no boundary. Off unless the recipe gives a distance.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.decode.random_access import TimedFrames
from pipeline.decode.sizes import fit_to_budget
from pipeline.measure.clip.embedding import ClipEmbedder
from pipeline.split.clips import stitch
from pipeline.split.detectors.detector import Transition
from schemas.recipe.embedding import EmbeddingConfig
from schemas.recipe.split import SplitConfig

MAX_PIXELS_PX = 224 * 224
"""The usual input size of image embedding models."""
FRAMES_AWAY = 2
"""How far from the cut, within their shots, the two frames are taken: a frame beside the cut may hold a trace of the
other shot."""
BATCH_FRAMES = 32


def stitched(
    path: str, transitions: Sequence[Transition], times_us: Sequence[int], size: tuple[int, int], config: SplitConfig
) -> list[Transition]:
    """The transitions of a video without the hard cuts whose sides look alike.

    Args:
        size: width and height as displayed.
    Raises:
        MediaError: the file does not decode a second time.
    """
    cuts = [transition for transition in transitions if transition.kind == "cut"]
    if not cuts:
        return list(transitions)
    sides = _sides(transitions, len(times_us))
    wanted = sorted({frame for cut in cuts for frame in sides[cut]})
    embedder = ClipEmbedder(EmbeddingConfig(model=config.stitch_model))
    vectors = dict(zip(wanted, _vectors(path, [times_us[frame] for frame in wanted], size, embedder), strict=True))

    def distance(cut: Transition) -> float:
        before, after = sides[cut]
        return float(np.linalg.norm(vectors[before] - vectors[after]))

    return stitch(transitions, distance, config.stitch_distance)


def _sides(transitions: Sequence[Transition], num_frames: int) -> dict[Transition, tuple[int, int]]:
    """The frame before and the frame after each transition."""
    starts = [0, *(before.end for before in transitions[:-1])]
    ends = [*(after.first for after in transitions[1:]), num_frames]
    return {
        cut: (max(start, cut.first - FRAMES_AWAY), min(end - 1, cut.end + FRAMES_AWAY - 1))
        for cut, start, end in zip(transitions, starts, ends, strict=True)
    }


def _vectors(path: str, times_us: Sequence[int], size: tuple[int, int], embedder: ClipEmbedder) -> Iterator[np.ndarray]:
    """The unit embedding of the frame at each of some ascending times, read in one pass."""
    reduced = fit_to_budget(*size, MAX_PIXELS_PX)
    with TimedFrames(path) as frames:
        pictures = (shown.cut((0, 0, *size), size, reduced) for shown in frames.at(times_us))
        while batch := list(itertools.islice(pictures, BATCH_FRAMES)):
            yield from embedder.embed_frames([picture[None] for picture in batch])
