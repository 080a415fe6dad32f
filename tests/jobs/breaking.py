"""An engine that misbehaves by the shape of a clip; put in place of the real one in Ray's workers."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipeline.caption.engine import Answer, Engine, Fault, Request, Sampling
from schemas.recipe.caption import CaptionConfig
from schemas.structured_caption import StructuredCaption, to_json

FINE, DEADLY, ENDLESS = (160, 120), (96, 160), (320, 64)
SILLY, REFUSED, REPEATED = (128, 128), (192, 108), (240, 96)
"""Sizes of clips in pixels, by what the engine makes of them."""
REFUSAL = StructuredCaption(subject="I'm sorry, but I cannot describe this", action="as an AI language model")
LOOP = StructuredCaption(subject="A dog", action="runs and runs and runs " * 20)


class BreakingEngine:
    """Says what another says; of clips of some shapes it says other things, or nothing ever again."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.grid_px, self.told_fps = engine, engine.grid_px, engine.told_fps

    def answer(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer | Fault]:
        shapes = [_width_by_height(request) for request in requests]
        if any(shape < 0.8 for shape in shapes):
            os._exit(3)
        if any(shape > 3.5 for shape in shapes):
            time.sleep(10_000)
        answers = self._engine.answer(requests, sampling)
        return [_instead(shape) or answer for shape, answer in zip(shapes, answers, strict=True)]


def _width_by_height(request: Request) -> float:
    assert request.frames is not None
    return request.frames.shape[2] / request.frames.shape[1]


def _instead(shape: float) -> Answer | None:
    if 0.9 < shape < 1.1:
        return Answer("Certainly! ```", num_tokens=4, cut=False)
    if 1.5 < shape < 2:
        return Answer(to_json(REFUSAL), num_tokens=30, cut=False)
    if 2 < shape < 3:
        return Answer(to_json(LOOP), num_tokens=90, cut=False)
    return None


def break_engines() -> None:
    """What a worker of Ray does as it starts."""
    from pipeline.caption import stage

    load = stage.load_captioner

    def load_breaking(config: CaptionConfig) -> Any:
        captioner: Any = load(config)
        return replace(captioner, engine=BreakingEngine(captioner.engine))

    stage.load_captioner = load_breaking
