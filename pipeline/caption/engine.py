"""The engine seam: requests, with or without frames, in; texts out. All engines give the same greedy text.

A request that cannot be answered gets a `Fault` in its place and raises nothing: one bad request costs no other its
answer. What is wrong with a machine (memory, a lost server before the first answer) is raised, for Ray to retry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import numpy as np

from schemas.identity import digest

AnswerAll = Callable[[Sequence["Request"], "Sampling"], Sequence["Answer | Fault"]]
MAX_REASON_CHARS = 300


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn; at temperature 0 it is greedy and `seed` has no effect."""

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Request:
    """One question. `frames` (T, H, W, 3) uint8 at the engine's size, or None for a question on text alone.

    schema: JSON schema that the answer is held to by a grammar; None leaves it free.
    turns: questions and answers that come before in the chat: worked examples.
    """

    user: str
    system: str = ""
    frames: np.ndarray | None = None
    fps: float = 1.0
    schema: Mapping[str, Any] | None = None
    turns: tuple[tuple[str, str], ...] = ()

    def fault(self, grid_px: int | None) -> str | None:
        """Why no network with that grid can be asked this, in one line, or None."""
        if self.frames is None:
            return None
        if grid_px is None:
            return "frames for a network of text alone"
        if fault := frames_fault(self.frames):
            return fault
        height, width = self.frames.shape[1:3]
        if height % grid_px or width % grid_px:
            return f"frames are {width}x{height} px, not on the network's grid of {grid_px} px"
        if not 0 < self.fps < math.inf:
            return f"frames at {self.fps} a second"
        return None


@dataclass(frozen=True)
class Answer:
    """The text of an answer; `cut` if the limit on tokens ended it."""

    text: str
    num_tokens: int
    cut: bool


@dataclass(frozen=True)
class Fault:
    """Why a request has no answer, in one line."""

    reason: str
    transient: bool = False
    """It is not the request's: asked again later it may be answered."""


class EngineLost(RuntimeError):
    """The engine's process died; only a new engine can answer."""


class Engine(Protocol):
    """One loaded network, or a server that holds one."""

    grid_px: int | None
    """Sides of frames are multiples of this; None of a network of text alone."""
    told_fps: float | None
    """Frame rate to state for every clip, for a network fitted at one rate; None for the clip's own."""

    def answer(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer | Fault]:
        """An answer or a fault for each request, in order.

        Raises:
            EngineLost: the engine died meanwhile.
        """
        ...


def frames_fault(frames: np.ndarray) -> str | None:
    """Why an array is no frames (T, H, W, 3) uint8 with T >= 1, or None."""
    if frames.ndim != 4 or frames.shape[3] != 3 or min(frames.shape) < 1:
        return f"frames have shape {frames.shape}, not (T, H, W, 3)"
    if frames.dtype != np.uint8:
        return f"frames are {frames.dtype}, not uint8"
    return None


def answer_each(
    answer_all: AnswerAll,
    requests: Sequence[Request],
    sampling: Sampling,
    grid_px: int | None,
) -> list[Answer | Fault]:
    """Ask all requests at once. If that raises ValueError, ask each half, and so on, until only faulty ones are left.

    `answer_all` should raise before it answers any request, so that none is answered twice.
    """
    faults = [request.fault(grid_px) for request in requests]
    askable = [request for request, fault in zip(requests, faults, strict=True) if fault is None]
    answers = iter(_answer_halves(answer_all, askable, sampling))
    return [next(answers) if fault is None else Fault(fault) for fault in faults]


def _answer_halves(answer_all: AnswerAll, requests: Sequence[Request], sampling: Sampling) -> list[Answer | Fault]:
    if not requests:
        return []
    try:
        return list(answer_all(requests, sampling))
    except ValueError as error:
        if len(requests) == 1:
            return [Fault(one_line(str(error)))]
        middle = len(requests) // 2
        halves = requests[:middle], requests[middle:]
        return [found for half in halves for found in _answer_halves(answer_all, half, sampling)]


def one_line(reason: str) -> str:
    """A reason short enough for a row of a table, without line breaks."""
    return " ".join(reason.split())[:MAX_REASON_CHARS]


def draw_seed(request: Request, sampling: Sampling) -> int:
    """Seed of one request's draw, 31 bits. It depends on the request, so that no two clips share a random stream."""
    frames = None if request.frames is None else (request.frames.shape, sha256(request.frames.tobytes()).hexdigest())
    turns = [request.turns] if request.turns else []
    asked = digest(sampling.seed, request.system, request.user, request.fps, request.schema, frames, *turns)
    return int(asked, 16) >> 33
