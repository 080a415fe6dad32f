"""Differences between releases: of each clip, the reason that the tables gave at the time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.release import releases
from pipeline.release.diff import ADDED, CHANGED, REMOVED, Change, Differences, compare, latest_two
from pipeline.store.dataset import Dataset, DatasetError, to_parquet
from schemas import CAPTION_DECISIONS, CAPTIONS, CLIPS, DECISIONS, MEASURES, VIDEOS
from schemas.columns import Table
from schemas.tables.measures import OverlayText
from tests.conftest import apart, write_captions, write_clips

MakeRow = Callable[..., dict[str, Any]]
DAY_US = 24 * 3600 * 1_000_000


class Diary:
    """Writes a data set day by day: rows and releases bear the time of the day on which they were written."""

    def __init__(self, folder: Path) -> None:
        self.dataset = Dataset(str(folder))
        self._folder = folder

    def write(self, day: int, table: Table, *rows: dict[str, Any]) -> None:
        stamped = [row | {"written_us": day * DAY_US} for row in rows]
        dataset = replace(self.dataset, run_id=f"day {day}")
        if table is CLIPS:
            write_clips(dataset, stamped)
        elif table is CAPTIONS:
            write_captions(dataset, stamped)
        else:
            dataset.write_part(table, stamped)

    def decide(self, day: int, clip_id: str, status: str, *reasons: str) -> None:
        row = {
            "clip_id": clip_id,
            "rules_fingerprint": "g",
            "status": None if status == "pending" else status,
            "reasons": list(reasons),
        }
        self.write(day, DECISIONS, row)

    def decide_caption(self, day: int, clip_id: str, status: str, *reasons: str) -> None:
        row = {"clip_id": clip_id, "captioner": "cap0", "rules_fingerprint": "g"}
        self.write(day, CAPTION_DECISIONS, row | {"status": status, "reasons": list(reasons)})

    def release(self, day: int, name: str, where: str = "true") -> None:
        releases.freeze(self.dataset, name, where)
        self.change_facts(name, frozen_us=day * DAY_US + 1)

    def change_facts(self, name: str, **facts: Any) -> None:
        """Change what a release says of itself; None leaves a fact out."""
        path = self._folder / "releases" / f"{name}.parquet"
        table = pyarrow.parquet.read_table(path)
        said = json.loads(table.schema.metadata[releases.METADATA_KEY]) | facts
        said = {key: value for key, value in said.items() if value is not None}
        metadata = {**table.schema.metadata, releases.METADATA_KEY: json.dumps(said).encode()}
        self.dataset.write_bytes(f"releases/{name}.parquet", to_parquet(table.replace_schema_metadata(metadata)))


@pytest.fixture
def diary(tmp_path: Path, video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow) -> Diary:
    """Day 1: a video with six clips that all have captions, and release `a` of all but the sixth, which is dark."""
    diary = Diary(tmp_path / "ds")
    diary.write(1, VIDEOS, video_row("v0"))
    clips = [clip_row(f"c{i}", "v0", start_us=i, brightness=0.5, motion_px_s=float(i)) for i in range(5)]
    diary.write(1, CLIPS, *clips, clip_row("c5", "v0", start_us=5, status="rejected", reasons=["too_dark", "still"]))
    diary.write(1, CAPTIONS, *(caption_row(f"c{i}") for i in range(6)))
    diary.release(1, "a")
    return diary


def reasons(differences: Differences, kind: str) -> dict[str, list[str]]:
    return {
        difference.clip["clip_id"]: list(difference.reasons)
        for difference in differences.clips
        if difference.kind == kind
    }


def test_nothing_changed(diary: Diary) -> None:
    diary.release(2, "b")
    differences = compare(diary.dataset, "a", "b")
    assert (differences.counts, differences.num_same) == ({ADDED: 0, REMOVED: 0, CHANGED: 0}, 5)


def test_a_clip_is_removed_by_a_decision_with_the_reasons_of_that_time(diary: Diary) -> None:
    diary.decide(2, "c0", "rejected", "too_dark", "still")
    diary.decide(2, "c1", "failed", "overlay_text: broken")
    diary.decide(2, "c2", "pending", "unmeasured: overlay_text")
    diary.release(2, "b")
    diary.decide(3, "c0", "rejected", "a later reason")
    diary.decide(3, "c1", "kept")
    found = compare(diary.dataset, "a", "b")
    assert reasons(found, REMOVED) == {
        "c0": ["rejected: too_dark", "rejected: still"],
        "c1": ["failed: overlay_text: broken"],
        "c2": ["pending: unmeasured: overlay_text"],
    }
    assert found.reason_counts(REMOVED)["rejected: too_dark"] == 1


def test_a_clip_is_added_that_was_rejected_when_it_was_scanned(diary: Diary) -> None:
    diary.decide(2, "c5", "kept")
    diary.release(2, "b")
    found = compare(diary.dataset, "a", "b")
    assert reasons(found, ADDED) == {"c5": ["rejected: too_dark", "rejected: still"]}
    assert reasons(compare(diary.dataset, "b", "a"), REMOVED) == {"c5": ["rejected: too_dark", "rejected: still"]}


def test_a_clip_is_added_with_a_video_scanned_later(diary: Diary, video_row: MakeRow, clip_row, caption_row) -> None:
    diary.write(2, VIDEOS, video_row("v1"))
    diary.write(2, CLIPS, clip_row("new", "v1"))
    diary.write(2, CAPTIONS, caption_row("new"))
    diary.release(3, "b")
    assert reasons(compare(diary.dataset, "a", "b"), ADDED) == {"new": ["not scanned yet"]}


def test_clips_of_a_video_that_was_divided_otherwise_say_so(diary: Diary, video_row, clip_row, caption_row) -> None:
    diary.write(2, VIDEOS, video_row("v0", split="other"))
    diary.write(2, CLIPS, *(clip_row(name, "v0", split="other", start_us=9) for name in ("c0", "half")))
    diary.write(2, CAPTIONS, caption_row("half"))
    diary.release(3, "b")
    forth, back = compare(diary.dataset, "a", "b"), compare(diary.dataset, "b", "a")
    gone = {name: ["its video was divided otherwise"] for name in ("c1", "c2", "c3", "c4")}
    assert reasons(forth, REMOVED) == reasons(back, ADDED) == gone
    assert reasons(forth, ADDED) == reasons(back, REMOVED) == {"half": ["its video was divided otherwise"]}


def test_a_clip_is_added_when_its_caption_is(tmp_path: Path, video_row, clip_row, caption_row) -> None:
    diary = Diary(tmp_path / "ds")
    diary.write(1, VIDEOS, video_row("v0"))
    diary.write(1, CLIPS, *(clip_row(f"c{i}", "v0", start_us=i) for i in range(4)))
    why = {"status": "rejected", "reasons": ["refusal", "too_short"]}
    broken = {"status": "failed", "short": None, "reasons": ["frames: gone"]}
    diary.write(1, CAPTIONS, caption_row("c0"), caption_row("c2", **why), caption_row("c3", **broken))
    diary.release(1, "a")
    diary.write(2, CAPTIONS, *(caption_row(f"c{i}", "cap1") for i in range(1, 4)))
    diary.release(2, "b")
    assert reasons(compare(diary.dataset, "a", "b"), ADDED) == {
        "c1": ["no caption yet"],
        "c2": ["caption rejected: refusal", "caption rejected: too_short"],
        "c3": ["caption failed: frames: gone"],
    }


def test_a_clip_is_removed_and_added_by_decisions_on_its_caption(diary: Diary, tmp_path: Path) -> None:
    """Each release is explained by the decisions of its time, in a copy too: decisions carry theirs."""
    diary.decide_caption(2, "c0", "rejected", "caption_padding", "caption_too_long")
    diary.release(2, "b")
    diary.decide_caption(3, "c0", "ok")
    diary.decide_caption(3, "c1", "rejected", "caption_refuses")
    diary.release(3, "c")
    copy = Dataset(str(tmp_path / "copy"))
    shutil.copytree(diary.dataset.location, copy.location, copy_function=shutil.copyfile)
    why = ["caption rejected: caption_padding", "caption rejected: caption_too_long"]
    for dataset in (diary.dataset, copy):
        assert reasons(compare(dataset, "a", "b"), REMOVED) == {"c0": why}
        assert reasons(compare(dataset, "b", "c"), ADDED) == {"c0": why}
        assert reasons(compare(dataset, "b", "c"), REMOVED) == {"c1": ["caption rejected: caption_refuses"]}


def test_a_clip_is_removed_by_the_condition_on_its_scores_of_that_time(diary: Diary) -> None:
    """c0 and c1 are too slow; c2 carries a measure that was taken later, which would let it pass."""
    where = "motion_px_s > 1.5 and coalesce(overlay_text_frac, 0) = 0"
    columns = dict.fromkeys(OverlayText.__dataclass_fields__)
    measured = {
        "clip_id": "c2",
        "failure": None,
        "transient": None,
        "num_failures": None,
        "shown_box": [0, 0, 160, 120],
    } | columns
    diary.write(2, MEASURES["overlay_text"], measured | {"measure": "m", "overlay_text_frac": 0.5})
    diary.release(2, "b", where)
    diary.write(3, MEASURES["overlay_text"], measured | {"measure": "n", "overlay_text_frac": 0.0})
    outside = [f"does not satisfy --where {where}"]
    assert reasons(compare(diary.dataset, "a", "b"), REMOVED) == {"c0": outside, "c1": outside, "c2": outside}
    diary.release(3, "c", where)
    assert reasons(compare(diary.dataset, "b", "c"), ADDED) == {"c2": outside}


def test_a_condition_that_cannot_be_evaluated_any_more_is_unknown(diary: Diary) -> None:
    diary.release(2, "b", "motion_px_s > 0.5")
    diary.change_facts("b", where="lost_column > 1")
    ((reason,),) = reasons(compare(diary.dataset, "a", "b"), REMOVED).values()
    assert reason.startswith("unknown: --where lost_column > 1 cannot be evaluated")


def test_what_nothing_else_explains_was_not_sampled(diary: Diary) -> None:
    diary.release(2, "b", "motion_px_s > 0.5")
    diary.change_facts("b", where="true")
    assert reasons(compare(diary.dataset, "a", "b"), REMOVED) == {"c0": ["not sampled"]}


def test_a_data_set_that_was_made_again_may_not_have_the_clip(diary: Diary, video_row, clip_row, caption_row) -> None:
    location = Path(diary.dataset.location)
    for folder in ("videos", "clips", "captions"):
        shutil.rmtree(location / folder)
    diary.write(2, VIDEOS, video_row("v0"))
    diary.write(2, CLIPS, *(clip_row(f"c{i}", "v0") for i in range(4)))
    diary.write(2, CAPTIONS, *(caption_row(f"c{i}") for i in range(4)))
    diary.release(2, "b")
    found = compare(diary.dataset, "a", "b")
    assert reasons(found, REMOVED) == {"c4": ["no longer in the data set"]}


def test_a_clip_is_removed_when_its_file_gets_other_bytes(diary: Diary, video_row, clip_row, caption_row) -> None:
    diary.write(2, VIDEOS, video_row("v1", uri="/videos/v0.mp4", modified_us=9))
    diary.write(2, CLIPS, clip_row("new", "v1", uri="/videos/v0.mp4"))
    diary.write(2, CAPTIONS, caption_row("new"))
    diary.release(2, "b")
    found = compare(diary.dataset, "a", "b")
    assert reasons(found, ADDED) == {"new": ["not scanned yet"]}
    assert reasons(found, REMOVED) == {f"c{i}": ["its file holds other bytes now"] for i in range(5)}


def test_rows_without_a_time_leave_it_open_what_was_there(diary: Diary, clip_row) -> None:
    """As data sets have them that were made before rows had times."""
    diary.decide(2, "c5", "kept")
    for table, rows in zip((CLIPS, DECISIONS), apart([clip_row("old", "v0", status="rejected")]), strict=True):
        old = table.encode(rows)
        undated = old.set_column(old.schema.get_field_index("written_us"), "written_us", pa.nulls(1, pa.int64()))
        diary.dataset.write_bytes(f"{table.folder}/part-old.parquet", to_parquet(undated))
    diary.release(2, "b")
    diary.decide(3, "c4", "rejected", "still")
    diary.release(3, "c", "motion_px_s is null or motion_px_s > 0")
    diary.change_facts("c", where="true")
    assert reasons(compare(diary.dataset, "a", "b"), ADDED) == {"c5": ["rejected: too_dark", "rejected: still"]}
    removed = reasons(compare(diary.dataset, "b", "c"), REMOVED)
    assert removed["c4"] == ["rejected: still"]
    assert removed["c0"][0].startswith("unknown: rows of the data set do not say")


def test_a_release_without_its_time_is_read_and_its_reasons_are_unknown(diary: Diary) -> None:
    diary.decide(2, "c0", "rejected", "too_dark")
    diary.release(2, "b")
    diary.change_facts("b", frozen_us=None)
    assert releases.read(diary.dataset, "b").frozen_us is None
    found = compare(diary.dataset, "a", "b")
    assert reasons(found, REMOVED) == {"c0": ["unknown: release b does not record when it was frozen"]}


def test_a_changed_caption_and_box_are_listed_with_both_values(diary: Diary, clip_row, caption_row) -> None:
    diary.write(2, CAPTIONS, caption_row("c0", "cap1", short="another text"), caption_row("c1", "cap1"))
    letterbox = {"content_box": [0, 8, 160, 104], "short_side_px": None, "bars_frac": 0.1}
    letterbox |= {"border_kind": "black", "bars_change": False}
    measured = {
        "clip_id": "c2",
        "measure": "m",
        "failure": None,
        "transient": None,
        "num_failures": None,
        "shown_box": [0, 0, 160, 120],
    } | letterbox
    diary.write(2, MEASURES["letterbox"], measured)
    captioner = "captioner = if(clip_id in ('c0', 'c1'), 'cap1', 'cap0')"
    diary.release(2, "b", captioner)
    found = compare(diary.dataset, "a", "b")
    assert (found.counts, found.num_same) == ({ADDED: 0, REMOVED: 0, CHANGED: 3}, 2)
    changes = {difference.clip["clip_id"]: difference.changes for difference in found.clips}
    assert changes == {
        "c0": [Change("captioner", "cap0", "cap1"), Change("short", "short of c0", "another text")],
        "c1": [Change("captioner", "cap0", "cap1")],
        "c2": [Change("content_box", [0, 0, 160, 120], [0, 8, 160, 104])],
    }
    assert found.reason_counts(CHANGED) == {"captioner": 2, "content_box": 1, "short": 1}


def test_the_latest_two_are_the_last_frozen(diary: Diary) -> None:
    assert latest_two(diary.dataset) is None
    diary.release(3, "0")
    diary.release(2, "b")
    assert latest_two(diary.dataset) == ("b", "0")
    diary.change_facts("0", frozen_us=None)
    assert latest_two(diary.dataset) == ("a", "b")


def test_an_unknown_release_is_named(diary: Diary) -> None:
    with pytest.raises(DatasetError, match="release nosuch"):
        compare(diary.dataset, "a", "nosuch")


def test_freezing_again_keeps_the_first_time(diary: Diary) -> None:
    first = releases.read(diary.dataset, "a")
    again, is_new = releases.freeze(diary.dataset, "a", "true")
    assert (is_new, again.frozen_us, again.content_hash) == (False, first.frozen_us, first.content_hash)
