"""The numbers on the page: funnel, reasons, runs and releases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb

from pipeline.release import releases
from pipeline.report.labels import STATUSES
from pipeline.report.thresholds import condition
from pipeline.store.dataset import Dataset
from schemas.rules import Threshold

MAX_RUNS = 10
"""Runs that the page lists; earlier ones are only counted."""
RUN_TIME = "%Y%m%dT%H%M%SZ"
"""Format of the time with which a run id begins."""
TIME = "%Y-%m-%d %H:%M:%S UTC"


@dataclass(frozen=True)
class Part:
    """A piece of a bar: rows of one kind, drawn in the colour of a status."""

    label: str
    count: int
    status: str


@dataclass(frozen=True)
class Bar:
    """A step of the funnel: its rows divided into kinds. A bar of `scale` rows has the full width."""

    label: str
    scale: int
    parts: Sequence[Part]
    note: str = ""

    @property
    def total(self) -> int:
        return sum(part.count for part in self.parts)


@dataclass(frozen=True)
class Reason:
    """How many rows a reason rejects, how many it alone rejects, and the rules that give it."""

    reason: str
    num_clips: int
    num_only: int
    conditions: str
    source: str


@dataclass(frozen=True)
class RunFacts:
    """A run as the page lists it."""

    run_id: str
    start: str
    job: str
    state: str
    seconds: float | None
    stages: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class ReleaseFacts:
    """A release as the page lists it."""

    name: str
    num_clips: int
    seconds: float
    content_hash: str
    where: str
    frozen: str


def funnel_bars(connection: duckdb.DuckDBPyConnection) -> list[Bar]:
    """Videos in, clips, captions, trainable clips; each divided by status or reason."""
    rows: dict[str, int] = dict(connection.execute("select stage, rows from funnel").fetchall())
    failures = connection.execute("select reason, videos from video_failures").fetchall()
    captions: dict[str, int] = dict(connection.execute("select status, count(*) from captions group by 1").fetchall())
    copies = rows["byte-identical duplicates"]
    num_clips = rows["clips"]
    video_parts = [Part("probed", rows["videos probed"], "kept")]
    video_parts += [Part(reason or "failed", count, "failed") for reason, count in failures]
    clip_parts = [Part(status, rows[f"clips {status}"], status) for status in STATUSES]
    caption_parts = [
        Part(status, captions.get(status, 0), status) for status in ("ok", "rejected", "failed", "pending")
    ]
    copies_note = f"{copies} of them are byte-identical duplicates" if copies else ""
    return [
        Bar("videos in", rows["videos in"], video_parts, copies_note),
        Bar("clips", num_clips, clip_parts),
        Bar("captions", max(num_clips, rows["captions"]), caption_parts),
        Bar("trainable", max(num_clips, rows["trainable"]), [Part("captioned clips", rows["trainable"], "kept")]),
    ]


def reasons(connection: duckdb.DuckDBPyConnection, table: str, thresholds: Sequence[Threshold]) -> list[Reason]:
    """Reasons of `clips` or `captions` rows that are not kept, most frequent first; then those of rules that reject
    nothing."""
    passed = "kept" if table == "clips" else "ok"
    counted = connection.execute(
        "select reason, count(*) as num_clips, count(*) filter (where alone)"
        f" from (select unnest(reasons) as reason, len(reasons) = 1 as alone from {table} where status <> '{passed}')"
        " group by reason order by num_clips desc, reason"
    ).fetchall()
    found = {reason for reason, _, _ in counted}
    idle = dict.fromkeys(t.reason for t in thresholds if t.reason not in found)
    return [
        Reason(
            reason,
            num_clips,
            num_only,
            " or ".join(condition(t) for t in thresholds if t.reason == reason),
            "; ".join(dict.fromkeys(t.source for t in thresholds if t.reason == reason)),
        )
        for reason, num_clips, num_only in [*counted, *((reason, 0, 0) for reason in idle)]
    ]


def run_facts(runs: Sequence[Mapping[str, Any]]) -> tuple[list[RunFacts], int]:
    """The last runs, newest first, and the number of earlier ones."""
    last = runs[-MAX_RUNS:][::-1]
    facts = [
        RunFacts(
            run["run_id"],
            _start(run["run_id"]),
            run["job"],
            run["state"],
            run.get("seconds"),
            run.get("stages", {}),
        )
        for run in last
    ]
    return facts, len(runs) - len(last)


def release_facts(dataset: Dataset) -> list[ReleaseFacts]:
    facts = []
    for name in releases.names(dataset):
        release = releases.read(dataset, name)
        spans_us = zip(*(release.clips[column].to_pylist() for column in ("start_us", "end_us")), strict=True)
        seconds = sum(end_us - start_us for start_us, end_us in spans_us) * 1e-6
        frozen = "unknown" if release.frozen_us is None else _time_text(release.frozen_us)
        facts.append(ReleaseFacts(name, release.clips.num_rows, seconds, release.content_hash, release.where, frozen))
    return facts


def _start(run_id: str) -> str:
    try:
        return datetime.strptime(run_id.split("-")[0], RUN_TIME).strftime(TIME)
    except ValueError:
        return ""


def _time_text(time_us: int) -> str:
    return datetime.fromtimestamp(time_us * 1e-6, tz=UTC).strftime(TIME)
