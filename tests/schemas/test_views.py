"""The DuckDB views over a data set small enough to add up by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

import duckdb
import pytest

from pipeline.store.views import QUERY_NAMES, derived_views
from schemas import CAPTION_DECISIONS, CAPTIONS, CLIPS, DECISIONS, MEASURES, VIDEOS
from schemas.tables.duplicates import DUPLICATES
from tests.conftest import apart, captions_apart

MakeRow = Callable[..., dict[str, Any]]
Rows = Sequence[dict[str, Any]]


@pytest.fixture(scope="module")
def connection(video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow) -> duckdb.DuckDBPyConnection:
    videos = [
        video_row("v0", source='{"title": "first"}'),
        video_row("v1"),
        video_row("v1", uri="/videos/copy.mp4", duplicate_of="/videos/v1.mp4", source='{"title": "copy"}'),
        video_row("v2", uri="/videos/broken.mp4", status="failed", reason="no_frames"),
        video_row("v3", uri="/videos/empty.mp4", video_id=None, status="failed", reason="empty_file", file_bytes=0),
        video_row("v4", uri="/videos/empty2.mp4", video_id=None, status="failed", reason="empty_file", file_bytes=0),
        # A file that changed in place: the older row is history.
        video_row("v5", uri="/videos/changed.mp4", status="failed", reason="no_frames", written_us=1),
        video_row("v6", uri="/videos/changed.mp4", written_us=9),
    ]
    clips = [
        clip_row("c0", "v0"),
        clip_row("c1", "v0", status="rejected", reasons=["too_dark"]),
        clip_row("c2", "v0", status="rejected", reasons=["too_dark", "still"]),
        clip_row("c3", "v1"),
        clip_row("c4", "v1"),
        clip_row("c5", "v1", status="failed", reasons=["measures: broken"]),
        clip_row("c6", "v6", motion_px_s=3.0),
        clip_row("c7", "v6", status="pending", reasons=["unmeasured: overlay_text"]),
        clip_row("c8", "v6"),
        clip_row("orphan", "a video whose row was not written"),
    ]
    decision = {"rules_fingerprint": "g", "written_us": 1}
    decisions = [
        decision | {"clip_id": "c3", "status": "rejected", "reasons": ["still"]},
        decision | {"clip_id": "c3", "written_us": 2, "status": "kept", "reasons": []},
        decision | {"clip_id": "c7", "status": "kept", "reasons": []},
        decision | {"clip_id": "c8", "status": None, "reasons": ["unmeasured: overlay_text"]},
    ]
    of_caption = {
        "captioner": "cap0",
        "rules_fingerprint": "g",
        "written_us": 5,
        "status": "rejected",
        "reasons": ["long"],
    }
    caption_decisions = [
        of_caption | {"clip_id": "c3", "status": "ok", "reasons": []},
        of_caption | {"clip_id": "c6"},
        of_caption | {"clip_id": "c6", "written_us": 7, "status": "ok", "reasons": []},
        of_caption | {"clip_id": "c0"},
        of_caption | {"clip_id": "c8"},
    ]
    captions = [
        caption_row("c0"),
        caption_row("c0", "cap1"),
        caption_row("c3", status="rejected", reasons=["caption_too_short"]),
        caption_row("c4", status="failed", short=None, detailed=None, num_words=None, reasons=["frames: gone"]),
        caption_row("c6"),
        # Written after the decision, which was of a caption that is lost.
        caption_row("c8", written_us=6),
    ]
    return views_over(videos, clips, captions, decisions, caption_decisions)


WITH_ROWS = ("videos", "clips", "captions", "caption_decisions", "decisions", "duplicates", "measures_tells")


def views_over(
    videos: Rows,
    clips: Rows,
    captions: Rows,
    decisions: Rows = (),
    caption_decisions: Rows = (),
    tells: Rows = (),
) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    clips, first = apart(clips)
    captions, first_on_captions = captions_apart(captions)
    for name, table, rows in (
        ("videos_raw", VIDEOS, videos),
        ("clips_raw", CLIPS, clips),
        ("captions_raw", CAPTIONS, captions),
        ("caption_decisions_raw", CAPTION_DECISIONS, [*first_on_captions, *caption_decisions]),
        ("decisions_raw", DECISIONS, [*first, *decisions]),
        ("duplicates_raw", DUPLICATES, []),
        ("measures_tells_raw", MEASURES["tells"], tells),
        *((f"{name}_raw", table, []) for name, table in QUERY_NAMES.items() if name not in WITH_ROWS),
    ):
        connection.register(name, table.encode(rows))
    for statement in derived_views():
        connection.execute(statement)
    connection.execute((resources.files("schemas") / "views.sql").read_text())
    return connection


def test_the_funnel_adds_up(connection: duckdb.DuckDBPyConnection) -> None:
    funnel = dict(connection.execute("select stage, rows from funnel").fetchall())
    assert funnel == {
        "videos in": 7,
        "videos probed": 4,
        "videos failed": 3,
        "byte-identical duplicates": 1,
        "clips": 9,
        "clips kept": 5,
        "clips rejected": 2,
        "clips failed": 1,
        "clips pending": 1,
        "captions": 6,
        "captions ok": 4,
        "trainable": 3,
    }
    assert funnel["videos in"] == funnel["videos probed"] + funnel["videos failed"]
    assert funnel["clips"] == sum(funnel[f"clips {status}"] for status in ("kept", "rejected", "failed", "pending"))


def test_reasons_count_alone_and_together(connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.execute("select reason, clips, only_reason from reject_reasons").fetchall()
    assert rows == [("too_dark", 2, 1), ("measures: broken", 1, 1), ("still", 1, 0)]
    assert connection.execute("select count(*) from rejects").fetchall() == [(4,)]


def test_failures_count_the_newest_row_of_each_input(connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.execute("select reason, videos from video_failures").fetchall()
    assert rows == [("empty_file", 2), ("no_frames", 1)]
    assert connection.execute("select video_id from videos where uri = '/videos/changed.mp4'").fetchall() == [("v6",)]


def test_clips_are_in_the_files_that_hold_their_bytes_now(
    video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow
) -> None:
    """Of two files that were replaced, one has a byte-identical duplicate, which has its clips now; those of the other
    are left out."""
    replaced = [video_row(f"v{i}", uri=f"/videos/{i}.mp4", source='{"title": "old"}') for i in (0, 1)]
    copy = video_row("v0", uri="/videos/copy.mp4", duplicate_of="/videos/0.mp4", source='{"title": "copy"}')
    now = [video_row(f"new{i}", uri=f"/videos/{i}.mp4", written_us=9) for i in (0, 1)]
    clips = [clip_row(f"c{i}", f"v{i}", uri=f"/videos/{i}.mp4") for i in (0, 1)]
    clips += [clip_row("new", "new0", uri="/videos/0.mp4"), clip_row("stray", "v9", uri="/videos/copy.mp4")]
    connection = views_over([*replaced, copy, *now], clips, [caption_row(clip["clip_id"]) for clip in clips])
    rows = connection.execute("select clip_id, uri, source from trainable order by 1").fetchall()
    assert rows == [("c0", "/videos/copy.mp4", '{"title": "copy"}'), ("new", "/videos/0.mp4", "{}")]
    assert connection.execute("select rows from funnel where stage = 'clips'").fetchall() == [(2,)]


def test_clips_wait_for_the_row_of_their_video_and_that_of_a_copy_is_none(
    video_row: MakeRow, clip_row: MakeRow
) -> None:
    """A killed run has written the row of a copy, and some of the clips."""
    copy = video_row("v0", uri="/videos/copy.mp4", duplicate_of="/videos/v0.mp4")
    waiting = views_over([copy], [clip_row("c0", "v0")], [])
    assert waiting.execute("select clip_id from scored").fetchall() == []
    complete = views_over([copy, video_row("v0")], [clip_row("c0", "v0")], [])
    assert complete.execute("select clip_id from scored").fetchall() == [("c0",)]


def test_a_video_has_the_clips_of_one_division_whole_those_that_its_row_names(
    video_row: MakeRow, clip_row: MakeRow
) -> None:
    """A span that is in both divisions, and a copy of the file, whose row still names the old one."""
    copy = video_row("v0", uri="/videos/copy.mp4", duplicate_of="/videos/v0.mp4", split="old", written_us=9)
    videos = [video_row("v0", split="old", written_us=1), copy]
    clips = [clip_row(name, "v0", split="old", written_us=1, brightness=0.1) for name in ("c0", "c1")]
    clips += [clip_row(name, "v0", split="new", written_us=2, brightness=0.2) for name in ("c0", "c2")]
    found = "select clip_id, brightness from clips order by 1"
    killed = views_over(videos, clips, [])
    assert killed.execute(found).fetchall() == [("c0", 0.1), ("c1", 0.1)]
    done = views_over([*videos, video_row("v0", split="new", written_us=3)], clips, [])
    assert done.execute(found).fetchall() == [("c0", 0.2), ("c2", 0.2)]


def test_a_score_taken_again_counts_until_its_video_is_scanned_again(video_row: MakeRow, clip_row: MakeRow) -> None:
    again = dict.fromkeys(MEASURES["tells"].schema.names) | {"clip_id": "c0", "measure": "m", "shots_per_s": 1.0}
    clips = [clip_row("c0", "v0", written_us=1, shots_per_s=0.0, measured='{"tells": "m"}')]
    scanned_again = [*clips, clip_row("c0", "v0", written_us=3, shots_per_s=2.0, measured='{"tells": "n"}')]
    for rows, expected in ((clips, (1.0, "m")), (scanned_again, (2.0, "n"))):
        connection = views_over([video_row("v0")], rows, [], tells=[again | {"written_us": 2}])
        assert connection.execute("select shots_per_s, has_tells from scored").fetchall() == [expected]


def test_trainable_has_one_row_a_caption_and_the_words_of_the_original(connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.execute("select clip_id, captioner, source from trainable order by 1, 2").fetchall()
    assert rows == [("c0", "cap1", '{"title": "first"}'), ("c3", "cap0", "{}"), ("c6", "cap0", "{}")]


def test_the_newest_decision_on_a_caption_counts_unless_the_caption_is_newer(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    rows = connection.execute("select clip_id, captioner, status, reasons from captions order by 1, 2").fetchall()
    assert rows == [
        ("c0", "cap0", "rejected", ["long"]),
        ("c0", "cap1", "ok", []),
        ("c3", "cap0", "ok", []),
        ("c4", "cap0", "failed", ["frames: gone"]),
        ("c6", "cap0", "ok", []),
        ("c8", "cap0", "ok", []),
    ]
