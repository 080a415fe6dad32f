"""Groups of duplicates side by side: the kept clip first, with the evidence and the reason why it was chosen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.dedup.groups import PREFERENCE, components
from pipeline.report.axes import number
from pipeline.report.clocks import span_text
from pipeline.report.pictures import Picture, PictureCollector
from schemas.recipe.duplicates import Keep
from schemas.tables.clips import KEPT

MAX_MEMBERS = 9
"""Members of a group that are shown."""
UNITS = {"pixels": "pixels", "duration_s": "s", "sharpness": "of sharpness"}


@dataclass(frozen=True)
class Member:
    """A clip of a group, with the evidence that it shows the same as another."""

    clip: Mapping[str, Any]
    picture: Picture
    facts: str
    evidence: Sequence[str]
    place: str


@dataclass(frozen=True)
class Group:
    """Clips linked by any kind of duplicate; `verdict` says which is kept and why."""

    verdict: str
    num_members: int
    members: Sequence[Member]


@dataclass(frozen=True)
class Choice:
    """How the kept clip of a group is chosen: the kinds of duplicate that count, what is preferred, and the reasons
    that rules on `duplicate_rank` give. A clip that is rejected for these reasons alone was a candidate."""

    kinds: Collection[str]
    keep: Keep
    reasons: Collection[str]


def duplicate_groups(
    connection: duckdb.DuckDBPyConnection, limit: int, choice: Choice, collector: PictureCollector
) -> tuple[list[Group], int]:
    """At most `limit` groups, those with the least similar members first, and the number of all groups.

    Groups of kinds that count are joined if they share a clip; each group of another kind is shown separately.
    """
    rows = connection.sql("select * from duplicates order by clip_id, kind").to_arrow_table().to_pylist()
    root_of = components((_node(row, "group_id", choice), _node(row, "clip_id", choice)) for row in rows)
    memberships: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        memberships[root_of[_node(row, "clip_id", choice)]].append(row)
    roots = sorted(memberships, key=lambda root: (min(row["similarity"] for row in memberships[root]), root))
    clips = _clips(connection, {row["clip_id"] for root in roots[:limit] for row in memberships[root]})
    return [_group(memberships[root], clips, choice, collector) for root in roots[:limit]], len(roots)


def _node(row: Mapping[str, Any], column: str, choice: Choice) -> str:
    """A clip's or group's node in the graph of duplicates; another one for each kind that does not count."""
    return row[column] if row["kind"] in choice.kinds else f"{row[column]} {row['kind']}"


def _group(
    rows: Sequence[Mapping[str, Any]],
    clips: Mapping[str, Mapping[str, Any]],
    choice: Choice,
    collector: PictureCollector,
) -> Group:
    evidence: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        evidence[row["clip_id"]].append(_evidence(row))
    found = [clips[clip_id] for clip_id in evidence if clip_id in clips]
    found.sort(key=lambda clip: (clip["status"] != KEPT, *_preference(clip, choice.keep)))
    shown = [_member(clip, evidence[clip["clip_id"]], collector) for clip in found[:MAX_MEMBERS]]
    counts = rows[0]["kind"] in choice.kinds
    num_kept = sum(clip["status"] == KEPT for clip in found)
    verdict = (
        _verdict(found, num_kept, choice) if counts else f"a kind that the recipe does not reject; {num_kept} kept"
    )
    return Group(verdict, len(found), shown)


def _verdict(members: Sequence[Mapping[str, Any]], num_kept: int, choice: Choice) -> str:
    """Which member is kept, and by which score it was preferred to the next candidate."""
    if num_kept != 1:
        return f"{num_kept or 'none'} kept"
    others = [clip for clip in members[1:] if clip["reasons"] and set(clip["reasons"]) <= set(choice.reasons)]
    if not others:
        return "kept: the only one that no other rule rejects"
    for score in PREFERENCE[choice.keep]:
        mine, next_best = _score(members[0], score), _score(others[0], score)
        if mine != next_best:
            return f"kept: {number(mine)} {UNITS[score]}, the next best has {number(next_best)}"
    return "kept: the first of several equally good ones"


def _preference(clip: Mapping[str, Any], keep: Keep) -> tuple[Any, ...]:
    """Sorts clips, the preferred one first."""
    return (*(-_score(clip, name) for name in PREFERENCE[keep]), clip["clip_id"])


def _score(clip: Mapping[str, Any], name: str) -> float:
    if name != "pixels":
        return clip[name] or 0.0
    width, height = clip["content_box"][2:] if clip["content_box"] else (clip["width"], clip["height"])
    return width * height


def _member(clip: Mapping[str, Any], evidence: Sequence[str], collector: PictureCollector) -> Member:
    facts = [f"{clip['width']}×{clip['height']}"]
    if clip["duration_s"] is not None:
        facts.append(f"{clip['duration_s']:.2f} s")
    if clip["sharpness"] is not None:
        facts.append(f"sharpness {number(clip['sharpness'])}")
    place = f"{clip['uri'].rpartition('/')[2]}, {span_text(clip)}"
    return Member(clip, collector.picture(clip), ", ".join(facts), evidence, place)


def _evidence(row: Mapping[str, Any]) -> str:
    text = f"{row['kind']} {row['similarity']:.3f}"
    if row["mirrored"]:
        text += ", mirrored"
    if row["rate"] is not None and abs(row["rate"] - 1) > 0.005:
        text += f", {row['rate']:.2f} times as fast"
    return text


def _clips(connection: duckdb.DuckDBPyConnection, clip_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    connection.register("grouped", pa.table({"clip_id": pa.array(sorted(clip_ids), pa.string())}))
    rows = connection.sql("select c.* from clips c join grouped using (clip_id)").to_arrow_table()
    return {row["clip_id"]: row for row in rows.to_pylist()}
