"""Groups of duplicates side by side, the one that is kept first, with the evidence and why it is that one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.dedup.groups import PREFERENCE, components, ranks
from pipeline.report.axes import number
from pipeline.report.clocks import span_text
from pipeline.report.pictures import Picture, Shelf
from schemas.recipe.duplicates import Keep
from schemas.tables.clips import KEPT

MAX_MEMBERS = 9
"""Members of a group that are shown."""
UNITS = {"pixels": "pixels", "duration_s": "s", "sharpness": "of sharpness"}


@dataclass(frozen=True)
class Member:
    """A clip of a group, with what says that it is like another."""

    clip: Mapping[str, Any]
    picture: Picture
    facts: str
    evidence: Sequence[str]
    place: str


@dataclass(frozen=True)
class Group:
    """Clips that hang together by any kind of sameness; `verdict` says which is kept and why."""

    verdict: str
    num_members: int
    members: Sequence[Member]


@dataclass(frozen=True)
class Choice:
    """How one of a group is chosen: the kinds of sameness that count, what is preferred, and the reasons that rules
    over `duplicate_rank` give; who is rejected for these alone was in the running."""

    kinds: Collection[str]
    keep: Keep
    reasons: Collection[str]


def duplicate_groups(
    connection: duckdb.DuckDBPyConnection, limit: int, choice: Choice, shelf: Shelf
) -> tuple[list[Group], int]:
    """At most `limit` groups, those whose members are least alike first, and how many there are.

    Groups of kinds that count are one if they share a clip; those of another kind stand by themselves.
    """
    rows = connection.sql("select * from duplicates order by clip_id, kind").to_arrow_table().to_pylist()
    root_of = components((_node(row, "group_id", choice), _node(row, "clip_id", choice)) for row in rows)
    memberships: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        memberships[root_of[_node(row, "clip_id", choice)]].append(row)
    roots = sorted(memberships, key=lambda root: (min(row["similarity"] for row in memberships[root]), root))
    clips = _clips(connection, {row["clip_id"] for root in roots[:limit] for row in memberships[root]})
    return [_group(memberships[root], clips, choice, shelf) for root in roots[:limit]], len(roots)


def _node(row: Mapping[str, Any], column: str, choice: Choice) -> str:
    """A clip's name among those that groups are made of; apart for each kind that does not count."""
    return row[column] if row["kind"] in choice.kinds else f"{row[column]} {row['kind']}"


def _group(
    rows: Sequence[Mapping[str, Any]], clips: Mapping[str, Mapping[str, Any]], choice: Choice, shelf: Shelf
) -> Group:
    evidence: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        evidence[row["clip_id"]].append(_evidence(row))
    found = [clips[clip_id] for clip_id in evidence if clip_id in clips]
    order = ranks(rows, found, list(evidence), choice.keep)
    found.sort(key=lambda clip: (clip["status"] != KEPT, order[clip["clip_id"]]))
    shown = [_member(clip, evidence[clip["clip_id"]], shelf) for clip in found[:MAX_MEMBERS]]
    counts = rows[0]["kind"] in choice.kinds
    num_kept = sum(clip["status"] == KEPT for clip in found)
    verdict = _verdict(found, num_kept, choice) if counts else f"a kind that the recipe does not count; {num_kept} kept"
    return Group(verdict, len(found), shown)


def _verdict(members: Sequence[Mapping[str, Any]], num_kept: int, choice: Choice) -> str:
    """Which member is kept, and by what it came before the next of those in the running."""
    if num_kept != 1:
        return f"{num_kept or 'none'} kept"
    others = [clip for clip in members[1:] if clip["reasons"] and set(clip["reasons"]) <= set(choice.reasons)]
    if not others:
        return "kept: the only one that no other rule rejects"
    for score in PREFERENCE[choice.keep]:
        mine, next_best = _score(members[0], score), _score(others[0], score)
        if mine != next_best:
            return f"kept: {number(mine)} {UNITS[score]} before {number(next_best)}"
    return "kept: the first of equals"


def _score(clip: Mapping[str, Any], name: str) -> float:
    if name != "pixels":
        return clip[name] or 0.0
    width, height = clip["content_box"][2:] if clip["content_box"] else (clip["width"], clip["height"])
    return width * height


def _member(clip: Mapping[str, Any], evidence: Sequence[str], shelf: Shelf) -> Member:
    facts = [f"{clip['width']}×{clip['height']}"]
    if clip["duration_s"] is not None:
        facts.append(f"{clip['duration_s']:.2f} s")
    if clip["sharpness"] is not None:
        facts.append(f"sharpness {number(clip['sharpness'])}")
    place = f"{clip['uri'].rpartition('/')[2]}, {span_text(clip)}"
    return Member(clip, shelf.picture(clip), ", ".join(facts), evidence, place)


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
