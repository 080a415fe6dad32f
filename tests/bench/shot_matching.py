"""Compares the boundaries that a shot detector reports with known transitions.

A reported boundary is the interval from a transition's first frame to its end; for a hard cut both are the new shot's
first frame. Within TOLERANCE_FRAMES on either side of that interval:
- a hard cut is found if the interval contains it; one boundary finds at most one cut, the first that is not found yet;
- a dissolve or a fade is found if the interval overlaps it, from its first frame to the first one after it;
- a boundary that contains no cut and overlaps no dissolve or fade is a false alarm: on a flash or on fast motion if it
  overlaps one, otherwise elsewhere. A second boundary on the same transition is neither found nor false.
The precision of cuts counts false alarms that were reported as cuts, the precision of dissolves and of fades those that
were reported as gradual; the precision of `all` counts every false alarm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.split.detectors.detector import Transition

TOLERANCE_FRAMES = 2
KINDS = ("cut", "dissolve", "fade")
Known = tuple[str, int, int]
"""Kind, first frame, end. For a cut, first frame and end are equal."""
Range = tuple[int, int]


@dataclass
class Tally:
    """Counts over videos: known and found transitions by kind, false alarms by place and by reported kind, and
    frames."""

    known: Counter[str]
    found: Counter[str]
    false_places: Counter[str]
    false_kinds: Counter[str]
    frames: Counter[str]

    @classmethod
    def empty(cls) -> Tally:
        return cls(*(Counter() for _ in range(5)))

    def add(self, other: Tally) -> None:
        for name in ("known", "found", "false_places", "false_kinds", "frames"):
            getattr(self, name).update(getattr(other, name))

    def figures(self) -> dict[str, dict[str, float]]:
        """Precision, recall and F1 of each kind and of all."""
        gradual = self.false_kinds["gradual"]
        false = {"cut": self.false_kinds["cut"], "dissolve": gradual, "fade": gradual}
        rows = {kind: (self.known[kind], self.found[kind], false[kind]) for kind in KINDS}
        rows["all"] = self.known.total(), self.found.total(), self.false_kinds.total()
        return {kind: _f1(*row) for kind, row in rows.items() if row[0]}


def match(
    reported: Sequence[Transition],
    known: Sequence[Known],
    flashes: Sequence[Range] = (),
    fast_motion: Sequence[Range] = (),
    tolerance: int = TOLERANCE_FRAMES,
) -> Tally:
    """The counts of one video."""
    tally = Tally.empty()
    tally.known.update(kind for kind, _, _ in known)
    cuts = [first for kind, first, _ in known if kind == "cut"]
    gradual = [row for row in known if row[0] != "cut"]
    free = set(cuts)
    for boundary in reported:
        low, high = boundary.first - tolerance, boundary.end + tolerance
        held = [cut for cut in cuts if low <= cut <= high]
        for cut in sorted(free.intersection(held))[:1]:
            free.discard(cut)
            tally.found["cut"] += 1
        if not held and not any(first <= high and low <= end for _, first, end in gradual):
            tally.false_kinds[boundary.kind] += 1
            on_flash, on_motion = (any(a <= high and low <= b for a, b in spans) for spans in (flashes, fast_motion))
            tally.false_places["flash" if on_flash else "motion" if on_motion else "elsewhere"] += 1
    for kind, first, end in gradual:
        tally.found[kind] += any(t.first - tolerance <= end and first <= t.end + tolerance for t in reported)
    mixed = {frame for _, first, end in gradual for frame in range(first, end)}
    trimmed = {frame for t in reported for frame in range(t.first, t.end)}
    tally.frames.update(mixed=len(mixed), mixed_left_in=len(mixed - trimmed), clear_lost=len(trimmed - mixed))
    return tally


def _f1(num_known: int, num_found: int, num_false: int) -> dict[str, float]:
    precision = num_found / (num_found + num_false) if num_found + num_false else 0.0
    recall = num_found / num_known
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"known": num_known, "found": num_found, "precision": precision, "recall": recall, "f1": f1}
