"""What was added, removed and changed between two releases, and why.

For a clip that was removed, the data set as it was when the newer release was frozen shows why it was left out. For one
that was added, the data set as it was when the older release was frozen does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.release import releases
from pipeline.release.as_of import Past, when_frozen
from pipeline.release.releases import Release
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas.errors import is_outage
from schemas.tables.captions import OK
from schemas.tables.clips import KEPT

ADDED, REMOVED, CHANGED = "added", "removed", "changed"

NO_TIME = "unknown: release {} does not record when it was frozen"
GONE = "no longer in the data set"
NOT_SCANNED = "not scanned yet"
REPLACED = "its file holds other bytes now"
DIVIDED = "its video was divided otherwise"
NO_CAPTION = "no caption yet"
UNDATED = "unknown: rows of the data set do not say when they were written"
NOT_SAMPLED = "not sampled"


@dataclass(frozen=True)
class Change:
    """A column whose value differs in the second release."""

    column: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Difference:
    """A clip that is not the same in both releases.

    `reasons` says why the other release left it out, or which columns changed.
    """

    kind: str
    """'added', 'removed' or 'changed'."""
    clip: Mapping[str, Any]
    """Its row in the second release; of a removed clip, in the first."""
    reasons: Sequence[str]
    changes: Sequence[Change] = ()


@dataclass(frozen=True)
class Differences:
    """From the release `old` to the release `new`."""

    old: Release
    new: Release
    clips: Sequence[Difference]
    """Those added, removed and changed, in this order, each by file and time."""
    num_same: int

    @property
    def counts(self) -> dict[str, int]:
        """Clips by kind of difference."""
        found = Counter(difference.kind for difference in self.clips)
        return {kind: found[kind] for kind in (ADDED, REMOVED, CHANGED)}

    def reason_counts(self, kind: str) -> dict[str, int]:
        """Number of clips for each reason, most frequent first; a clip with several reasons counts for each."""
        found = Counter(reason for difference in self.clips if difference.kind == kind for reason in difference.reasons)
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def compare(dataset: Dataset, old_name: str, new_name: str) -> Differences:
    """Compare two releases of a data set.

    Raises:
        DatasetError: there is no release of such a name.
    """
    old, new = releases.read(dataset, old_name), releases.read(dataset, new_name)
    old_rows, new_rows = _by_clip(old), _by_clip(new)
    added = [row for clip_id, row in new_rows.items() if clip_id not in old_rows]
    removed = [row for clip_id, row in old_rows.items() if clip_id not in new_rows]
    both = [(old_rows[clip_id], row) for clip_id, row in new_rows.items() if clip_id in old_rows]
    why_added, why_removed = why_left_out(dataset, old, added), why_left_out(dataset, new, removed)
    changes = [(row, _changes(before, row)) for before, row in both]
    changed = [Difference(CHANGED, row, [change.column for change in found], found) for row, found in changes if found]
    clips = [
        *(Difference(ADDED, row, why_added[row["clip_id"]]) for row in added),
        *(Difference(REMOVED, row, why_removed[row["clip_id"]]) for row in removed),
        *changed,
    ]
    return Differences(old, new, clips, len(both) - len(changed))


def latest_two(dataset: Dataset) -> tuple[str, str] | None:
    """The two releases frozen last, the older first; those that do not record when come before all others."""
    found = [releases.read(dataset, name) for name in releases.names(dataset)]
    found.sort(key=lambda release: (release.frozen_us or 0, release.name))
    return (found[-2].name, found[-1].name) if len(found) > 1 else None


def why_left_out(dataset: Dataset, release: Release, clips: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Why clips are not in a release, by clip: at least one reason each.

    The first that applies of: it was not in the data set, its decision, its captions, the condition of the release, the
    sampling.
    """
    past = when_frozen(dataset, release) if clips else None
    if past is None:
        return {clip["clip_id"]: [NO_TIME.format(release.name)] for clip in clips}
    now = connect(dataset)
    now.register("asked", pa.table({"clip_id": pa.array([clip["clip_id"] for clip in clips], pa.string())}))
    found = "select a.clip_id, c.video_id, c.split from asked a left join clips_raw c using (clip_id)"
    asked = now.sql(found).to_arrow_table()
    states = _states(past.connection, asked)
    present = set(_ids(now, "select clip_id from clips_raw"))
    condition = _condition(past.connection, release.where)
    return {state["clip_id"]: _why(state, present, condition, past) for state in states}


def _why(state: Mapping[str, Any], present: set[str], condition: _Condition, past: Past) -> list[str]:
    clip_id = state["clip_id"]
    if state["status"] is None and state["is_divided_otherwise"]:
        return [DIVIDED]
    if state["status"] is None and state["was_scanned"]:
        return [REPLACED]
    if state["status"] is None:
        return [NOT_SCANNED if clip_id in present else GONE]
    if state["status"] != KEPT:
        return [f"{state['status']}: {reason}" for reason in state["reasons"]] or [state["status"]]
    if not state["num_captions"]:
        return [NO_CAPTION]
    if not state["num_ok"]:
        return [f"caption {reason}" for reason in state["caption_reasons"]] or ["caption rejected"]
    if condition.failure:
        return [condition.failure]
    if clip_id not in condition.inside:
        return [f"does not satisfy --where {condition.where}"]
    return [NOT_SAMPLED if past.is_dated else UNDATED]


def _states(connection: duckdb.DuckDBPyConnection, asked: pa.Table) -> list[dict[str, Any]]:
    """Decision and captions of clips: clip_id, status (null if absent), reasons, whether it has a row at all, whether
    its video is there and divided otherwise, how many captions it has, how many of them are accepted, and the reasons
    against the others.

    Args:
        asked: clip_id, and video_id and split of each row that the clip has now.
    """
    connection.register("asked", asked)
    query = f"""
        with clips_asked as (
            select a.clip_id,
                   bool_and(p.video_id is not null and p.split is distinct from a.split) as is_divided_otherwise
            from asked a left join video_locations p using (video_id) group by a.clip_id
        ), against as (
            select clip_id, status,
                   unnest(if(len(reasons) = 0, [status], [status || ': ' || r for r in reasons])) as reason
            from captions where status <> '{OK}'
        ), caption_states as (
            select clip_id, count(*) as num_captions, count(*) filter (where status = '{OK}') as num_ok
            from captions group by clip_id
        )
        select a.clip_id, c.status, c.reasons, s.num_captions, s.num_ok,
               a.clip_id in (select clip_id from clips_raw) as was_scanned, a.is_divided_otherwise,
               (select list(distinct reason order by reason) from against where against.clip_id = a.clip_id)
                   as caption_reasons
        from clips_asked a left join clips c using (clip_id) left join caption_states s using (clip_id)
    """
    return connection.sql(query).to_arrow_table().to_pylist()


@dataclass(frozen=True)
class _Condition:
    """The condition of a release, and the clips that satisfied it; or why it cannot be evaluated any more."""

    where: str
    inside: frozenset[str] = frozenset()
    failure: str | None = None


def _condition(connection: duckdb.DuckDBPyConnection, where: str) -> _Condition:
    try:
        return _Condition(where, frozenset(_ids(connection, f"select clip_id from trainable where ({where})")))
    except duckdb.Error as error:
        if is_outage(error):
            raise
        message = str(error).splitlines()[0]
        return _Condition(
            where, failure=f"unknown: --where {where} cannot be evaluated on the tables any more ({message})"
        )


def _ids(connection: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    return connection.sql(query).to_arrow_table()["clip_id"].to_pylist()


def _by_clip(release: Release) -> dict[str, dict[str, Any]]:
    rows = sorted(release.clips.to_pylist(), key=lambda row: (row["uri"], row["start_us"], row["clip_id"]))
    return {row["clip_id"]: row for row in rows}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Columns that both releases have, with different values."""
    return [
        Change(column, value, after[column])
        for column, value in before.items()
        if column in after and after[column] != value
    ]
