"""From pairs to groups, and from groups to the one clip that is kept of each.

A group is a connected component: if A matches B and B matches C, then A and C are in one group although they may not
match. So a long chain of slow change could be reduced to one clip; the distances are strict for that reason.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from schemas.recipe.duplicates import Keep

Name = TypeVar("Name", str, int)

PREFERENCE: dict[Keep, tuple[str, ...]] = {
    "largest": ("pixels", "duration_s", "sharpness"),
    "longest": ("duration_s", "pixels", "sharpness"),
    "sharpest": ("sharpness", "pixels", "duration_s"),
}
"""What decides which clip of a group is kept, then what decides between equals; in the end the smaller clip_id."""


@dataclass(frozen=True)
class Pair:
    """Two clips that are duplicates of some kind, and how similar they are."""

    first: str
    second: str
    kind: str
    similarity: float
    mirrored: bool = False
    rate: float | None = None

    def reversed(self) -> Pair:
        rate = None if self.rate is None else 1 / self.rate
        return dataclasses.replace(self, first=self.second, second=self.first, rate=rate)


def components(pairs: Iterable[tuple[Name, Name]]) -> dict[Name, Name]:
    """The smallest name in the connected component of every name in a pair (union-find with path halving)."""
    parents: dict[Name, Name] = {}

    def root(name: Name) -> Name:
        parents.setdefault(name, name)
        while parents[name] != name:
            parents[name] = parents[parents[name]]
            name = parents[name]
        return name

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parents[high] = low
    return {name: root(name) for name in sorted(parents)}


def group_rows(pairs: Sequence[Pair], grouping: str, grouped_us: int) -> list[dict[str, Any]]:
    """Rows of the `duplicates` table for pairs of one kind, in the order of clip ids."""
    group_of = components((pair.first, pair.second) for pair in pairs)
    sizes: dict[str, int] = defaultdict(int)
    for group in group_of.values():
        sizes[group] += 1
    best: dict[str, Pair] = {}
    for pair in pairs:
        for side in (pair, pair.reversed()):
            known = best.get(side.first)
            if known is None or (-side.similarity, side.second) < (-known.similarity, known.second):
                best[side.first] = side
    return [
        {
            "clip_id": clip_id,
            "kind": best[clip_id].kind,
            "group_id": group,
            "group_size": sizes[group],
            "match_id": best[clip_id].second,
            "similarity": best[clip_id].similarity,
            "mirrored": best[clip_id].mirrored,
            "rate": best[clip_id].rate,
            "grouping": grouping,
            "grouped_us": grouped_us,
        }
        for clip_id, group in group_of.items()
    ]


def ranks(
    rows: Iterable[Mapping[str, Any]], clips: Iterable[Mapping[str, Any]], survivors: Iterable[str], keep: Keep
) -> dict[str, int]:
    """Rank of each survivor among the survivors that show the same, 0 for the one to keep.

    Groups of different kinds that share a clip count as one: otherwise a clip could be rejected for one that is itself
    rejected in another group, and none of the first group would be left.

    Args:
        rows: of `duplicates`, of the kinds that count.
        clips: with clip_id, content_box, width, height, duration_s and sharpness; those in no group are ignored.
        survivors: clips that pass all other rules. Others get no rank.
    Returns:
        clip_id -> rank, for the survivors that are in a group.
    """
    memberships = list(rows)
    alive = set(survivors)
    group_of = components((row["group_id"], row["clip_id"]) for row in memberships)
    members: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for clip in clips:
        clip_id = clip["clip_id"]
        if clip_id in alive and clip_id in group_of:
            members[group_of[clip_id]].append((*_preference(clip, keep), clip_id))
    return {entry[-1]: rank for entries in members.values() for rank, entry in enumerate(sorted(entries))}


def _preference(clip: Mapping[str, Any], keep: Keep) -> tuple[float, ...]:
    """Sorts clips, the preferred one first; a missing score counts as 0."""
    box = clip.get("content_box")
    width, height = box[2:] if box else (clip["width"], clip["height"])
    values = {"pixels": width * height, "duration_s": clip["duration_s"], "sharpness": clip.get("sharpness")}
    return tuple(-(values[name] or 0.0) for name in PREFERENCE[keep])
