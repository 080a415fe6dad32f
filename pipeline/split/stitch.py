"""Stitching: shots of one scene that a jump cut or an occlusion divides become one again (Panda-70M, Chen et al. 2024).

The frames on both sides of a hard cut are read again, by random access, and embedded. Where their unit vectors are
close together, the cut is no boundary. Off unless the recipe gives a distance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.decode.random_access import frames_at
from pipeline.decode.reader import fit_to_budget
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


def stitched(
    path: str, transitions: Sequence[Transition], times_us: Sequence[int], size: tuple[int, int], config: SplitConfig
) -> list[Transition]:
    """The transitions of a video without the hard cuts whose sides look alike.

    Args:
        size: width and height as displayed.
    Raises:
        MediaError: the file does not decode a second time.
    """
    if not any(transition.kind == "cut" for transition in transitions):
        return list(transitions)
    distance = _distance(path, transitions, times_us, size, ClipEmbedder(EmbeddingConfig(model=config.stitch_model)))
    return stitch(transitions, distance, config.stitch_distance)


def _distance(
    path: str,
    transitions: Sequence[Transition],
    times_us: Sequence[int],
    size: tuple[int, int],
    embedder: ClipEmbedder,
) -> Callable[[Transition], float]:
    """L2 distance of the unit embeddings of the two sides of a cut."""
    starts = dict(zip(transitions, [0, *(before.end for before in transitions)], strict=False))
    ends = dict(zip(transitions, [*(after.first for after in transitions[1:]), len(times_us)], strict=True))

    def distance(cut: Transition) -> float:
        before = max(starts[cut], cut.first - FRAMES_AWAY)
        after = min(ends[cut] - 1, cut.end + FRAMES_AWAY - 1)
        reduced = fit_to_budget(*size, MAX_PIXELS_PX)
        frames = frames_at(path, [times_us[before], times_us[after]], (0, 0, *size), size, reduced)
        vectors = embedder.embed_frames([frames[:1], frames[1:]])
        return float(np.linalg.norm(vectors[0] - vectors[1]))

    return distance
