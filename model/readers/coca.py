"""CoCa captions (Yu et al. 2022, arXiv:2205.01917) by open_clip's networks: pictures in, a sentence out.

Frames of a clip go through the vision transformer one by one and their tokens together through the attentional pooler,
as VideoCoCa does it (Yan et al. 2022, arXiv:2212.04979). The words are chosen here, for open_clip's own `generate`
asks for a class that transformers 5 no longer has.

Shapes: B clips, T frames, P tokens of a frame, Q pooled tokens, D width, L words, V vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from model.readers.clip import load_clip

Choose = Callable[[Tensor], int]
"""From logits (V,) the next word."""
FRAMES_AT_ONCE = 64
"""Frames that the vision transformer is given together."""


@dataclass(frozen=True)
class Words:
    """What was said, without the end mark; `cut` if it was not reached."""

    ids: list[int]
    cut: bool


@dataclass(frozen=True)
class Coca:
    """A loaded network, its image transform, and what its tokenizer needs to be read."""

    model: Any
    transform: Callable[[Image.Image], Tensor]
    start: int
    end: int
    decode: Callable[[list[int]], str]

    def pixels(self, frames: np.ndarray) -> Tensor:
        """Frames (T, H, W, 3) uint8 of any size as the network takes them, (T, 3, h, w)."""
        where = self.model.logit_scale
        pictures = [self.transform(Image.fromarray(frame)) for frame in frames]
        return torch.stack(pictures).to(where.device, where.dtype)

    @torch.inference_mode()
    def describe(self, clips: Sequence[np.ndarray], max_tokens: int, choose: Sequence[Choose]) -> list[Words]:
        """What is said of each clip's frames (T, H, W, 3); T may differ from clip to clip."""
        pixels = torch.cat([self.pixels(frames) for frames in clips])
        tokens_TPD = frame_tokens(self.model, pixels)
        parts = tokens_TPD.split([len(frames) for frames in clips])
        seen_BQD = torch.cat([pooled(self.model, part[None]) for part in parts])
        return write(self.model, seen_BQD, self.start, self.end, max_tokens, choose)


def load_coca(name: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Coca:
    """Load a network by a name as `load_clip` takes it.

    Raises:
        ValueError: no such model, or one that writes no captions.
    """
    bundle = load_clip(name, device)
    if not hasattr(bundle.model, "text_decoder"):
        raise ValueError(f"{name!r} is no CoCa: it has no text decoder")
    start, end = bundle.tokenize([""])[0, :2].tolist()
    inner = getattr(bundle.tokenize, "tokenizer", None)  # of those that wrap a tokenizer of transformers
    decode = bundle.tokenize.decode if inner is None else partial(inner.decode, skip_special_tokens=True)
    return Coca(bundle.model.to(dtype), bundle.transform, start, end, decode)


def frame_tokens(model: Any, pixels_TCHW: Tensor) -> Tensor:
    """Tokens of each frame alone, (T, P, D), before the pooler."""
    visual = model.visual
    parts = [visual.transformer(visual._embeds(part)) for part in pixels_TCHW.split(FRAMES_AT_ONCE)]
    return torch.cat(parts)


def pooled_with_summary(model: Any, tokens_BTPD: Tensor) -> tuple[Tensor, Tensor]:
    """Frames pooled together: what the contrastive loss compares, (B, D), and what captions are written from."""
    summary_BD, seen_BQD = model.visual._pool(tokens_BTPD.flatten(1, 2))
    return summary_BD @ model.visual.proj, seen_BQD


def pooled(model: Any, tokens_BTPD: Tensor) -> Tensor:
    """What captions are written from, (B, Q, D)."""
    return pooled_with_summary(model, tokens_BTPD)[1]


def write(model: Any, seen_BQD: Tensor, start: int, end: int, max_tokens: int, choose: Sequence[Choose]) -> list[Words]:
    """Word by word until each row's end mark, or as many as asked for and the context holds."""
    said: list[list[int]] = [[] for _ in seen_BQD]
    open_rows = list(range(len(said)))
    ids_BL = torch.full((len(said), 1), start, device=seen_BQD.device)
    for _ in range(min(max_tokens, model.context_length)):
        if not open_rows:
            break
        answer = model(None, ids_BL, image_latent=seen_BQD[:, 0], image_embs=seen_BQD, output_labels=False)
        logits_BV = answer["logits"][:, -1].float().cpu()
        logits_BV[:, start] = -torch.inf
        chosen = [choose[row](logits_V) for row, logits_V in zip(open_rows, logits_BV, strict=True)]
        goes_on = [i for i, word in enumerate(chosen) if word != end]
        for i in goes_on:
            said[open_rows[i]].append(chosen[i])
        ids_BL = torch.cat([ids_BL, torch.tensor(chosen, device=ids_BL.device)[:, None]], dim=1)[goes_on]
        seen_BQD, open_rows = seen_BQD[goes_on], [open_rows[i] for i in goes_on]
    return [Words(ids, cut=row in open_rows) for row, ids in enumerate(said)]


def likeliest(logits_V: Tensor) -> int:
    return int(logits_V.argmax())


def drawn(temperature: float, seed: int) -> Choose:
    """Draws at a temperature with a generator of its own, so that no other row changes what is drawn."""
    generator = torch.Generator().manual_seed(seed)

    def choose(logits_V: Tensor) -> int:
        return int(torch.multinomial((logits_V / temperature).softmax(-1), 1, generator=generator))

    return choose


def sentences(text: str) -> str:
    """Text with the capitals and the spacing that tokenizers drop: `a dog . it runs` becomes `A dog. It runs`."""
    spaced = re.sub(r"\s+(?=[.,;:!?])", "", " ".join(text.split()))
    return re.sub(r"(^|[.!?] )(\w)", lambda found: found[1] + found[2].upper(), spaced)


def start_decoder(model: nn.Module) -> None:
    """Give values to the one matrix that open_clip leaves as it finds the memory."""
    weight: Any = model.get_parameter("text_decoder.text_projection")
    nn.init.normal_(weight, std=weight.shape[0] ** -0.5)
