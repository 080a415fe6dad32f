"""The report's rules, thresholds, labels, timelines and releases, over a hand-made data set of one synthetic video."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline.measure.registry import stream_fingerprints
from pipeline.release import releases
from pipeline.report import timelines as timeline_layout
from pipeline.report.contact_sheets import RuleSheet, rule_sheets
from pipeline.report.duplicates import Choice, duplicate_groups
from pipeline.report.histograms import by_measure, score_histograms
from pipeline.report.labels import camera_chart, label_charts
from pipeline.report.page import ReportConfig, report_page
from pipeline.report.pictures import PictureCollector, read_strips
from pipeline.report.timelines import GAP, timeline_rows, timelines
from pipeline.rules.clips import judge_clips
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from pipeline.synthetic.encode import Encoding, encode
from pipeline.synthetic.render import render
from pipeline.synthetic.world import Scene, Thing
from schemas import VIDEOS
from schemas.recipe import Recipe
from schemas.rules import CLIP_COLUMNS, Rule
from schemas.tables.duplicates import DUPLICATE_KINDS, DUPLICATES
from tests.conftest import write_captions, write_clips

MakeRow = Callable[..., dict[str, Any]]
WIDTH, HEIGHT, FPS, NUM_FRAMES = 160, 80, 10, 60
SCENE = Scene(things=(Thing("circle", "red", direction="left"),), background="grey")
RULES = {
    "min_motion": Rule("motion_px_s", "still", min=1.0, source="somewhere <b>"),
    "brightness": Rule("brightness", "badly_lit", min=0.2, max=0.8),
    "no_shake": Rule("camera_motion", "shaky", reject=("shake", "roll")),
    "unknown": Rule("flicker", "flickers", max=0.5),
}
RECIPE = Recipe(name="mine", rules=RULES)
MOTION = [0.2, 0.9, 0.5, 1.0, 3.0, 1.2, 40.0, None, 0.99, 2.0]
BRIGHTNESS = [0.5, 0.5, 0.1, 0.3, 0.5, 0.75, 0.95, 0.5, 0.5, 0.21]
CAMERA = ["still", "still", "pan left", "still", "shake", "pan left", "still", "still", "still", None]
STRENGTH = [0.0, 0.1, 4.0, 0.2, 9.0, 8.0, 0.0, 0.1, 0.3, None]
MEASURED = json.dumps(stream_fingerprints(RECIPE.measure))
STATUSES = ["rejected"] * 3 + ["kept", "rejected", "kept", "rejected", "kept", "rejected", "kept"]


def clip_id(index: int) -> str:
    return f"{index:016x}"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "one.mp4"
    times_s = [Fraction(i, FPS) for i in range(NUM_FRAMES + 1)]
    encode(path, render(SCENE, WIDTH, HEIGHT, NUM_FRAMES), times_s, Fraction(FPS), Encoding())
    return path


@pytest.fixture(scope="module")
def clips(video: Path, clip_row: MakeRow) -> list[dict[str, Any]]:
    """Ten clips of 0.5 s, each followed by 0.1 s of transition."""
    return [
        clip_row(
            clip_id(i),
            "v0",
            uri=str(video),
            shot_index=i,
            start_us=600_000 * i,
            end_us=600_000 * i + 500_000,
            num_frames=5,
            duration_s=0.5,
            width=WIDTH,
            height=HEIGHT,
            content_box=[0, 0, WIDTH, HEIGHT],
            motion_px_s=MOTION[i],
            brightness=BRIGHTNESS[i],
            camera_motion=CAMERA[i],
            camera_strength=STRENGTH[i],
            border_kind="none" if i else "black",
            bars_change=i == 0,
            measured=MEASURED,
            status=STATUSES[i],
            reasons=["still <i>"] if STATUSES[i] == "rejected" else [],
        )
        for i in range(10)
    ]


@pytest.fixture(scope="module")
def dataset(clips, video: Path, tmp_path_factory, video_row: MakeRow, caption_row: MakeRow) -> Dataset:
    dataset = Dataset(str(tmp_path_factory.mktemp("sections")))
    dataset.write_part(VIDEOS, [video_row("v0", uri=str(video), duration_us=6_000_000)])
    write_clips(dataset, clips)
    write_captions(dataset, [caption_row(clip["clip_id"]) for clip in clips])
    return dataset


@pytest.fixture(scope="module")
def connection(dataset: Dataset) -> duckdb.DuckDBPyConnection:
    connection = connect(dataset)
    connection.execute("create temp table clips as from derived.main.clips")  # asked many times, as for the page
    return connection


@pytest.fixture(scope="module")
def sheets(connection: duckdb.DuckDBPyConnection) -> dict[str, RuleSheet]:
    verdicts = judge_clips(connection, RECIPE)
    return {sheet.name: sheet for sheet in rule_sheets(verdicts, 3, PictureCollector())}


def shown(tiles: Any) -> list[int]:
    return [int(tile.clip["clip_id"], 16) for tile in tiles]


def test_clips_stand_by_their_distance_from_the_threshold(sheets: dict[str, RuleSheet]) -> None:
    motion = sheets["min_motion"]
    assert (shown(motion.rejected), shown(motion.kept)) == ([8, 1, 2], [3, 5, 9])
    assert [(tile.value, tile.relation) for tile in motion.rejected[:2]] == [("0.99 px/s", "< 1"), ("0.9 px/s", "< 1")]
    assert [(tile.value, tile.relation) for tile in motion.kept[:2]] == [("1 px/s", "≥ 1"), ("1.2 px/s", "≥ 1")]
    assert motion.kept[0].place == "one.mp4, 0:01.80 to 0:02.30"
    assert motion.rejected[2].reasons == ["still", "badly_lit"]


def test_of_two_bounds_the_nearer_counts(sheets: dict[str, RuleSheet]) -> None:
    light = sheets["brightness"]
    assert (shown(light.rejected), shown(light.kept)) == ([2, 6], [9, 5, 3])
    assert [tile.relation for tile in (*light.rejected, *light.kept)] == ["< 0.2", "> 0.8", "≥ 0.2", "≤ 0.8", "≥ 0.2"]


def test_labels_have_no_distance_and_what_has_no_value_is_not_shown(sheets: dict[str, RuleSheet]) -> None:
    assert [tile.value for tile in sheets["no_shake"].rejected] == ["shake"]
    assert [tile.value for tile in sheets["no_shake"].kept] == ["still", "pan left", "still"]
    assert not sheets["no_shake"].is_by_distance
    assert sheets["min_motion"].num_kept == 3  # of four: one has no motion
    assert (sheets["unknown"].rejected, sheets["unknown"].kept) == ([], [])


def test_a_sheet_says_what_its_rule_does(sheets: dict[str, RuleSheet]) -> None:
    effects = {name: (sheet.effect.rejects, sheet.effect.alone, sheet.effect.stay) for name, sheet in sheets.items()}
    assert effects == {"min_motion": (4, 3, 6), "brightness": (2, 1, 5), "no_shake": (1, 1, 4), "unknown": (0, 0, 4)}


def test_the_rule_over_duplicates_shows_who_was_in_the_way(dataset: Dataset) -> None:
    connection, clip_ids = connect(dataset), [clip_id(5), clip_id(9)]
    groups = pa.table({"kind": ["near"] * 2, "group_id": clip_ids[:1] * 2, "clip_id": clip_ids})
    connection.register("two_alike", groups)
    connection.execute("create or replace view duplicates as from two_alike")
    rules = RULES | {"one_of_each": Rule("duplicate_rank", "duplicate", max=0)}
    verdicts = judge_clips(connection, replace(RECIPE, rules=rules))
    sheet = rule_sheets(verdicts, 3, PictureCollector())[-1]
    assert (shown(sheet.rejected), shown(sheet.kept), sheet.effect.alone) == ([9], [], 1)
    assert (sheet.rejected[0].value, sheet.rejected[0].relation) == ("", "shows the same as another clip")


def test_labels_are_counted_by_status(connection: duckdb.DuckDBPyConnection) -> None:
    charts = {chart.column: chart for chart in label_charts(connection)}
    assert list(charts) == ["border_kind", "bars_change"]  # no clip has an overlay_kind
    black = charts["border_kind"].bars[1]
    assert (black.label, black.counts) == ("black", {"kept": 0, "rejected": 1, "failed": 0, "pending": 0})
    assert [bar.label for bar in charts["bars_change"].bars] == ["false", "true"]


def test_the_camera_chart_holds_counts_and_strengths(connection: duckdb.DuckDBPyConnection) -> None:
    chart = camera_chart(connection)
    assert chart
    counts = {bar.label: (bar.counts["kept"], bar.counts["rejected"]) for bar in chart.labels.bars}
    assert counts == {"still": (2, 4), "pan left": (1, 1), "shake": (0, 1)}
    assert chart.labels.num_missing == 1
    still = [strength for label, strength in zip(CAMERA, STRENGTH, strict=True) if label == "still"]
    assert chart.strengths["still"].quantiles == pytest.approx(np.quantile(np.array(still, float), [0.1, 0.5, 0.9]))
    assert chart.strengths["shake"].places == pytest.approx([1, 1, 1])
    assert chart.strengths["pan left"].places[1] == pytest.approx(np.sqrt(6 / 9))


def test_scores_stand_under_their_measures(connection: duckdb.DuckDBPyConnection) -> None:
    groups = by_measure(score_histograms(connection, "clips", pa.schema(list(CLIP_COLUMNS)[:-1]), []))
    columns = {name: [score.column for score in scores] for name, scores in groups.items()}
    assert columns["motion"] == ["motion_px_s"]
    assert columns["technical"] == ["brightness"]
    assert "start_frame" not in columns["the clip itself"]
    assert all("nsfw" not in names for names in columns.values())


def test_a_timeline_is_filled_by_clips_and_gaps(clips: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_layout, "CLIPS_A_ROW", 4)
    rows = timeline_rows(clips, 6_000_000, [], PictureCollector())
    assert [(row.start, row.end) for row in rows] == [
        ("0:00.00", "0:02.00"),
        ("0:02.00", "0:04.00"),
        ("0:04.00", "0:06.00"),
    ]
    for row in rows:
        ends = np.cumsum([piece.width for piece in row.pieces])
        assert [piece.left for piece in row.pieces] == pytest.approx([0, *ends[:-1]])
        assert ends[-1] == pytest.approx(1)
    statuses = [piece.status for piece in rows[0].pieces]
    assert statuses == ["rejected", GAP, "rejected", GAP, "rejected", GAP, "kept"]  # the fourth goes on in the next row
    assert [piece.status for piece in rows[1].pieces[:3]] == ["kept", GAP, "rejected"]
    assert rows[0].pieces[-1].width == pytest.approx(0.2 / 2)
    assert rows[0].pieces[1].title == "0:00.50 to 0:00.60: 0.10 s, transition, in no clip"
    assert rows[2].pieces[-1].title.endswith("0.10 s, in no clip")
    assert rows[0].pieces[0].label == "still <i>"


def test_pictures_stand_at_the_middles_of_their_clips_and_apart(clips: list[dict[str, Any]]) -> None:
    (row,) = timeline_rows(clips[:8], 6_000_000, [], PictureCollector())
    middles = [still.left + still.width / 2 for still in row.stills]
    assert middles == pytest.approx([(0.25 + 0.6 * i) / 6 for i in range(8)])
    dense = [clip | {"end_us": clip["start_us"] + 100_000, "start_us": clip["start_us"]} for clip in clips[:8]]
    (row,) = timeline_rows(dense, 20_000_000, [], PictureCollector())
    assert 1 < len(row.stills) < 8
    assert all(b.left >= a.left + a.width for a, b in zip(row.stills, row.stills[1:], strict=False))


def test_a_long_timeline_ends_early_and_says_so(connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_layout, "MAX_CLIPS", 4)
    (found,), num_videos = timelines(connection, 5, [], PictureCollector())
    assert (num_videos, found.num_clips, found.num_shown, found.num_kept) == (1, 10, 4, 4)
    assert (found.length, found.rows[-1].end) == ("0:06.00", "0:02.30")


def test_a_strip_shows_the_frames_of_its_clip(clips: list[dict[str, Any]], video: Path) -> None:
    (data,) = read_strips(str(video), clips[5:6])
    strip = np.asarray(Image.open(io.BytesIO(data)), float)
    truth = render(SCENE, WIDTH, HEIGHT, NUM_FRAMES)
    # Middles of the thirds of 3.0 to 3.5 s: 3.083, 3.25 and 3.417 s, on screen frames 30, 32 and 34.
    expected = [np.asarray(Image.fromarray(truth[i]).resize((136, 68)), float) for i in (30, 32, 34)]
    assert strip.shape == (68, 408, 3)
    assert np.abs(strip - np.concatenate(expected, axis=1)).mean() < 6
    others = [
        np.abs(strip[:, :136] - np.asarray(Image.fromarray(truth[i]).resize((136, 68)), float)).mean() for i in (20, 40)
    ]
    assert min(others) > np.abs(strip[:, :136] - expected[0]).mean()


def test_a_picture_is_in_the_page_once_and_a_lost_video_is_named(clips: list[dict[str, Any]]) -> None:
    collector, count = PictureCollector(), []
    for clip in (clips[0], clips[0], clips[1], clips[2] | {"uri": "/no/such.mp4"}):
        collector.picture(clip)
    sheet = collector.style_sheet(lambda: count.append(1))
    assert re.findall(r"\.p-(\w+)\{", sheet) == [clip_id(0), clip_id(1)]
    assert len(count) == 2
    assert list(collector.failures) == ["/no/such.mp4"]
    data = re.findall(r"base64,([^)]+)\)", sheet)
    assert all(Image.open(io.BytesIO(base64.b64decode(text))).format == "JPEG" for text in data)


def duplicate(index: int, kind: str, group: int, match: int, similarity: float, **changes: Any) -> dict[str, Any]:
    row = {"clip_id": clip_id(index), "kind": kind, "group_id": clip_id(group), "group_size": 2, "mirrored": False}
    row |= {"match_id": clip_id(match), "similarity": similarity, "rate": None, "grouping": "g"}
    return row | changes


@pytest.fixture(scope="module")
def grouped(clips, tmp_path_factory: pytest.TempPathFactory, video_row: MakeRow) -> Dataset:
    """0, 1 and 2 by two kinds of sameness, of which 1 is the largest; 3 and 4, of which 3 is larger but dark; 5 and 6,
    of which both are kept; 7 and 8, equal, of which neither is."""
    dataset = Dataset(str(tmp_path_factory.mktemp("grouped")))
    dataset.write_part(VIDEOS, [video_row("v0", uri=clips[0]["uri"])])
    is_double = {"status": "rejected", "reasons": ["duplicate"]}
    large = {"content_box": [0, 0, WIDTH, 60], "status": "kept", "reasons": []}
    small = {"content_box": [0, 0, WIDTH, 40]}
    dark = {"status": "rejected", "reasons": ["too_dark"]}
    changes = [small | is_double, large, small | is_double, dark, small | {"status": "kept", "reasons": []}]
    changes += [{"status": "kept", "reasons": []}] * 2 + [dark] * 2
    write_clips(dataset, [clip | change for clip, change in zip(clips, changes, strict=False)])
    near = [duplicate(0, "near", 0, 1, 0.9, mirrored=True, rate=1.1), duplicate(1, "near", 0, 0, 0.9, rate=1 / 1.1)]
    semantic = [duplicate(1, "semantic", 1, 2, 0.995), duplicate(2, "semantic", 1, 1, 0.995)]
    content = [
        duplicate(i, "content", first, 2 * first + 1 - i, 1.0) for first in (3, 5, 7) for i in (first, first + 1)
    ]
    old = [duplicate(i, "near", 8, 17 - i, 0.5, written_us=1) for i in (8, 9)]
    gone = [row | {"group_size": 0, "written_us": 2} for row in old]
    dataset.write_part(DUPLICATES, [*near, *semantic, *content, *old, *gone])
    return dataset


def test_groups_of_all_kinds_stand_together_with_the_kept_one_first(grouped: Dataset) -> None:
    groups, num_groups = duplicate_groups(
        connect(grouped), 9, Choice(DUPLICATE_KINDS, "largest", {"duplicate"}), PictureCollector()
    )
    assert num_groups == 4
    assert [shown(group.members) for group in groups] == [[1, 0, 2], [4, 3], [5, 6], [7, 8]]
    assert [group.verdict for group in groups] == [
        "kept: 9,600 pixels, the next best has 6,400",
        "kept: the only one that no other rule rejects",
        "2 kept",
        "none kept",
    ]
    evidence = {int(member.clip["clip_id"], 16): list(member.evidence) for member in groups[0].members}
    assert evidence == {
        0: ["near 0.900, mirrored, 1.10 times as fast"],
        1: ["near 0.900, 0.91 times as fast", "semantic 0.995"],
        2: ["semantic 0.995"],
    }


def test_a_kind_that_does_not_count_stands_by_itself(grouped: Dataset) -> None:
    choice = Choice(("content", "near"), "longest", {"duplicate"})
    groups, _ = duplicate_groups(connect(grouped), 2, choice, PictureCollector())
    assert [shown(group.members) for group in groups] == [[1, 0], [1, 2]]
    assert groups[1].verdict == "a kind that the recipe does not reject; 1 kept"


def test_groups_that_are_not_shown_are_counted(grouped: Dataset) -> None:
    groups, num_groups = duplicate_groups(
        connect(grouped), 1, Choice(DUPLICATE_KINDS, "largest", {"duplicate"}), PictureCollector()
    )
    assert ([shown(group.members) for group in groups], num_groups) == ([[1, 0, 2]], 4)
    page = report_page(grouped, ReportConfig(num_clips=0, num_videos=0, num_groups=1))
    assert "4 groups of clips that show the same; shown: the 1 with the least similar members." in page
    assert 'class="picture is-kept p-' + clip_id(1) in page


def test_the_page_holds_all_sections(dataset: Dataset) -> None:
    run_id = "20260101T000000Z-curate"
    record = {"run_id": run_id, "job": "curate", "state": "done", "recipe": RECIPE.as_dict(), "versions": {}}
    dataset.write_run(run_id, record | {"stages": {}, "seconds": 1.0})
    releases.freeze(dataset, "first", "true")
    releases.freeze(dataset, "second", "motion_px_s > 1")
    page = report_page(dataset, ReportConfig(num_clips=0, num_near=2))
    used = set(re.findall(r'class="(?:picture )?p-(\w+)"', page))
    assert used == set(re.findall(r"\.p-(\w+)\{", page)) == {clip_id(i) for i in range(10)}
    anchors = set(re.findall(r'href="#([\w-]+)"', page))
    assert anchors
    assert anchors <= set(re.findall(r'id="([\w-]+)"', page))
    assert {"rule-min_motion", "timelines", "labels", "thresholds", "releases"} <= anchors
    assert "rule-unknown" not in anchors
    assert "somewhere &lt;b&gt;" in page
    assert "still &lt;i&gt;" in page
    assert "<i>" not in page.replace("<i class", "")
    assert "<b>0.99 px/s</b> &lt; 1" in page
    assert "From first to second" in page
    assert re.search(
        r"<td>removed</td><td>does not satisfy --where motion_px_s &gt; 1</td><td class=\"count\">2</td>", page
    )
