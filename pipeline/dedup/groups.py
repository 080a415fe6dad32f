"""From pairs to groups, and from groups to the one clip that is kept of each.

A group is a connected component: if A matches B and B matches C, then A and C are in one group although they may not
match. So a long chain of slow change could be reduced to one clip; the distances are strict for that reason.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa

from schemas.recipe.duplicates import DuplicatesConfig, Keep
from schemas.rules import DUPLICATE_RANK

Name = TypeVar("Name", str, int)

PREFERENCE: dict[Keep, tuple[str, ...]] = {
    "largest": ("pixels", "duration_s", "sharpness"),
    "longest": ("duration_s", "pixels", "sharpness"),
    "sharpest": ("sharpness", "pixels", "duration_s"),
}
"""What decides which clip of a group is kept, then what decides between equals; in the end the smaller clip_id."""
PREFERENCE_VALUES = {
    "pixels": "if(content_box is null, width * height, content_box[3] * content_box[4])::double",
    "duration_s": "duration_s::double",
    "sharpness": "sharpness::double",
}
"""SQL of what decides, from the columns of a clip."""


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
    """The smallest name in the connected component of every name in a pair."""
    pairs = list(pairs)
    names = sorted({name for pair in pairs for name in pair})
    numbers = {name: number for number, name in enumerate(names)}
    links = np.array([[numbers[name] for name in pair] for pair in pairs], np.int64).reshape(-1, 2)
    return {name: names[label] for name, label in zip(names, component_labels(links), strict=True)}


def component_labels(links: np.ndarray) -> np.ndarray:
    """The smallest number in the connected component of each number, (N,) int64.

    In each round the larger root of each link is hung under the smaller one, and then all labels are followed to their
    roots: the number of rounds grows with the logarithm of the longest chain.

    Args:
        links: (L, 2) int64, of numbers below N, of which each is in a link.
    """
    labels = np.arange(links.max(initial=-1) + 1)
    while True:
        roots = labels[links]
        low = roots.min(axis=1)
        if (roots == low[:, None]).all():
            return labels
        np.minimum.at(labels, roots.max(axis=1), low)
        while ((followed := labels[labels]) != labels).any():
            labels = followed


def group_rows(pairs: Sequence[Pair], grouping: str) -> list[dict[str, Any]]:
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
        }
        for clip_id, group in group_of.items()
    ]


def rank_survivors(connection: duckdb.DuckDBPyConnection, survivors: str, config: DuplicatesConfig) -> str:
    """A table with `clip_id` and `duplicate_rank`, the rank of each survivor among the survivors that show the same, 0
    for the one to keep; of the survivors that are in a group.

    Groups of different kinds that share a clip count as one: otherwise a clip could be rejected for one that is itself
    rejected in another group, and none of the first group would be left.

    Args:
        connection: has the view `duplicates`.
        survivors: query for the clips that pass all other rules, with `PREFERENCE_VALUES`.
    """
    kinds = ", ".join(f"'{kind}'" for kind in config.kinds)
    connection.execute(
        f"""
        create or replace temp table grouped_clips as
        with counted as (select clip_id, group_id from duplicates where kind in ({kinds})), named as (
            select name, row_number() over (order by name) - 1 as number
            from (select clip_id as name from counted union select group_id from counted)
        )
        select c.clip_id, one.number as clip, other.number as its_group
        from counted c join named one on one.name = c.clip_id join named other on other.name = c.group_id
        """
    )
    links = connection.execute("select clip, its_group from grouped_clips").fetchnumpy()
    component = component_labels(np.stack([links["clip"], links["its_group"]], axis=1).astype(np.int64))
    connection.register("component_of", pa.table({"clip": np.arange(len(component)), "component": component}))
    order = ", ".join(f"coalesce(nullif({name}, 'nan'), 0) desc" for name in PREFERENCE[config.keep])
    connection.execute(
        f"""
        create or replace temp table ranked_clips as
        select clip_id, (row_number() over (partition by component order by {order}, clip_id) - 1)::int
            as {DUPLICATE_RANK.name}
        from ({survivors}) join (
            select distinct clip_id, component from grouped_clips join component_of using (clip)
        ) using (clip_id)
        """
    )
    connection.unregister("component_of")
    return "ranked_clips"
