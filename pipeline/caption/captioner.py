"""The captioner seam: clips in, a structured caption of each out, or the reason why there is none.

A clip is its frames with their times. A long one is described in windows, whose captions are merged by rule, so that
nothing is added. Implementations are in `backends/`; `backends/catalogue.py` chooses one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Protocol

import numpy as np

from pipeline.caption.engine import Answer, Fault, Sampling, frames_fault
from pipeline.caption.windows import merged
from schemas.recipe.caption import CaptionConfig
from schemas.structured_caption import StructuredCaption


@dataclass(frozen=True)
class ClipFrames:
    """Frames (T, H, W, 3) uint8 RGB, T >= 1, and the presentation time of each. One frame is an image."""

    frames: np.ndarray
    timestamps_s: Sequence[float]

    def fault(self) -> str | None:
        """Why these frames cannot be captioned, or None."""
        if fault := frames_fault(self.frames):
            return fault
        if len(self.timestamps_s) != len(self.frames):
            return f"{len(self.frames)} frames but {len(self.timestamps_s)} timestamps"
        return None

    def fps(self, num_frames: int) -> float:
        """Frames per second of `num_frames` spread over the clip; 1 for an image."""
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
    """The caption of one clip; `failure` says why there is none, `answer` is what the model wrote, if it did."""

    structured: StructuredCaption | None = None
    answer: str | None = None
    num_output_tokens: int = 0
    was_cut: bool = False
    failure: str | None = None
    transient: bool = False
    """The failure is not the clip's: asked again later it may be described."""


Ask = Callable[[Sequence[ClipFrames], Sequence[str]], Sequence[Answer | Fault]]
"""Windows and a hint for each in, an answer or a fault for each out."""
Rewrite = Callable[[Sequence[str], Sequence[str]], list[Answer | Fault]]
"""Captions and a title for each in, the two merged out."""


class Captioner(Protocol):
    """Describes clips. One that cannot be described does not affect the others."""

    config: CaptionConfig

    @property
    def prompt(self) -> str:
        """The prompt, whose phrases no caption should repeat; empty for a captioner without one."""
        ...

    @property
    def rewrites(self) -> Rewrite | None:
        """Merges captions with the text that came with their clips; None for a captioner that does not."""
        ...

    def caption(self, clips: Sequence[ClipFrames], hints: Sequence[str], sampling: Sampling) -> list[Caption]:
        """A `Caption` for each clip, in order."""
        ...

    @property
    def greedy(self) -> Sampling:
        return Sampling(self.config.max_new_tokens)

    @property
    def other(self) -> Sampling:
        """For the second try: sampled at a temperature, with twice as many tokens."""
        return Sampling(2 * self.config.max_new_tokens, self.config.retry_temperature, seed=1)


def caption_by_windows(
    clips: Sequence[ClipFrames],
    hints: Sequence[str],
    num_frames: int,
    ask: Ask,
    read: Callable[[str], StructuredCaption],
) -> list[Caption]:
    """One caption for each clip, merged from the answers for its windows. Nothing is asked about faulty clips.

    Args:
        num_frames: frames of a window, about.
        read: makes a caption of an answer, or raises ValueError with the reason why it is none.
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
    """The caption of one clip, from the answers for its windows."""
    said = [answer for answer in answers if isinstance(answer, Answer)]
    for answer in answers:
        if isinstance(answer, Fault):
            return Caption(failure=answer.reason, transient=answer.transient)
    whole = Caption(None, "\n".join(a.text for a in said), sum(a.num_tokens for a in said), any(a.cut for a in said))
    try:
        structured = merged([read(answer.text) for answer in said])
    except ValueError as error:
        reason = "cut off at the limit of tokens" if whole.was_cut else str(error)
        return replace(whole, failure=f"caption: {reason}")
    return replace(whole, structured=structured)
