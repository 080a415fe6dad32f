"""Inputs that are new, that changed, that were only touched, that are copies, and of which the list says more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest

from pipeline.ingest.identify import video_id_of
from pipeline.ingest.inputs import ListedInput, as_table, list_inputs
from pipeline.store.dataset import Dataset
from pipeline.store.pending_inputs import IDENTIFIED, InputStates, PendingInputs
from pipeline.store.plans import Plan
from pipeline.store.retrying import Retrying
from pipeline.store.views import connect
from schemas import CLIPS, VIDEOS
from tests.conftest import write_clips

MakeRow = Callable[..., dict[str, Any]]
NOW = Retrying("now", max_failures=3)
MOST_ROUNDS = 4
SPLIT = "s"
NOTHING = IDENTIFIED.empty_table()


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(str(tmp_path / "ds"))


@pytest.fixture
def files(tmp_path: Path) -> list[ListedInput]:
    """Four inputs: two with the same bytes, one of the same size with others, one of its own size."""
    (tmp_path / "in").mkdir()
    for name, content in {"a": b"same", "b": b"same", "c": b"else", "d": b"longer"}.items():
        (tmp_path / "in" / f"{name}.mp4").write_bytes(content)
    return listed(tmp_path)


def listed(tmp_path: Path) -> list[ListedInput]:
    return list(list_inputs([str(tmp_path / "in")]).inputs)


def stems(inputs: Plan) -> str:
    return "".join(sorted(Path(row["uri"]).stem for row in inputs))


def look(dataset: Dataset, inputs: list[ListedInput], retrying: Retrying = NOW) -> tuple[str, PendingInputs]:
    """Which inputs are hashed, and what is then to be done."""
    states = InputStates(dataset, as_table(inputs), SPLIT, retrying)
    hashed = states.to_identify()
    known = [{"uri": row["uri"], "video_id": video_id_of(row["uri"])} for row in hashed]
    return stems(hashed), states.pending(pa.Table.from_pylist(known, schema=IDENTIFIED))


def row_of(video_row: MakeRow, listed: ListedInput, **changes: Any) -> dict[str, Any]:
    """The row of an input that was scanned."""
    facts = {"uri": listed.uri, "file_bytes": listed.file_bytes, "modified_us": listed.modified_us}
    return video_row(video_id_of(listed.uri), **(facts | {"source": listed.source, "split": SPLIT} | changes))


def carry_out(dataset: Dataset, inputs: list[ListedInput], video_row: MakeRow, clip_row: MakeRow) -> list[str]:
    """Do what is pending until nothing is; returns which inputs were read, round by round."""
    rounds: list[str] = []
    dataset = replace(dataset, run_id=uuid4().hex)
    while len(rounds) < MOST_ROUNDS:
        _, pending = look(dataset, inputs)
        for rows in (pending.relocated, pending.retold):
            dataset.write_table(VIDEOS, rows)
        if not pending.to_scan:
            return rounds
        rounds.append(stems(pending.to_scan))
        for row in pending.to_scan:
            item = ListedInput(**row)
            row = row_of(video_row, item)
            clip = clip_row("clip of " + row["video_id"], row["video_id"], uri=item.uri, split=SPLIT)
            write_clips(dataset, [clip])
            dataset.write_part(VIDEOS, [row])
    raise AssertionError(f"there is no end: {rounds}")


def copies(dataset: Dataset) -> dict[str, str | None]:
    rows = connect(dataset).execute("select uri, duplicate_of from videos order by uri").fetchall()
    return {Path(uri).stem: copy_of and Path(copy_of).stem for uri, copy_of in rows}


def test_only_files_of_one_size_are_hashed_and_the_first_of_equal_ones_is_read(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow
) -> None:
    hashed, pending = look(dataset, files)
    assert hashed == "abc"
    assert stems(pending.to_scan) == "acd"
    assert carry_out(dataset, files, video_row, clip_row) == ["acd"]
    assert copies(dataset) == {"a": None, "b": "a", "c": None, "d": None}
    assert look(dataset, files)[0] == ""
    assert connect(dataset).execute("select count(*) from clips").fetchall() == [(3,)]


def test_the_first_in_the_order_of_the_list_is_the_original(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow
) -> None:
    assert carry_out(dataset, files[::-1], video_row, clip_row) == ["bcd"]
    assert copies(dataset) == {"a": "b", "b": None, "c": None, "d": None}


def test_touched_files_are_one_new_row_each_and_nothing_else(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow, tmp_path: Path
) -> None:
    carry_out(dataset, files, video_row, clip_row)
    before = connect(dataset).execute("select clip_id, uri from clips order by all").fetchall()
    touched = [replace(item, modified_us=item.modified_us + 7) for item in files]
    hashed, pending = look(dataset, touched)
    assert (hashed, len(pending.to_scan), pending.relocated.num_rows) == ("abcd", 0, 4)
    assert carry_out(dataset, touched, video_row, clip_row) == []
    assert copies(dataset) == {"a": None, "b": "a", "c": None, "d": None}
    connection = connect(dataset)
    assert connection.execute("select clip_id, uri from clips order by all").fetchall() == before
    times = connection.execute("select modified_us from videos order by uri").fetchall()
    assert [time for (time,) in times] == [item.modified_us for item in touched]
    assert carry_out(dataset, touched, video_row, clip_row) == []
    assert dataset.read(VIDEOS).num_rows == 8


def test_a_file_with_other_bytes_is_read_and_its_old_clips_go(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow, tmp_path: Path
) -> None:
    carry_out(dataset, files, video_row, clip_row)
    (tmp_path / "in" / "d.mp4").write_bytes(b"another")
    (tmp_path / "in" / "c.mp4").write_bytes(b"ELSE")
    assert carry_out(dataset, listed(tmp_path), video_row, clip_row) == ["cd"]
    assert connect(dataset).execute("select count(*) from clips").fetchall() == [(3,)]
    assert dataset.read(CLIPS).num_rows == 5


def test_bytes_that_are_elsewhere_now_bring_their_clips_along(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow, tmp_path: Path
) -> None:
    """The original becomes another file, and a new file has what it had: no copy is left of the first."""
    carry_out(dataset, files[3:], video_row, clip_row)
    (tmp_path / "in" / "e.mp4").write_bytes(b"longer")
    (tmp_path / "in" / "d.mp4").write_bytes(b"another")
    assert carry_out(dataset, listed(tmp_path)[3:], video_row, clip_row) == ["d"]
    assert copies(dataset) == {"d": None, "e": "d"}
    rows = connect(dataset).execute("select uri from clips order by clip_id").fetchall()
    assert sorted(Path(uri).stem for (uri,) in rows) == ["d", "e"]


def test_what_the_list_says_later_arrives_and_what_it_does_not_say_stays(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow
) -> None:
    carry_out(dataset, files, video_row, clip_row)
    said = replace(files[3], source='{"licence": "CC0"}')
    hashed, pending = look(dataset, [said])
    assert (hashed, len(pending.to_scan), pending.relocated.num_rows, pending.retold.num_rows) == ("", 0, 0, 1)
    carry_out(dataset, [said], video_row, clip_row)
    carry_out(dataset, [files[3]], video_row, clip_row)
    carry_out(dataset, [replace(files[3], modified_us=1)], video_row, clip_row)
    sources = connect(dataset).execute("select source from videos where uri = ?", [files[3].uri]).fetchall()
    assert sources == [('{"licence": "CC0"}',)]


@pytest.mark.parametrize(
    ("facts", "retrying", "is_read"),
    [
        ({"transient": True, "num_failures": 1}, NOW, True),
        ({"transient": True, "num_failures": 3}, NOW, False),
        ({"transient": False, "num_failures": 1}, NOW, False),
        ({"transient": True, "num_failures": 1, "run_id": "now"}, NOW, False),
        ({"transient": False, "num_failures": 1}, Retrying("now", all_failures=True), True),
        ({"transient": None, "num_failures": None}, NOW, False),
    ],
)
def test_an_input_that_failed_is_read_again_if_that_may_pass(
    dataset: Dataset,
    files: list[ListedInput],
    video_row: MakeRow,
    facts: dict[str, Any],
    retrying: Retrying,
    is_read: bool,
) -> None:
    failed = row_of(video_row, files[3], status="failed", reason="unreadable", video_id=None) | facts
    dataset.write_part(VIDEOS, [failed])
    _, pending = look(dataset, files[3:], retrying)
    assert [row["num_failures"] for row in pending.to_scan] == ([facts["num_failures"]] if is_read else [])


def test_a_copy_of_a_file_that_failed_for_good_is_a_failure_too(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow
) -> None:
    dataset.write_part(VIDEOS, [row_of(video_row, files[0], status="failed", reason="no_frames", transient=False)])
    _, pending = look(dataset, files[:2])
    assert not pending.to_scan
    (row,) = pending.relocated.to_pylist()
    assert (row["status"], row["reason"], row["duplicate_of"]) == ("failed", "no_frames", files[0].uri)


def test_files_that_cannot_be_read_are_left_to_reading(dataset: Dataset, tmp_path: Path) -> None:
    gone = [ListedInput(str(tmp_path / name), file_bytes=5) for name in ("x.mp4", "y.mp4")]
    assert stems(look(dataset, gone)[1].to_scan) == "xy"
    assert isinstance(look(dataset, gone)[1].relocated, pa.Table)
    assert look(dataset, [])[0] == ""


def test_a_file_that_was_read_once_keeps_its_clips_while_it_cannot_be_read(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow
) -> None:
    """Touched, then the store fails three times: it is tried as often, and no more."""
    carry_out(dataset, files[3:], video_row, clip_row)
    touched = replace(files[3], modified_us=7)
    for number in range(3):
        (item,) = InputStates(dataset, as_table([touched]), SPLIT, NOW).pending(NOTHING).to_scan
        assert item["num_failures"] == number
        failed = row_of(video_row, touched, status="failed", reason="unreadable", video_id=None, transient=True)
        failed |= {"num_failures": number + 1, "split": None}
        replace(dataset, run_id=f"run {number}").write_part(VIDEOS, [failed])
        assert connect(dataset).execute("select count(*) from clips").fetchall() == [(1,)]
    assert not InputStates(dataset, as_table([touched]), SPLIT, NOW).pending(NOTHING).to_scan


def test_videos_that_were_divided_otherwise_are_read_again_even_if_they_are_not_listed(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow
) -> None:
    carry_out(dataset, files, video_row, clip_row)
    pending = InputStates(dataset, as_table([]), "other", NOW).pending(NOTHING)
    assert (stems(pending.to_scan), pending.num_listed) == ("acd", 0)
    listed = InputStates(dataset, as_table(files[2:]), "other", NOW).pending(NOTHING)
    assert (stems(listed.to_scan), listed.num_listed) == ("acd", 2)
    assert not InputStates(dataset, as_table([]), SPLIT, NOW).pending(NOTHING).to_scan


def test_what_was_divided_as_is_wanted_now_and_otherwise_since_is_read_again(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow
) -> None:
    """Scores of its clips may have been taken again in between, with the clips of the other division beside them."""
    carry_out(dataset, files, video_row, clip_row)
    again = [row_of(video_row, item, split="other") for item in (files[0], *files[2:])]
    replace(dataset, run_id="other").write_part(VIDEOS, again)
    assert carry_out(dataset, files, video_row, clip_row) == ["acd"]
    assert copies(dataset) == {"a": None, "b": "a", "c": None, "d": None}


def test_the_copy_of_a_file_that_was_replaced_is_divided_again(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow
) -> None:
    carry_out(dataset, files[:2], video_row, clip_row)
    replaced = row_of(video_row, files[0], video_id="others", split="other")
    replace(dataset, run_id="later").write_part(VIDEOS, [replaced])
    assert stems(InputStates(dataset, as_table([]), "other", NOW).pending(NOTHING).to_scan) == "b"


@pytest.mark.parametrize("lost", [{"file_bytes": 0, "modified_us": 0}, {"modified_us": 0}])
def test_what_a_lister_does_not_know_now_is_no_change(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow, lost: dict[str, int]
) -> None:
    carry_out(dataset, files, video_row, clip_row)
    unknown = [replace(item, **lost) for item in files]
    hashed, pending = look(dataset, unknown)
    assert (hashed, len(pending.to_scan), pending.relocated.num_rows) == ("", 0, 0)


def test_what_a_lister_knows_only_later_is_hashed_once_and_kept(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, clip_row: MakeRow
) -> None:
    carry_out(dataset, [replace(files[3], file_bytes=0, modified_us=0)], video_row, clip_row)
    for hashed in ("d", ""):
        assert look(dataset, files[3:])[0] == hashed
        assert carry_out(dataset, files[3:], video_row, clip_row) == []
    touched_unknown = replace(files[3], file_bytes=0, modified_us=files[3].modified_us + 7)
    assert look(dataset, [touched_unknown])[0] == "d"
    assert carry_out(dataset, [touched_unknown], video_row, clip_row) == []
    facts = connect(dataset).execute("select file_bytes, modified_us from videos").fetchall()
    assert facts == [(files[3].file_bytes, files[3].modified_us + 7)]


@pytest.mark.parametrize("known_first", [False, True])
def test_failures_are_counted_on_where_the_lister_fails_too(
    dataset: Dataset, files: list[ListedInput], video_row: MakeRow, known_first: bool
) -> None:
    before, now = (files[3], replace(files[3], file_bytes=0, modified_us=0))[:: 1 if known_first else -1]
    failed = row_of(video_row, before, status="failed", reason="unreadable", video_id=None, transient=True)
    dataset.write_part(VIDEOS, [failed | {"num_failures": 2, "split": None}])
    assert [row["num_failures"] for row in look(dataset, [now])[1].to_scan] == [2]
