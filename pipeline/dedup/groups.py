"""From pairs to groups, and from groups to the one clip that is kept of each.

A group is a connected component: if A matches B and B matches C, then A and C are in one group although they may not
match. So a long chain of slow change could be reduced to one clip; the distances are strict for that reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

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


def find_groups(connection: duckdb.DuckDBPyConnection, pairs: str, grouping: str) -> str:
    """A table with the columns of `duplicates` but its stamps: the groups that pairs make, each kind by itself.

    Args:
        pairs: query for pairs of clips: kind, first, second, similarity, mirrored, rate.
    """
    connection.execute(
        f"""
        create or replace temp table sides as
        with pairs as ({pairs})
        select kind, first as clip_id, second as match_id, similarity, mirrored, rate from pairs
        union all select kind, second, first, similarity, mirrored, 1 / rate from pairs
        """
    )
    connection.execute(
        """
        create or replace temp table members as
        select *, row_number() over (order by kind, clip_id) - 1 as number from (
            select kind, clip_id, arg_min(sides, (-similarity, match_id)) as best
            from sides group by all
        )
        """
    )
    links = "select a.number, b.number from sides s join members a using (kind, clip_id) join members b on"
    group_of = _label(connection, f"{links} b.kind = s.kind and b.clip_id = s.match_id")
    connection.execute(
        f"""
        create or replace temp table found_groups as
        select m.clip_id, m.kind, g.clip_id as group_id, (count(*) over (partition by g.number))::int as group_size,
               m.best.match_id, m.best.similarity, m.best.mirrored, m.best.rate, '{grouping}' as grouping
        from members m join {group_of} l using (number) join members g on g.number = l.label
        """
    )
    return "found_groups"


def _label(connection: duckdb.DuckDBPyConnection, links: str) -> str:
    """A table with `number` and `label`, the smallest number in its connected component.

    Args:
        links: query for pairs of numbers from 0 on, of which each is in a pair.
    """
    columns = connection.execute(links).fetchnumpy().values()
    labels = component_labels(np.stack([*columns], axis=1).astype(np.int64))
    connection.register("arrays", pa.table({"number": np.arange(len(labels)), "label": labels}))
    connection.execute("create or replace temp table labels as from arrays")
    connection.unregister("arrays")
    return "labels"


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
    group_of = _label(connection, "select clip, its_group from grouped_clips")
    order = ", ".join(f"coalesce(nullif({name}, 'nan'), 0) desc" for name in PREFERENCE[config.keep])
    connection.execute(
        f"""
        create or replace temp table ranked_clips as
        select clip_id, (row_number() over (partition by label order by {order}, clip_id) - 1)::int
            as {DUPLICATE_RANK.name}
        from ({survivors}) join (
            select distinct clip_id, label from grouped_clips join {group_of} on number = clip
        ) using (clip_id)
        """
    )
    return "ranked_clips"
