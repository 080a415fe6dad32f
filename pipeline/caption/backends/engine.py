"""The engine seam: questions, with or without frames, in; texts out, the same for every backend that is greedy.

A request that cannot be answered is a `Fault` in its place, and never an exception: one bad request costs no other its
answer. What is wrong with a machine (memory, a lost server before the first answer) is raised, for Ray to retry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import numpy as np

from model.builtin import BUILTIN, WEIGHTS
from schemas.identity import digest
from schemas.recipe.engine import EngineSettings

AnswerAll = Callable[[Sequence["Request"], "Sampling"], Sequence["Answer | Fault"]]
BUILTIN_FOLDER = WEIGHTS / "captioner"
MAX_REASON_CHARS = 300


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn; at temperature 0 it is greedy and `seed` says nothing."""

    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Request:
    """One question. `frames` (T, H, W, 3) uint8 at the engine's size, or None for a question on text alone.

    schema: JSON schema that the answer is held to by a grammar; None leaves it free.
    """

    user: str
    system: str = ""
    frames: np.ndarray | None = None
    fps: float = 1.0
    schema: Mapping[str, Any] | None = None

    def fault(self, grid_px: int) -> str | None:
        """Why no network with that grid can be asked this, in one line, or None."""
        if self.frames is None:
            return None
        shape = self.frames.shape
        if len(shape) != 4 or shape[3] != 3 or min(shape) < 1:
            return f"frames have shape {shape}, not (T, H, W, 3)"
        if self.frames.dtype != np.uint8:
            return f"frames are {self.frames.dtype}, not uint8"
        if shape[1] % grid_px or shape[2] % grid_px:
            return f"frames are {shape[2]}x{shape[1]} px, not on the network's grid of {grid_px} px"
        if not 0 < self.fps < math.inf:
            return f"frames at {self.fps} a second"
        return None


@dataclass(frozen=True)
class Answer:
    """Text as said; `cut` if the limit on tokens ended it."""

    text: str
    num_tokens: int
    cut: bool


@dataclass(frozen=True)
class Fault:
    """Why a request has no answer, in one line."""

    reason: str


class EngineLost(RuntimeError):
    """The engine is gone, and only a new one can answer."""


class Engine(Protocol):
    """One loaded network, or a server that holds one."""

    grid_px: int
    """Sides of frames are multiples of this."""
    told_fps: float | None
    """Rate to tell whatever the clip's, for a network fitted on one; None for the clip's own."""

    def answer(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer | Fault]:
        """An answer or a fault for each request, in order.

        Raises:
            EngineLost: the engine died under it.
        """
        ...


def answer_each(
    answer_all: AnswerAll,
    requests: Sequence[Request],
    sampling: Sampling,
    grid_px: int,
) -> list[Answer | Fault]:
    """Ask all that can be asked at once; if a ValueError refuses them, by halves, until it is laid to those at fault.

    `answer_all` should refuse before it answers any, so that no request is answered twice.
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
    """A reason as a row of a table bears it."""
    return " ".join(reason.split())[:MAX_REASON_CHARS]


def draw_seed(request: Request, sampling: Sampling) -> int:
    """Seed of one request's draw, 31 bits: of its own, or a corpus of like questions would share its dice."""
    frames = None if request.frames is None else (request.frames.shape, sha256(request.frames.tobytes()).hexdigest())
    asked = digest(sampling.seed, request.system, request.user, request.fps, request.schema, frames)
    return int(asked, 16) >> 33


def checkpoint_of(settings: EngineSettings) -> str:
    """The folder or hub name that a checkpoint is loaded from."""
    return str(BUILTIN_FOLDER) if settings.checkpoint == BUILTIN else settings.checkpoint


def load_engine(settings: EngineSettings) -> Engine:
    """Load the network (seconds with transformers, about a minute with vLLM), or reach the server.

    Raises:
        ValueError: no such backend; the checkpoint is not there (OSError from a backend's loader otherwise).
    """
    loaders: dict[str, Callable[[EngineSettings], Engine]] = {
        "transformers": _load_transformers,
        "vllm": _load_vllm,
        "openai": _load_openai,
    }
    if settings.backend not in loaders:
        raise ValueError(f"backend {settings.backend!r} is not one of {', '.join(loaders)}")
    if settings.backend != "openai" and settings.checkpoint == BUILTIN and not BUILTIN_FOLDER.is_dir():
        raise ValueError(f"no builtin captioner in {BUILTIN_FOLDER}: fit it with `python -m jobs.fits.captioner.fit`")
    return loaders[settings.backend](settings)


def _load_transformers(settings: EngineSettings) -> Engine:
    from pipeline.caption.backends.transformers_engine import TransformersEngine

    return TransformersEngine(settings)


def _load_vllm(settings: EngineSettings) -> Engine:
    from pipeline.caption.backends.vllm_engine import VllmEngine

    return VllmEngine(settings)


def _load_openai(settings: EngineSettings) -> Engine:
    from pipeline.caption.backends.openai_engine import OpenAIEngine

    return OpenAIEngine(settings)
