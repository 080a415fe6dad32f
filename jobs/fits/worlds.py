"""Two parts of the synthetic world, and who reads what a clip of each shows.

Of a plain object on a plain ground `plain_world.py` reads shape, colour, direction and background. Of the
whole world the built-in captioner does, from its detailed caption; where there are two objects, of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from jobs.fits import plain_world
from pipeline.caption.backends.catalogue import load_captioner
from pipeline.caption.captioner import Captioner, ClipFrames
from pipeline.synthetic.world import Scene, attributes, detailed_caption, draw_scene
from schemas.recipe.caption import CaptionConfig
from schemas.structured_caption import Length, StructuredCaption, text_of

CAPTIONED_TOGETHER = 16


@dataclass(frozen=True)
class World:
    """How a scene is drawn from a seed, which text says all that is read, and what is read and true of a clip."""

    draw: Callable[[int], Scene]
    prompt: Length
    names: tuple[str, ...]
    """Of what is read."""
    true: Callable[[Scene], Mapping[str, str]]
    read: Callable[[np.ndarray], Sequence[Mapping[str, str]]]
    """Of clips, (B, T, H, W, 3) uint8; what cannot be read is absent or empty."""

    def shares_right(self, clips: np.ndarray, scenes: Sequence[Scene]) -> dict[str, float]:
        """Share of clips, (B, T, H, W, 3) uint8, of which each name, and all at once, is read as it is true.

        A name counts where something is true of it, and `all` has those.
        """
        pairs = list(zip(self.read(clips), map(self.true, scenes), strict=True))
        shares = {}
        for name in self.names:
            of_name = [read.get(name) == true[name] for read, true in pairs if name in true]
            shares[name] = sum(of_name) / max(len(of_name), 1)
        whole = [all(read.get(name) == true[name] for name in self.names if name in true) for read, true in pairs]
        return shares | {"all": sum(whole) / len(whole)}


def read_by_captioner(clips: np.ndarray) -> list[dict[str, str]]:
    """What the built-in captioner says of clips, (B, T, H, W, 3) uint8, as `attributes` names it."""
    captioner, said = _captioner(), []
    times_s = np.arange(clips.shape[1]) / clips.shape[1]
    for start in range(0, len(clips), CAPTIONED_TOGETHER):
        batch = [ClipFrames(clip, times_s.tolist()) for clip in clips[start : start + CAPTIONED_TOGETHER]]
        said += captioner.caption(batch, [""] * len(batch), captioner.greedy)
    return [attributes(text_of(caption.structured or StructuredCaption(), "detailed")) for caption in said]


@cache
def _captioner() -> Captioner:
    return load_captioner(CaptionConfig())


WORLDS: dict[str, World] = {
    "plain": World(
        plain_world.draw_plain_scene,
        "medium",
        plain_world.ATTRIBUTES,
        plain_world.true_attributes,
        lambda clips: [plain_world.read_attributes(clip) for clip in clips],
    ),
    "whole": World(
        draw_scene,
        "detailed",
        (
            *("shape", "colour", "size", "texture", "direction", "speed", "spin"),
            *("background", "pattern", "light", "camera", "count"),
        ),
        lambda scene: attributes(detailed_caption(scene)),
        read_by_captioner,
    ),
}
