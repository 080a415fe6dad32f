"""An engine that misbehaves by the shape of a clip; put in place of the real one in Ray's workers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.caption.engine import Answer, Fault, Request, Sampling
from schemas.structured_caption import StructuredCaption, to_json

FINE, DEADLY, ENDLESS, KILLED_ONCE = (160, 120), (96, 160), (320, 64), (304, 96)
SILLY, REFUSED, REPEATED = (128, 128), (192, 108), (240, 96)
"""Sizes of clips in pixels, by what the engine makes of them."""
KILLED = "REELMILL_TEST_KILLED"
"""Environment variable with the file that tells that the captioner has been killed once."""
REFUSAL = StructuredCaption(subject="I'm sorry, but I cannot describe this", action="as an AI language model")
LOOP = StructuredCaption(subject="A dog", action="runs and runs and runs " * 20)
GOOD = StructuredCaption(subject="A red circle", action="moves to the left")


class BreakingEngine:
    """Says one good caption of every clip; of clips of some shapes it says other things, or nothing ever again.

    Without a network, as it is started anew after each death.
    """

    grid_px, told_fps = 16, 5.0

    def answer(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer | Fault]:
        shapes = [_width_by_height(request) for request in requests]
        if any(shape < 0.8 for shape in shapes):
            os._exit(3)
        killed = Path(os.environ[KILLED])
        if any(2.8 < shape < 3.5 for shape in shapes) and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if any(shape > 3.5 for shape in shapes):
            time.sleep(10_000)
        return [_answer(shape) for shape in shapes]


def _width_by_height(request: Request) -> float:
    assert request.frames is not None
    return request.frames.shape[2] / request.frames.shape[1]


def _answer(shape: float) -> Answer:
    if 0.9 < shape < 1.1:
        return Answer("Certainly! ```", num_tokens=4, cut=False)
    if 1.5 < shape < 2:
        return Answer(to_json(REFUSAL), num_tokens=30, cut=False)
    if 2 < shape < 2.8:
        return Answer(to_json(LOOP), num_tokens=90, cut=False)
    return Answer(to_json(GOOD), num_tokens=20, cut=False)


def break_engines() -> None:
    """What a worker of Ray does as it starts."""
    from pipeline.caption.backends import catalogue

    catalogue.load_engine = lambda settings: BreakingEngine()
