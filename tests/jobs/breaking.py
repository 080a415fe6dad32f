"""A captioner that dies or hangs, by the shape of a clip; put in place of the real one in Ray's workers."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from pipeline.captioners.captioner import Caption, ClipFrames
from pipeline.engines.engine import Sampling
from schemas.looking import CaptionConfig


class BreakingCaptioner:
    """Says what another says, but of upright clips it dies, and of very wide ones it never stops thinking."""

    def __init__(self, captioner: Any) -> None:
        self._captioner = captioner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._captioner, name)

    def caption(self, clips: Sequence[ClipFrames], hints: Sequence[str], sampling: Sampling) -> list[Caption]:
        for clip in clips:
            height, width = clip.frames.shape[1:3]
            if height > width:
                os._exit(3)
            if width > 3 * height:
                time.sleep(10_000)
        return self._captioner.caption(clips, hints, sampling)


def break_captioners() -> None:
    """What a worker of Ray does as it starts."""
    from pipeline import captioning

    load = captioning.load_captioner

    def load_breaking(config: CaptionConfig) -> Any:
        return BreakingCaptioner(load(config))

    captioning.load_captioner = load_breaking
