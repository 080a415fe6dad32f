"""A mutant: one small change of one source file, which its tests should notice (DeMillo et al. 1978)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A source file with the bytes from `start` to `end` replaced."""

    file: str
    source: bytes
    start: int
    end: int
    text: bytes
    tests: tuple[str, ...]
    """The tests that should notice it, files or folders."""
    breaks: str = ""
    """What no longer holds, for a mutant that somebody wrote down."""

    @property
    def mutated(self) -> bytes:
        return self.source[: self.start] + self.text + self.source[self.end :]

    @property
    def line(self) -> int:
        return self.source.count(b"\n", 0, self.start) + 1

    @property
    def was(self) -> str:
        """The changed lines as they are, without their indentation."""
        first, last = self._lines()
        return self.source[first:last].decode().strip()

    @property
    def becomes(self) -> str:
        """The changed lines as the mutant has them."""
        first, last = self._lines()
        return (self.source[first : self.start] + self.text + self.source[self.end : last]).decode().strip()

    def _lines(self) -> tuple[int, int]:
        """Where the lines that the change touches begin and end."""
        last = self.source.find(b"\n", self.end)
        return self.source.rfind(b"\n", 0, self.start) + 1, len(self.source) if last < 0 else last
