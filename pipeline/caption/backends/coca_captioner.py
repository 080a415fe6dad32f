"""Captions by a CoCa of open_clip, the kind of captioner behind DALL-E 3 (Betker et al. 2023, section 2).

CoCa takes no prompt and writes a sentence or two. They become the caption's subject, so that its short, medium and
detailed text are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from model.builtin import COCA_FOLDER
from model.readers.coca import Choose, Words, drawn, likeliest, load_coca, sentences
from pipeline.caption.backends.checkpoints import checkpoint_of
from pipeline.caption.captioner import Caption, Captioner, ClipFrames, caption_by_windows
from pipeline.caption.engine import Answer, Request, Sampling, draw_seed
from pipeline.caption.frames import even_indices
from schemas.recipe.caption import CaptionConfig
from schemas.structured_caption import ENDS, StructuredCaption


class CocaCaptioner(Captioner):
    """One loaded CoCa, on the GPU if there is one. Frames keep their size until its own transform."""

    def __init__(self, config: CaptionConfig) -> None:
        self.config = config
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._coca = load_coca(checkpoint_of(config, COCA_FOLDER), device, getattr(torch, config.dtype))

    @property
    def prompt(self) -> str:
        return ""

    @property
    def rewrites(self) -> None:
        return None

    def caption(self, clips: Sequence[ClipFrames], hints: Sequence[str], sampling: Sampling) -> list[Caption]:
        def ask(windows: Sequence[ClipFrames], _: Sequence[str]) -> list[Answer]:
            size = self.config.batch
            parts = [windows[i : i + size] for i in range(0, len(windows), size)]
            return [answer for part in parts for answer in self._describe(part, sampling)]

        return caption_by_windows(clips, hints, self.config.num_frames, ask, _read)

    def _describe(self, windows: Sequence[ClipFrames], sampling: Sampling) -> list[Answer]:
        shown = [_chosen_frames(window, self.config.num_frames) for window in windows]
        requests = [Request("", frames=frames) for frames in shown]
        choose: list[Choose] = [likeliest] * len(shown)
        if sampling.temperature > 0:
            choose = [drawn(sampling.temperature, draw_seed(request, sampling)) for request in requests]
        return [self._answer(words) for words in self._coca.describe(shown, sampling.max_new_tokens, choose)]

    def _answer(self, words: Words) -> Answer:
        text = sentences(self._coca.decode(words.ids))
        # CoCa learned captions without full stops; where it ended the sentence itself, the sentence is complete.
        stop = "" if words.cut or not text or text[-1] in ENDS else "."
        return Answer(text + stop, len(words.ids), words.cut)


def _chosen_frames(window: ClipFrames, num_frames: int) -> np.ndarray:
    """Frames spread evenly over the window, none twice: pooling would count a repeated frame double."""
    count = len(window.frames)
    return window.frames[even_indices(count, min(num_frames, count))]


def _read(answer: str) -> StructuredCaption:
    if not answer:
        raise ValueError("the answer is empty")
    return StructuredCaption(subject=answer)
