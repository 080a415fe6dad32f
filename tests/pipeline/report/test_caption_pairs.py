"""Captions side by side: the words that differ are marked, the numbers are those of the tables, and text stays text."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pipeline.release import releases
from pipeline.release.diff import compare
from pipeline.report.caption_pairs import (
    CaptionerSummary,
    captioner_pairs,
    captioner_summaries,
    release_pairs,
    release_summaries,
)
from pipeline.report.page import ReportConfig, diff_page, report_page
from pipeline.report.pictures import PictureCollector
from pipeline.report.word_marks import mark_words
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from pipeline.synthetic.encode import Encoding, encode
from pipeline.synthetic.render import render
from pipeline.synthetic.world import Scene, Thing
from schemas import CAPTION_DECISIONS, VIDEOS
from tests.conftest import write_captions, write_clips

MakeRow = Callable[..., dict[str, Any]]
HOSTILE = "a <script>alert('x')</script> & a circle"
FPS, NUM_FRAMES = 10, 30


def marked(text: str, other: str) -> str:
    """A text with what the other does not have in brackets."""
    pieces, _ = mark_words(text, other)
    return "".join((f"[{p.text}]" if p.differs else p.text) + p.space for p in pieces)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("a red circle moves", "a blue circle moves", "a [red] circle moves"),
        ("a red circle moves", "a circle moves", "a [red] circle moves"),
        ("A circle, still.", "a circle still", "A circle, still."),
        ("  two  spaces\nand a line ", "two spaces", "two  spaces\n[and a line]"),
        ("", "a circle", ""),
        ("a circle", "", "[a circle]"),
        ("红色的圆", "蓝色的圆", "[红]色的圆"),
        ("円が red に", "円は red に", "円[が] red に"),
        ("Круг красный", "круг синий", "Круг [красный]"),
        ("- a circle", "a circle", "[-] a circle"),
    ],
)
def test_words_that_the_other_text_has_not_are_marked(old: str, new: str, expected: str) -> None:
    assert marked(old, new) == expected


def test_pieces_put_together_are_the_texts() -> None:
    old, new = "a b c d e f, g", "c d x e\tg h"
    sides = mark_words(old, new)
    assert tuple("".join(p.text + p.space for p in pieces) for pieces in sides) == (old, new)
    same = ["".join(p.text for p in pieces if not p.differs).replace(" ", "") for pieces in sides]
    assert same[0] == same[1].replace("\t", "")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "a & <b>.mp4"
    scene = Scene(things=(Thing("circle", "red", direction="left"),), background="grey")
    times_s = [Fraction(i, FPS) for i in range(NUM_FRAMES + 1)]
    encode(path, render(scene, 160, 120, NUM_FRAMES), times_s, Fraction(FPS), Encoding())
    return path


@pytest.fixture(scope="module")
def dataset(video: Path, tmp_path_factory: pytest.TempPathFactory, video_row, clip_row, caption_row) -> Dataset:
    """Six clips captioned by `old`, five of them by `new` and one by `third`, which came first of all.

    `old` wrote `a circle` everywhere; `new` hostile text, but for clip 3, which it describes like `old`, and clip 4,
    where it failed. A later decision rejects what `new` says of clip 2. Release `a` is of `old`, `b` of `new`.
    """
    dataset = Dataset(str(tmp_path_factory.mktemp("pairs")))
    dataset.write_part(VIDEOS, [video_row("v0", uri=str(video), duration_us=3_000_000)])
    spans = [{"start_us": 500_000 * i, "end_us": 500_000 * (i + 1), "num_frames": 5} for i in range(6)]
    write_clips(dataset, [clip_row(f"c{i}", "v0", uri=str(video), **span) for i, span in enumerate(spans)])
    said = {"written_us": 1, "captioner_name": "old/model", "short": "a circle", "detailed": "a circle"}
    rows = [caption_row(f"c{i}", "old0", **said, text_video_similarity=i / 10) for i in range(6)]
    said |= {"written_us": 2, "captioner_name": "new <b>", "short": HOSTILE, "detailed": "ignored", "merged": HOSTILE}
    rows += [caption_row(f"c{i}", "new0", **said) for i in range(5)]
    rows[9] |= {"short": "a circle", "detailed": "a circle", "merged": None}
    rows[10] |= {"status": "failed", "reasons": ["frames: gone"], "short": None, "detailed": None, "merged": None}
    rows.append(caption_row("c0", "third", captioner_name="third", written_us=0))
    write_captions(dataset, rows)
    releases.freeze(dataset, "a", "captioner = 'old0'")
    releases.freeze(dataset, "b", "captioner = 'new0'")
    decision = {"clip_id": "c2", "captioner": "new0", "rules_fingerprint": "g", "written_us": 3}
    dataset.write_part(CAPTION_DECISIONS, [decision | {"status": "rejected", "reasons": ["too <long>"]}])
    return dataset


def test_captioners_are_summed_up_as_their_captions_stand(dataset: Dataset) -> None:
    third, old, new = captioner_summaries(connect(dataset))
    assert third.captioner == "third"
    assert old == CaptionerSummary("old0", "old/model", 6, 2.0, pytest.approx(0.25), 6, 0, 0)
    mean_words = (3 * len(HOSTILE.split()) + 2) / 4
    assert new == CaptionerSummary("new0", "new <b>", 5, mean_words, None, 3, 1, 1)


def test_the_last_two_captioners_stand_side_by_side_where_their_texts_differ(dataset: Dataset) -> None:
    connection = connect(dataset)
    captioners = captioner_summaries(connection)
    pairs = captioner_pairs(connection, captioners, 2, PictureCollector())
    assert pairs
    assert (pairs.total, [pair.clip["clip_id"] for pair in pairs.shown]) == (3, ["c0", "c2"])
    old, new = pairs.shown[1].sides
    assert (old.captioner, old.num_words, old.text_video_similarity, old.status) == ("old0", 2, 0.2, "ok")
    assert (new.captioner_name, new.num_words, new.status, list(new.reasons)) == (
        "new <b>",
        len(HOSTILE.split()),
        "rejected",
        ["too <long>"],
    )
    assert "".join(piece.text for piece in new.detailed if not piece.differs) == "a circle"
    assert captioner_pairs(connection, captioners[:1], 2, PictureCollector()) is None


def test_two_releases_stand_side_by_side(dataset: Dataset) -> None:
    connection, found = connect(dataset), compare(dataset, "a", "b")
    pairs = release_pairs(connection, found, 9, PictureCollector())
    # c3 has the same words by another captioner; c4 and c5 are not in b.
    assert (pairs.names, [pair.clip["clip_id"] for pair in pairs.shown]) == (("a", "b"), ["c0", "c1", "c2", "c3"])
    assert not any(piece.differs for side in pairs.shown[3].sides for piece in side.detailed)
    assert [side.captioner for side in pairs.shown[0].sides] == ["old0", "new0"]
    of_a, of_b = release_summaries(connection, found)
    assert (of_a.release, of_a.num_clips, of_a.mean_words, of_a.mean_similarity) == ("a", 6, 2.0, pytest.approx(0.25))
    assert (of_b.release, of_b.num_clips, of_b.num_ok, of_b.num_rejected, of_b.num_failed) == ("b", 4, 3, 1, 1)
    assert release_pairs(connection, compare(dataset, "a", "a"), 9, PictureCollector()).total == 0


def test_a_caption_that_the_tables_lost_is_shown_as_it_was_released(dataset: Dataset) -> None:
    connection, found = connect(dataset), compare(dataset, "a", "b")
    connection.execute("create or replace temp table captions as select * from derived.main.captions where false")
    pair = release_pairs(connection, found, 1, PictureCollector()).shown[0]
    assert [side.captioner_name for side in pair.sides] == [None, None]
    assert [side.num_words for side in pair.sides] == [2, len(HOSTILE.split())]
    assert [summary.captioner_name for summary in release_summaries(connection, found)] == [None, None]


def test_pages_hold_both_captions_and_escape_them(dataset: Dataset) -> None:
    pages = [
        report_page(dataset, ReportConfig(num_clips=6, num_videos=0)),
        diff_page(dataset, compare(dataset, "a", "b"), 9),
    ]
    for page in pages:
        assert "<script" not in page
        assert "new <b>" not in page
        assert "<mark>a &lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp;</mark> a circle" in page
        assert "rejected: too &lt;long&gt;" in page
        assert "similarity 0.200" in page
        assert not re.search(r"https?://", page)
        assert set(re.findall(r'class="picture p-(\w+)"', page)) <= set(re.findall(r"\.p-(\w+)\{", page))
    report = pages[0]
    assert 'href="#captioners"' in report
    assert "Clips that the two latest captioners describe differently" in report
    card = report[report.index('id="clip-c0"') : report.index('id="clip-c1"')]
    assert card.index("short of c0") < card.index("old/model") < card.index("&lt;script&gt;")  # as they were written
    for page in pages:
        assert "Shown: all 4." in page
        assert "Clips with another caption in b" in page


def test_a_page_of_two_equal_releases_says_so(dataset: Dataset) -> None:
    page = diff_page(dataset, compare(dataset, "a", "a"), 9)
    assert "0 added, 0 removed, 0 changed, 6 unchanged." in page
    assert "with another caption" not in page


def test_lost_videos_are_named_on_the_page_of_differences(dataset: Dataset, video: Path) -> None:
    kept = video.read_bytes()
    video.unlink()
    try:
        page = diff_page(dataset, compare(dataset, "a", "b"), 9)
    finally:
        video.write_bytes(kept)
    assert "1 video could not be read, so pictures are missing:" in page
    assert "a &amp; &lt;b&gt;.mp4" in page
