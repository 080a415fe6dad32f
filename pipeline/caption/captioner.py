"""The captioner seam, and the captioner that asks an engine: windows, questions, and what the answers come to.

A clip is shown by its frames with their times; a long one in windows, whose captions are merged by rule, so that
nothing is added. An engine is held to JSON by a grammar, and what is not JSON all the same is a failure in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

from model.builtin import BUILTIN, COCA_FOLDER
from pipeline.caption.backends.engine import Answer, Engine, Fault, Request, Sampling, checkpoint_of, load_engine
from pipeline.caption.frames import fit_frames
from pipeline.caption.prompts.templates import PromptTemplate, load_prompt
from pipeline.caption.windows import merged
from schemas.identity import digest, folder_digest
from schemas.recipe.caption import LANGUAGES, CaptionConfig
from schemas.recipe.engine import EngineSettings
from schemas.structured_caption import StructuredCaption, from_json, json_schema

PROMPT_NAMES = ("language", "hints")
REWRITE_NAMES = ("caption", "title")


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

    def windows(self, num_frames: int) -> list[ClipFrames]:
        """Equal parts of about `num_frames` frames each; one if there are fewer than twice as many."""
        count = max(len(self.frames) // num_frames, 1)
        bounds = [round(i * len(self.frames) / count) for i in range(count + 1)]
        return [ClipFrames(self.frames[a:b], self.timestamps_s[a:b]) for a, b in pairwise(bounds)]


@dataclass(frozen=True)
class Caption:
    """What was said of a clip. `failure` says why there is no caption; `answer` is what the engine wrote, if it did."""

    structured: StructuredCaption | None = None
    answer: str | None = None
    num_output_tokens: int = 0
    was_cut: bool = False
    failure: str | None = None


Ask = Callable[[Sequence[ClipFrames], Sequence[str]], Sequence[Answer | Fault]]
"""From windows and a hint for each to what is said of them."""
Rewrite = Callable[[Sequence[str], Sequence[str]], list[Answer | Fault]]
"""From captions and a title for each to the two merged."""


class Captioner(Protocol):
    """Says what clips show. A clip that it can say nothing of costs no other its caption."""

    config: CaptionConfig

    @property
    def prompt(self) -> str:
        """The words it is asked with, which no caption should repeat; empty where there are none."""
        ...

    @property
    def rewrites(self) -> Rewrite | None:
        """How captions are merged with what came with a clip; None where they are not."""
        ...

    def caption(self, clips: Sequence[ClipFrames], hints: Sequence[str], sampling: Sampling) -> list[Caption]:
        """A caption of each clip, in order; one that has none says why in `failure`."""
        ...

    @property
    def greedy(self) -> Sampling:
        return Sampling(self.config.max_new_tokens)

    @property
    def other(self) -> Sampling:
        """For a second try: drawn, with twice the room."""
        return Sampling(2 * self.config.max_new_tokens, self.config.retry_temperature, seed=1)


@dataclass(frozen=True)
class EngineCaptioner(Captioner):
    """Asks an engine for captions, and for captions merged with what came with a clip."""

    config: CaptionConfig
    engine: Engine
    template: PromptTemplate
    rewrite_template: PromptTemplate | None = None

    @property
    def prompt(self) -> str:
        return f"{self.template.system}\n{self.template.user}"

    def caption(self, clips: Sequence[ClipFrames], hints: Sequence[str], sampling: Sampling) -> list[Caption]:
        def ask(windows: Sequence[ClipFrames], hints: Sequence[str]) -> Sequence[Answer | Fault]:
            return self.engine.answer([self._request(*asked) for asked in zip(windows, hints, strict=True)], sampling)

        return caption_by_windows(clips, hints, self.config.num_frames, ask, from_json)

    @property
    def rewrites(self) -> Rewrite | None:
        return self._rewrite if self.rewrite_template else None

    def _rewrite(self, captions: Sequence[str], titles: Sequence[str]) -> list[Answer | Fault]:
        """Each caption merged with a title, greedily."""
        assert self.rewrite_template is not None
        requests = [
            Request(self.rewrite_template.fill(caption=caption, title=title), self.rewrite_template.system)
            for caption, title in zip(captions, titles, strict=True)
        ]
        return self.engine.answer(requests, self.greedy)

    def _request(self, clip: ClipFrames, hint: str) -> Request:
        config = self.config
        frames = fit_frames(clip.frames, config.num_frames, config.max_pixels_px, self.engine.grid_px)
        fps = self.engine.told_fps or clip.fps(config.num_frames)
        user = self.template.fill(language=LANGUAGES.get(config.language, config.language), hints=hint)
        return Request(user, self.template.system, frames, fps, json_schema())


def caption_by_windows(
    clips: Sequence[ClipFrames],
    hints: Sequence[str],
    num_frames: int,
    ask: Ask,
    read: Callable[[str], StructuredCaption],
) -> list[Caption]:
    """One caption of what is said of each clip's windows; of a clip that cannot be shown nothing is asked.

    Args:
        num_frames: of a window, about.
        read: raises ValueError with the reason if an answer is no caption.
    """
    faults = [clip.fault() for clip in clips]
    windows = [[] if fault else clip.windows(num_frames) for clip, fault in zip(clips, faults, strict=True)]
    each_hint = [hint for shown, hint in zip(windows, hints, strict=True) for _ in shown]
    answers = iter(ask([window for shown in windows for window in shown], each_hint))
    return [
        Caption(failure=fault) if fault else _caption(list(islice(answers, len(shown))), read)
        for shown, fault in zip(windows, faults, strict=True)
    ]


def _caption(answers: Sequence[Answer | Fault], read: Callable[[str], StructuredCaption]) -> Caption:
    """One caption of the answers for a clip's windows."""
    said = [answer for answer in answers if isinstance(answer, Answer)]
    for answer in answers:
        if isinstance(answer, Fault):
            return Caption(failure=answer.reason)
    whole = Caption(None, "\n".join(a.text for a in said), sum(a.num_tokens for a in said), any(a.cut for a in said))
    try:
        structured = merged([read(answer.text) for answer in said])
    except ValueError as error:
        reason = "cut off at the limit of tokens" if whole.was_cut else str(error)
        return replace(whole, failure=f"caption: {reason}")
    return replace(whole, structured=structured)


def fingerprint(config: CaptionConfig) -> str:
    """16 hex characters over weights, prompts and settings. Backends give the same greedy text, so they share it.

    A folder counts by its bytes; a hub name by itself, so pin a revision by downloading it to a folder.

    Raises:
        ValueError: a prompt template cannot be read.
    """
    is_coca = config.backend == "coca"
    where = Path(coca_checkpoint_of(config) if is_coca else checkpoint_of(config))
    weights = folder_digest(where) if where.is_dir() else config.checkpoint
    templates = [] if is_coca else [asdict(load_prompt(config.prompt, PROMPT_NAMES))]
    if config.rewrite and not is_coca:
        templates.append(asdict(load_prompt(config.rewrite, REWRITE_NAMES)))
    saying = [name for name in CaptionConfig.__dataclass_fields__ if name not in _ONLY_HOW_FAST | {"prompt", "rewrite"}]
    return digest("captioner", VERSION, weights, templates, *(getattr(config, name) for name in saying))


VERSION = 2
"""Of frames, windows and merging, which settings do not tell."""
_ONLY_HOW_FAST = {
    *EngineSettings.__dataclass_fields__,
    "batch_clips",
    "stall_s",
    "num_gpus",
    "num_actors",
} - {"dtype"}


def coca_checkpoint_of(config: CaptionConfig) -> str:
    """The folder or name that a CoCa is loaded from."""
    return str(COCA_FOLDER) if config.checkpoint == BUILTIN else config.checkpoint


def load_captioner(config: CaptionConfig) -> Captioner:
    """Load the network, or the engine, that the settings name.

    Raises:
        ValueError: no such backend, checkpoint or prompt.
    """
    if config.backend == "coca":
        from pipeline.caption.backends.coca_captioner import CocaCaptioner  # open_clip takes seconds to import

        return CocaCaptioner(config)
    template = load_prompt(config.prompt, PROMPT_NAMES)
    rewrite = load_prompt(config.rewrite, REWRITE_NAMES) if config.rewrite else None
    return EngineCaptioner(config, load_engine(config), template, rewrite)
