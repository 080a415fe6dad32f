"""The report: every row is in a bin, every clip is shown or counted, and nothing in a caption becomes markup."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from PIL import Image

from pipeline.decode.probe import failed
from pipeline.report.clocks import clock
from pipeline.report.galleries import kept_gallery, other_galleries, select_evenly
from pipeline.report.histograms import histogram
from pipeline.report.page import ReportConfig, report_page
from pipeline.report.plots import histogram_svg, smoothed
from pipeline.report.thresholds import explain, thresholds_of
from pipeline.report.thumbnails import HEIGHT_PX, read_strips
from pipeline.report.training import Change, Speed, read_loss_curve, read_sample
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from pipeline.synthetic.encode import Encoding, encode
from pipeline.synthetic.render import render
from pipeline.synthetic.world import Scene, Thing
from schemas import CLIPS, VIDEOS
from schemas.errors import UsageError
from schemas.recipe import Recipe
from schemas.rules import Rule, Threshold
from tests.conftest import write_captions, write_clips

MakeRow = Callable[..., dict[str, Any]]
WIDTH, HEIGHT, FPS, NUM_FRAMES = 160, 120, 10, 40
HOSTILE = "A circle </p><script>alert('x')</script> & <img src=//example.org/a.png>"
RULES = {
    "dark": Rule("brightness", "too_dark", min=0.06, source="somewhere <b>"),
    "still": Rule("motion_px_s", "still", min=0.5),
    "long": Rule("duration_s", "too_long", max=9000.0),
}
KEPT = {"status": "kept", "reasons": []}
REASONS = [["too_dark"], ["too_dark", "still"], ["too_dark", "still"], ["still"], ["too_dark"], []]


def numbered_clip(index: int, uri: str, **facts) -> dict:
    row = dict.fromkeys(CLIPS.schema.names) | {
        "clip_id": f"{index:016x}",
        "video_id": "0" * 16,
        "uri": uri,
        "shot_index": index,
        "start_frame": 3 * index,
        "start_us": 300_000 * index,
        "end_us": 300_000 * (index + 1),
        "is_image": False,
        "num_frames": 3,
        "fps": 10.0,
        "width": WIDTH,
        "height": HEIGHT,
        "content_box": [0, 0, WIDTH, HEIGHT],
        "duration_s": 0.3,
        "short_side_px": HEIGHT,
        "brightness": 0.03 if "too_dark" in facts["reasons"] else 0.5,
        "motion_px_s": 0.2 if "still" in facts["reasons"] else 40.0,
        "bars_frac": 0.0,
        "transfer": None,
        "decode_errors": 0,
        "measured": "{}",
    }
    return row | facts


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "a & <b>.mp4"
    scene = Scene(things=(Thing("circle", "red", direction="left"),), background="grey")
    times_s = [Fraction(i, FPS) for i in range(NUM_FRAMES + 1)]
    encode(path, render(scene, WIDTH, HEIGHT, NUM_FRAMES), times_s, Fraction(FPS), Encoding())
    return path


@pytest.fixture(scope="module")
def dataset(video: Path, tmp_path_factory: pytest.TempPathFactory, video_row: MakeRow, caption_row: MakeRow) -> Dataset:
    """Seven kept clips, six not kept, two of the kept captioned, and three videos that failed."""
    dataset = Dataset(str(tmp_path_factory.mktemp("dataset")))
    kept = [numbered_clip(i, str(video), **KEPT) for i in range(7)]
    others = [numbered_clip(7 + i, str(video), status="rejected", reasons=reasons) for i, reasons in enumerate(REASONS)]
    write_clips(dataset, kept + others)
    write_captions(
        dataset, [caption_row(clip["clip_id"], short=HOSTILE, text_video_similarity=0.25) for clip in kept[:2]]
    )
    identity = {
        "video_id": None,
        "file_bytes": 0,
        "modified_us": 0,
        "source": "{}",
        "duplicate_of": None,
        "transient": False,
        "num_failures": 1,
    }
    failures = [identity | failed("empty_file", "0 bytes <i>") | {"uri": f"/broken/{i}.mp4"} for i in range(3)]
    dataset.write_part(VIDEOS, [video_row("0" * 16, uri=str(video), duration_us=4_000_000), *failures])
    record = {"run_id": "20260102T030405Z-curate-abc", "job": "curate", "state": "done", "versions": {"av": "18"}}
    stages = {"scan": {"rows": 3, "seconds": 1.5, "num_bytes": 2048, "counts": {}}}
    dataset.write_run(
        record["run_id"],
        record | {"recipe": Recipe(name="mine", rules=RULES).as_dict(), "stages": stages, "seconds": 2.5},
    )
    return dataset


class Links(HTMLParser):
    """Collects what a browser would fetch or follow, the tags, and the clips' cards."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.cards: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "poster")]
        self.cards += [value for name, value in attrs if name == "id" and value and value.startswith("clip-")]


SAMPLES = {
    "linear": np.random.default_rng(0).normal(5, 2, 1000),
    "skewed": np.random.default_rng(1).lognormal(0, 3, 1000),
    "zeros": np.r_[np.zeros(40), np.random.default_rng(2).lognormal(0, 3, 500)],
    "missing": np.r_[np.nan, 1.0, np.inf, 2.0, 3.0],
    "constant": np.full(7, 0.25),
    "all zero": np.zeros(5),
    "whole": np.array([0, 0, 1, 4, 4, 4], float),
    "one": np.array([1080.0]),
    "negative": np.array([-0.3, 0.2, 0.9]),
}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("is_integer", [False, True])
def test_every_row_is_in_its_bin_or_missing(name: str, is_integer: bool) -> None:
    values = np.round(SAMPLES[name]) if is_integer else SAMPLES[name]
    split = {"kept": values[::2], "rejected": values[1::2]}
    result = histogram(split, marks=[1.5], is_integer=is_integer)
    assert sum(bin_.total for bin_ in result.bins) + result.num_missing == len(values)
    assert result.num_missing == np.sum(~np.isfinite(values))
    last = result.bins[-1]
    for bin_ in result.bins:
        for status, array in split.items():
            upper = array <= bin_.high if bin_ is last or bin_.low == bin_.high else array < bin_.high
            assert bin_.counts[status] == np.sum((array >= bin_.low) & upper)


def test_no_value_is_no_histogram() -> None:
    with pytest.raises(ValueError, match="no finite value"):
        histogram({"kept": np.array([np.nan])})


def test_the_axis_is_logarithmic_where_the_spread_demands_it() -> None:
    assert histogram({"kept": SAMPLES["skewed"]}).axis.is_log
    assert histogram({"kept": SAMPLES["zeros"]}).axis.has_zero
    assert not histogram({"kept": SAMPLES["linear"]}).axis.is_log
    assert histogram({"kept": np.linspace(0, 100, 50)}, marks=[0.5]).axis.is_log


def threshold(bound: str, value: float) -> Threshold:
    return Threshold("x", bound, value, "why", "")  # type: ignore[arg-type]


def tick_x(svg: str, label: str) -> float:
    found = re.search(rf'<text class="tick" x="([\d.]+)" y="[\d.]+" text-anchor="middle">{label}</text>', svg)
    assert found, svg
    return float(found[1])


def threshold_x(svg: str) -> list[float]:
    return [float(x) for x in re.findall(r'<line class="threshold" x1="([\d.]+)"', svg)]


@pytest.mark.parametrize(("name", "label"), [("linear", "5"), ("skewed", "10"), ("zeros", "10")])
def test_a_threshold_is_drawn_at_its_value(name: str, label: str) -> None:
    limit = threshold("min", float(label))
    svg = histogram_svg(histogram({"kept": SAMPLES[name]}, [limit.value]), [limit], "px")
    assert threshold_x(svg) == [pytest.approx(tick_x(svg, label), abs=0.11)]
    assert "min" in svg
    assert "why" in svg


def test_a_threshold_among_whole_numbers_lies_between_what_passes_and_what_does_not() -> None:
    result = histogram({"ok": np.array([0.0, 0, 1])}, [0], is_integer=True)
    svg = histogram_svg(result, [threshold("max", 0.0)], "")
    (x,) = threshold_x(svg)
    assert x == pytest.approx((tick_x(svg, "0") + tick_x(svg, "1")) / 2, abs=0.11)


def test_a_threshold_far_away_does_not_squash_the_values() -> None:
    result = histogram({"kept": np.array([0.4, 0.6, 0.5])}, [9000.0])
    assert result.axis.high < 1
    assert not threshold_x(histogram_svg(result, [threshold("max", 9000.0)], "s"))


@pytest.mark.parametrize(("num_rows", "limit"), [(0, 5), (5, 0), (1, 1), (7, 3), (100, 60), (5, 9), (6, 6)])
def test_rows_are_chosen_evenly(num_rows: int, limit: int) -> None:
    connection = duckdb.connect()
    connection.execute(f"create table numbers as select unnest(range({num_rows})) as n")
    rows, total = select_evenly(connection, "numbers", "n >= ?", "n", limit, 0)
    chosen = [row["n"] for row in rows]
    assert (total, len(chosen)) == (num_rows, min(num_rows, limit))
    gaps = np.diff([*chosen, num_rows]) if chosen else np.zeros(1)
    assert gaps.max() - gaps.min() <= 1
    assert chosen[:1] == [0][: len(chosen)]


@pytest.mark.parametrize("limit", [0, 1, 2, 60])
def test_every_clip_is_shown_or_counted(dataset: Dataset, limit: int) -> None:
    connection = connect(dataset)
    kept = kept_gallery(connection, limit, lambda: None)
    assert (kept.total, len(kept.cards), kept.num_hidden) == (7, min(7, limit), 7 - min(7, limit))
    limits = thresholds_of(RULES)
    galleries = other_galleries(connection, limit, limits, (), lambda: None)
    assert {gallery.title: gallery.total for gallery in galleries} == {
        "too_dark": 4,
        "still": 3,
        "(no reason given)": 1,
    }
    for gallery in galleries:
        assert len(gallery.cards) + len(gallery.elsewhere) == min(limit, gallery.total)
    shown = [card.clip["clip_id"] for gallery in [kept, *galleries] for card in gallery.cards]
    assert len(shown) == len(set(shown))
    assert {clip_id for gallery in galleries for clip_id in gallery.elsewhere} <= set(shown)
    if limit == 60:
        assert len(shown) == 13
    of_rules = {rule.reason for rule in RULES.values()}  # whose clips are shown about their thresholds
    others = other_galleries(connection, limit, limits, of_rules, lambda: None)
    shown = [card.clip["clip_id"] for gallery in [kept, *others] for card in gallery.cards]
    parsed = Links(report_page(dataset, ReportConfig(num_clips=limit, num_videos=0)))
    assert sorted(parsed.cards) == sorted(f"clip-{clip_id}" for clip_id in shown)


def test_the_page_stands_alone_and_escapes_what_others_wrote(dataset: Dataset, video: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0, "val_loss": 1.5}\n')
    config = ReportConfig(60, curve=read_loss_curve(str(tmp_path)), sample=read_sample(str(video)))
    page = report_page(dataset, config)
    parsed = Links(page)
    assert "script" not in parsed.tags
    assert all(link.startswith(("data:image/jpeg;base64,", "data:video/mp4;base64,", "#")) for link in parsed.links)
    assert not re.search(r"https?://", page)
    assert "&lt;script&gt;alert" in page
    assert page.count("&lt;img src=//example.org/a.png&gt;") == 2
    assert "a &amp; &lt;b&gt;.mp4" in page
    assert "0 bytes &lt;i&gt;" in page
    assert "somewhere &lt;b&gt;" in page
    assert "too_dark: brightness 0.03 &lt; 0.06" in page
    assert "The threshold max 9,000 too_long is outside the axis" in page
    assert "recipe <b>mine</b>" in page
    assert "2026-01-02 03:04:05 UTC" in page
    assert '<polyline class="curve val"' in page


def test_a_page_shown_in_part_says_how_many_are_missing(dataset: Dataset) -> None:
    page = report_page(dataset, ReportConfig(num_clips=1, num_videos=0))
    assert "Shown: 1 of 7, evenly spaced; 6 not shown." in page
    assert "Shown: 1 of 3, evenly spaced; 2 not shown." in page


def test_a_data_set_of_failures_only_has_a_page(dataset: Dataset, tmp_path: Path) -> None:
    bare = Dataset(str(tmp_path))
    bare.write_part(VIDEOS, dataset.read(VIDEOS).to_pylist())
    page = report_page(bare, ReportConfig())
    assert "empty_file 3" in page
    assert "No run has been recorded." in page


def test_thumbnails_show_the_clip(video: Path) -> None:
    (strip,) = read_strips([numbered_clip(3, str(video), **KEPT)]).values()
    assert strip.failure is None
    assert [(image.width_px, image.height_px) for image in strip.thumbnails] == [(149, HEIGHT_PX)] * 3
    scene = Scene(things=(Thing("circle", "red", direction="left"),), background="grey")
    truth = render(scene, WIDTH, HEIGHT, NUM_FRAMES)[10]
    data = base64.b64decode(strip.thumbnails[1].data_uri.removeprefix("data:image/jpeg;base64,"))
    expected = np.asarray(Image.fromarray(truth).resize((149, HEIGHT_PX)), float)
    assert np.abs(np.asarray(Image.open(io.BytesIO(data)), float) - expected).mean() < 6
    assert strip.thumbnails[1].time_s == pytest.approx(0.15)


def test_a_lost_video_is_said_in_words(dataset: Dataset) -> None:
    (strip,) = read_strips([numbered_clip(0, "/no/such/file.mp4", **KEPT)]).values()
    assert not strip.thumbnails
    assert strip.failure


def test_a_reason_is_explained_by_its_measurement() -> None:
    limits = [Threshold("a", "min", 1.0, "low", ""), Threshold("b", "max", 2.0, "low", "")]
    assert explain("low", {"a": 3.0, "b": 5.0}, limits) == "low: b 5 > 2"
    assert explain("low", {"a": None, "b": 2.0}, limits) == "low"
    assert explain("double", {"a": 1.0}, [Threshold("duplicate_rank", "max", 0.0, "double", "")]) == "double"
    assert explain("cannot be decoded", {"a": 0.0, "b": 0.0}, limits) == "cannot be decoded"


def test_times_are_written_as_a_clock() -> None:
    assert clock(0) == "0:00.00"
    assert clock(59_999_999) == "1:00.00"
    assert clock(3_725_500_000) == "1:02:05.50"


def test_means_share_the_points_evenly() -> None:
    points = [(float(i), 2.0 * i) for i in range(10)]
    assert smoothed(points, 5) == [(0.5, 1.0), (2.5, 5.0), (4.5, 9.0), (6.5, 13.0), (8.5, 17.0)]
    assert smoothed(points[:2], 5) == points[:2]
    assert smoothed([], 5) == []


def test_the_loss_curve_tells_its_ends(tmp_path: Path) -> None:
    lines = [{"step": i, "loss": float(100 - i)} | ({"val_loss": i / 4} if i % 50 == 0 else {}) for i in range(1, 101)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    curve = read_loss_curve(str(tmp_path))
    assert (curve.num_steps, curve.first_loss, curve.last_loss) == (100, 94.5, 4.5)
    assert (curve.first_val_loss, curve.last_val_loss) == (12.5, 25.0)


def test_the_parts_of_the_validation_and_the_speed_are_told(tmp_path: Path) -> None:
    of_levels = [{"0.25": 4.0, "0.75": 2.0}, {"0.25": 3.0, "0.75": 1.0}]
    lines: list[dict[str, Any]] = [
        {"step": 1, "loss": 3.0, "tokens": 100, "seconds": 1.0, "load_seconds": 0.5, "save_seconds": 0.0},
        {"step": 2, "loss": 2.0, "tokens": 100, "seconds": 1.5, "load_seconds": 0.0, "save_seconds": 1.0, "mfu": 0.5},
    ]
    for line, levels in zip(lines, of_levels, strict=True):
        line |= {"val_loss": 1.0, "val_loss_by_timestep": levels, "val_loss_by_task": {"text": 1.0}}
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    curve = read_loss_curve(str(tmp_path))
    assert curve.parts == {"noise level": [Change("0.25", 4.0, 3.0), Change("0.75", 2.0, 1.0)]}
    assert curve.speed == Speed(tokens_per_second=50.0, loading_share=0.125, saving_share=0.25, mfu=0.5)


@pytest.mark.parametrize("text", [None, "", "not json\n", '{"step": 1}\n'])
def test_a_run_without_metrics_is_a_usage_error(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(UsageError, match="--train"):
        read_loss_curve(str(tmp_path))


def test_a_sample_is_a_file_that_browsers_show(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="file name must end in"):
        read_sample(str(tmp_path / "a.avi"))
    with pytest.raises(UsageError, match="No such file"):
        read_sample(str(tmp_path / "a.mp4"))
