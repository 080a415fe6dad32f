"""Synthetic clips as training samples: latents of the built-in codec, made once, in files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from jobs.fits.batched_render import draw, plan
from jobs.fits.worlds import WORLDS
from model.codec.causal import Autoencoder
from model.readers.text_encoder import TextEncoder
from model.training.examples import Sample
from model.training.samples import Shape
from pipeline.synthetic.world import Scene, short_caption, structured_caption
from schemas.identity import digest
from schemas.structured_caption import text_of

FPS = 8.0
SEEDS_APART = 1_000_000
"""From the first seed of one set of clips to that of the next."""
CLIPS_OF_A_PART = 500
BATCH = 32
HELD_OUT_SHARE = 0.1
"""Of the combinations of shape, colour, direction and background: no clip with one of them is trained on."""
TEXT_SHARES = {"short": 0.4, "medium": 0.3, "detailed": 0.3}
"""How often each of a clip's texts is drawn; only the two longer ones name the background."""


@dataclass(frozen=True)
class ClipSet:
    """So many clips of a world and a shape, written WORLD:FRAMESxWIDTHxHEIGHT:NUMBER."""

    world: str
    shape_thw: tuple[int, int, int]
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one as it is written.

        Raises:
            ValueError: it is written otherwise, or the world is not one of `WORLDS`.
        """
        world, size, number = text.split(":")
        frames, width, height = map(int, size.split("x"))
        if world not in WORLDS:
            raise ValueError(f"no world {world!r}: there are {', '.join(WORLDS)}")
        return cls(world, (frames, height, width), int(number))

    def __str__(self) -> str:
        T, H, W = self.shape_thw
        return f"{self.world}:{T}x{W}x{H}:{self.number}"


def is_held_out(scene: Scene) -> bool:
    """Whether the combination of shape, colour, direction and background of an object is kept from training."""
    names = (digest("held-out combination", t.shape, t.colour, t.direction, scene.background) for t in scene.things)
    return any(int(name, 16) % 1000 < 1000 * HELD_OUT_SHARE for name in names)


def scenes(world: str, held_out: bool, number: int, first_seed: int = 0) -> list[Scene]:
    """The first scenes of a world from a seed on that have a combination that is held out, or have none."""
    found = (scene for scene in map(WORLDS[world].draw, count(first_seed)) if is_held_out(scene) is held_out)
    return list(islice(found, number))


def texts_of(scene: Scene) -> dict[str, str]:
    """The texts that are true of a scene, by length."""
    caption = structured_caption(scene)
    return {"short": short_caption(scene)} | {length: text_of(caption, length) for length in ("medium", "detailed")}


class SceneClips:
    """Clips of scenes as `model.training.samples.Samples`: latents in memory, each text once."""

    def __init__(
        self, drawn: Sequence[tuple[Sequence[Scene], Tensor]], text_encoder: TextEncoder, latent_fps: float
    ) -> None:
        """Take clips of one shape after another: their scenes, and their latents, (N, C, T, H, W)."""
        self._latent_fps = latent_fps
        self._latents = {f"{k}-{i:06d}": one for k, (_, latents) in enumerate(drawn) for i, one in enumerate(latents)}
        texts = [texts_of(scene) for of_shape, _ in drawn for scene in of_shape]
        self._texts = dict(zip(self._latents, texts, strict=True))
        every = sorted({text for of_clip in texts for text in of_clip.values()})
        self._states = dict(zip(every, text_encoder.encode(every), strict=True))
        self.names = self.videos = sorted(self._latents)
        self.shapes: dict[str, Shape] = {}
        for name in self.names:
            C, T, H, W = self._latents[name].shape
            self.shapes[name] = C, T, H, W

    def read(self, ids: Sequence[str]) -> list[Sample]:
        """The samples of these ids, in their order."""
        return [
            Sample(
                name,
                self._latents[name].numpy(),
                [self._states[self._texts[name][length]] for length in TEXT_SHARES],
                self._latent_fps,
                tuple(TEXT_SHARES.values()),
            )
            for name in ids
        ]


def latents_of(
    drawn: Sequence[Scene],
    shape_thw: tuple[int, int, int],
    codec: Autoencoder,
    folder: Path,
    on_part: Callable[[int], None] = lambda made: None,
) -> Tensor:
    """Raw latents of the clips of scenes, (N, C, T, H, W) float16, from files in `folder` that are made where missing.

    Args:
        folder: for this codec, this world and this shape alone.
        on_part: called with the number of clips that are there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, len(drawn), CLIPS_OF_A_PART):
        part = drawn[start : start + CLIPS_OF_A_PART]
        path = folder / f"{part[0].seed:08d}-{len(part)}.safetensors"
        if not path.exists():
            partial = path.with_suffix(".partial")
            save_file({"latents": torch.cat(list(_encoded(part, shape_thw, codec))).contiguous()}, partial)
            partial.replace(path)
        parts.append(load_file(path)["latents"])
        on_part(start + len(part))
    return torch.cat(parts)


@torch.no_grad()
def _encoded(drawn: Sequence[Scene], shape_thw: tuple[int, int, int], codec: Autoencoder) -> Iterator[Tensor]:
    T, H, W = shape_thw
    for start in range(0, len(drawn), BATCH):
        yield codec.encode(draw(plan(drawn[start : start + BATCH], W, H, T)) / 127.5 - 1.0).half()
