"""The captioner seam: clips in, a short and a detailed caption each out, the same for every backend.

A backend is an engine that answers requests (frames and a question) with text. Everything else is here, once: which
frames, at what size, which questions, and that one bad clip becomes a reason in its own row and never an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from model.builtin import BUILTIN, WEIGHTS
from pipeline.captioners.frames import fit_frames
from pipeline.captioners.prompts import PROMPTS, Kind
from schemas.identity import digest, folder_digest

Backend = Literal["transformers", "vllm"]
Dtype = Literal["float32", "bfloat16", "float16"]
BUILTIN_FOLDER = WEIGHTS / "captioner"


@dataclass(frozen=True)
class CaptionerConfig:
    """What is asked of which network, and on what.

    checkpoint: "builtin", a folder, or a hub name. max_pixels_px: budget of one frame, kept in the clip's own shape.
    batch: questions that transformers takes at once; vLLM is given all of them and batches by itself.
    engine_options: passed to the backend's engine as they are (for vLLM: tensor_parallel_size, max_model_len, ...).
    The last two say how fast, not what, so they are not in the fingerprint.
    """

    backend: Backend = "transformers"
    checkpoint: str = BUILTIN
    num_frames: int = 8
    max_pixels_px: int = 64 * 48
    max_new_tokens: int = 96
    dtype: Dtype = "float32"
    batch: int = 16
    short_prompt: str = PROMPTS["short"]
    detailed_prompt: str = PROMPTS["detailed"]
    engine_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder_or_name(self) -> str:
        return str(BUILTIN_FOLDER) if self.checkpoint == BUILTIN else self.checkpoint

    def prompt(self, kind: Kind) -> str:
        return self.short_prompt if kind == "short" else self.detailed_prompt


@dataclass(frozen=True)
class ClipFrames:
    """Frames (T, H, W, 3) uint8 RGB, T >= 1, and the presentation time of each. One frame is an image."""

    frames: np.ndarray
    timestamps_s: Sequence[float]

    def fault(self) -> str | None:
        """Why this cannot be captioned, or None."""
        shape = self.frames.shape
        if len(shape) != 4 or shape[3] != 3 or min(shape) < 1:
            return f"frames have shape {shape}, not (T, H, W, 3)"
        if self.frames.dtype != np.uint8:
            return f"frames are {self.frames.dtype}, not uint8"
        if len(self.timestamps_s) != len(self.frames):
            return f"{len(self.frames)} frames but {len(self.timestamps_s)} timestamps"
        return None

    def fps(self, num_frames: int) -> float:
        """Rate at which `num_frames` spread over these frames pass; 1 for an image, which has none."""
        if len(self.timestamps_s) < 2:
            return 1.0
        first, last = self.timestamps_s[0], self.timestamps_s[-1]
        whole_s = (last - first) * len(self.timestamps_s) / (len(self.timestamps_s) - 1)
        return num_frames / whole_s if whole_s > 0 else 1.0


@dataclass(frozen=True)
class Caption:
    """What was said of a clip. `failure` says why there is no caption, or why it is not whole."""

    short: str = ""
    detailed: str = ""
    num_output_tokens: int = 0
    failure: str | None = None


@dataclass(frozen=True)
class Request:
    """One question about one clip's frames, (T, H, W, 3) uint8 at the engine's size."""

    frames: np.ndarray
    fps: float
    prompt: str


@dataclass(frozen=True)
class Answer:
    """Text as said; `cut` if the limit on tokens ended it."""

    text: str
    num_tokens: int
    cut: bool


class Captioner(Protocol):
    """Anything that captions clips. `fingerprint` changes with weights, prompts and settings, not with the backend."""

    @property
    def fingerprint(self) -> str: ...

    def caption(self, clips: Sequence[ClipFrames]) -> list[Caption]: ...


class Engine(Protocol):
    """Greedy answers by one network. Raises ValueError if a request is at fault; a machine's faults are left to Ray."""

    grid_px: int
    told_fps: float | None
    """Rate to tell whatever the clip's, for a network fitted on one; None for the clip's own."""

    def answer(self, requests: Sequence[Request]) -> list[Answer]: ...


@dataclass(frozen=True)
class ChatCaptioner:
    """A captioner over an engine that follows a chat template."""

    config: CaptionerConfig
    engine: Engine

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.config)

    def caption(self, clips: Sequence[ClipFrames]) -> list[Caption]:
        """A caption for each clip, in order; a clip that cannot be captioned gets a `failure`."""
        faults = [clip.fault() for clip in clips]
        good = [clip for clip, fault in zip(clips, faults, strict=True) if fault is None]
        requests = [request for clip in good for request in self._requests(clip)]
        answers = _answer_each(self.engine, requests)
        said = (_caption(*answers[i : i + 2]) for i in range(0, len(answers), 2))
        return [next(said) if fault is None else Caption(failure=fault) for fault in faults]

    def _requests(self, clip: ClipFrames) -> list[Request]:
        config = self.config
        frames = fit_frames(clip.frames, config.num_frames, config.max_pixels_px, self.engine.grid_px)
        fps = self.engine.told_fps or clip.fps(config.num_frames)
        return [Request(frames, fps, config.prompt(kind)) for kind in ("short", "detailed")]


def _answer_each(engine: Engine, requests: Sequence[Request]) -> list[Answer | str]:
    """All at once; if that fails, one by one, so that the reason goes to the request that is at fault."""
    if not requests:
        return []
    try:
        return list(engine.answer(requests))
    except ValueError as error:
        if len(requests) == 1:
            return [str(error)]
        return [answer for request in requests for answer in _answer_each(engine, [request])]


def _caption(short: Answer | str, detailed: Answer | str) -> Caption:
    for answer in (short, detailed):
        if isinstance(answer, str):
            return Caption(failure=answer)
    assert isinstance(short, Answer)
    assert isinstance(detailed, Answer)
    said = {"short": short, "detailed": detailed}
    cut = [kind for kind, answer in said.items() if answer.cut]
    empty = [kind for kind, answer in said.items() if not answer.text]
    failure = None
    if cut:
        failure = f"{' and '.join(cut)} caption cut off at the limit of tokens"
    elif empty:
        failure = f"{' and '.join(empty)} caption empty"
    return Caption(short.text, detailed.text, short.num_tokens + detailed.num_tokens, failure)


def fingerprint(config: CaptionerConfig) -> str:
    """16 hex characters over weights, prompts and settings. Backends give the same greedy text, so they share it.

    A folder counts by its bytes; a hub name by itself, so pin a revision by downloading it to a folder.
    """
    where = Path(config.folder_or_name)
    weights = folder_digest(where) if where.is_dir() else config.checkpoint
    settings = (config.num_frames, config.max_pixels_px, config.max_new_tokens, config.dtype)
    return digest("captioner", weights, config.short_prompt, config.detailed_prompt, *settings)


def load_captioner(config: CaptionerConfig) -> Captioner:
    """Load the network (seconds with transformers, about a minute with vLLM).

    Raises:
        ValueError: no such backend; the checkpoint is not there (OSError from a backend's loader otherwise).
    """
    loaders: dict[str, Callable[[CaptionerConfig], Engine]] = {
        "transformers": _load_transformers,
        "vllm": _load_vllm,
    }
    if config.backend not in loaders:
        raise ValueError(f"captioner backend {config.backend!r} is not one of {', '.join(loaders)}")
    if config.checkpoint == BUILTIN and not BUILTIN_FOLDER.is_dir():
        raise ValueError(f"no builtin captioner in {BUILTIN_FOLDER}: fit it with `python -m jobs.fit_captioner`")
    return ChatCaptioner(config, loaders[config.backend](config))


def _load_transformers(config: CaptionerConfig) -> Engine:
    from pipeline.captioners.transformers_backend import TransformersEngine

    return TransformersEngine(config)


def _load_vllm(config: CaptionerConfig) -> Engine:
    from pipeline.captioners.vllm_backend import VllmEngine

    return VllmEngine(config)
