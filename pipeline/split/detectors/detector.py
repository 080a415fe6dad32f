"""What a shot detector is: frames in, transitions out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.decode.frame import StreamFrame

TransitionKind = Literal["cut", "gradual"]


@dataclass(frozen=True, order=True)
class Transition:
    """Where one shot ends and the next begins: frames [first, end) belong to neither.

    A hard cut has `first == end`, the first frame of the new shot; a dissolve, fade or wipe has frames in between.
    """

    first: int
    end: int

    @property
    def kind(self) -> TransitionKind:
        return "cut" if self.first == self.end else "gradual"


class Detector(Protocol):
    """Takes every frame of a video in order, keeps a bounded number of them, and returns the transitions at the end."""

    def push(self, frame: StreamFrame) -> None: ...

    def finish(self) -> list[Transition]:
        """All transitions, in order, not overlapping, each within the video's frames."""
        ...
