"""Synthetic clips of the plain world as training samples: latents of the built-in codec, made once, in files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count, islice
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from jobs.fits.batched_render import draw, plan
from jobs.fits.plain_world import draw_plain_scene
from model.codec.causal import Autoencoder
from model.readers.text_encoder import TextEncoder
from model.training.examples import Sample
from model.training.samples import Shape
from pipeline.synthetic.world import Scene, short_caption, structured_caption
from schemas.identity import digest
from schemas.structured_caption import text_of

NUM_FRAMES, SIDE_PX, FPS = 9, 64, 8.0
CLIPS_OF_A_PART = 500
BATCH = 32
HELD_OUT_SHARE = 0.1
"""Of the combinations of shape, colour, direction and background: no clip of them is trained on."""
TEXT_SHARES = {"short": 0.5, "medium": 0.4, "detailed": 0.1}
"""How often each of a clip's texts is drawn; only the two longer ones name the background."""


def is_held_out(scene: Scene) -> bool:
    """Whether a scene's combination of shape, colour, direction and background is kept from training."""
    (thing,) = scene.things
    name = digest("held-out combination", thing.shape, thing.colour, thing.direction, scene.background)
    return int(name, 16) % 1000 < 1000 * HELD_OUT_SHARE


def scenes(held_out: bool, number: int) -> list[Scene]:
    """The first scenes, by seed, whose combination is held out or is not."""
    found = (scene for scene in map(draw_plain_scene, count()) if is_held_out(scene) is held_out)
    return list(islice(found, number))


def texts_of(scene: Scene) -> dict[str, str]:
    """The texts that are true of a scene, by length."""
    caption = structured_caption(scene)
    return {"short": short_caption(scene)} | {length: text_of(caption, length) for length in ("medium", "detailed")}


class PlainClips:
    """Clips of scenes as `model.training.samples.Samples`: latents in memory, each text once."""

    def __init__(self, drawn: Sequence[Scene], latents_NCTHW: Tensor, text_encoder: TextEncoder) -> None:
        self._latents = latents_NCTHW
        self._texts = [texts_of(scene) for scene in drawn]
        every = sorted({text for texts in self._texts for text in texts.values()})
        self._states = dict(zip(every, text_encoder.encode(every), strict=True))
        self.shapes: dict[str, Shape] = {f"{i:06d}": tuple(latents_NCTHW.shape[1:]) for i in range(len(drawn))}

    def read(self, ids: Sequence[str]) -> list[Sample]:
        """The samples of these ids, in their order."""
        shares = tuple(TEXT_SHARES.values())
        rate = FPS * (self._latents.shape[2] - 1) / (NUM_FRAMES - 1)
        return [
            Sample(
                name,
                self._latents[int(name)].numpy(),
                [self._states[self._texts[int(name)][length]] for length in TEXT_SHARES],
                rate,
                shares,
            )
            for name in ids
        ]


def latents_of(
    drawn: Sequence[Scene], codec: Autoencoder, folder: Path, on_part: Callable[[int], None] = lambda made: None
) -> Tensor:
    """Raw latents of the clips of scenes, (N, C, T, H, W) float16, from files in `folder` that are made where missing.

    Args:
        folder: for this codec and these scenes alone.
        on_part: called with the number of clips that are there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, len(drawn), CLIPS_OF_A_PART):
        path = folder / f"{start:06d}.safetensors"
        part = drawn[start : start + CLIPS_OF_A_PART]
        if not path.exists():
            partial = path.with_suffix(".partial")
            save_file({"latents": torch.cat(list(_encoded(part, codec))).contiguous()}, partial)
            partial.replace(path)
        parts.append(load_file(path)["latents"])
        on_part(start + len(part))
    return torch.cat(parts)


@torch.no_grad()
def _encoded(drawn: Sequence[Scene], codec: Autoencoder) -> Iterator[Tensor]:
    for start in range(0, len(drawn), BATCH):
        planned = plan(drawn[start : start + BATCH], SIDE_PX, SIDE_PX, NUM_FRAMES)
        yield codec.encode(draw(planned) / 127.5 - 1.0).half()
