"""Failures of two kinds: those that lie in the content, and those that lie in the world and may pass."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.ingest.sandbox import CRASHED, ChildDied

UNREADABLE = "unreadable"


class MediaError(Exception):
    """An input that cannot be used: `reason` is one word for the tables, `detail` what the decoder reported."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class BadLocation(OSError):
    """A location that can never be read: of an unknown scheme, or no name that a file can have."""


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


@dataclass(frozen=True)
class Failure:
    """Why a row has no value: `reason` is one word, `detail` what the file system, the decoder or a model said."""

    reason: str
    detail: str
    transient: bool = False
    """It lies in the world (I/O, a server, memory, time), so trying again may do better."""

    @classmethod
    def of(cls, error: OSError | MediaError | ChildDied) -> Failure:
        """The failure that an error is."""
        if isinstance(error, MediaError):
            return cls(error.reason, error.detail)
        if isinstance(error, ChildDied):
            return cls(error.reason, error.detail, transient=error.reason != CRASHED)
        return cls(UNREADABLE, one_line(error), transient=not isinstance(error, BadLocation))

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"
