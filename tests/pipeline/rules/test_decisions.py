"""Decisions on clips and on captions are written the same way: those that differ from the ones before."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.measure.registry import stream_fingerprints
from pipeline.rules.decisions import write_decisions
from pipeline.rules.effects import judge_dataset
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import DECISIONS, VIDEOS
from schemas.recipe import Recipe
from schemas.rules import Rule
from tests.conftest import write_captions, write_clips

MakeRow = Callable[..., dict[str, Any]]
RECIPE = Recipe(
    rules={"min_motion": Rule("motion_px_s", "still", min=1.0)},
    caption_rules={"min_words": Rule("num_words", "too_short", min=4)},
)
STRICTER = replace(
    RECIPE,
    rules={"min_motion": Rule("motion_px_s", "still", min=2.5)},
    caption_rules={"min_words": Rule("num_words", "too_short", min=6)},
)


@pytest.fixture
def dataset(tmp_path: Path, video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow) -> Dataset:
    """Three kept clips with motion 1, 2 and 3, and their captions of 4, 5 and 6 words, all accepted."""
    dataset = Dataset(str(tmp_path / "ds"))
    dataset.write_part(VIDEOS, [video_row("v0")])
    measured = json.dumps(stream_fingerprints(RECIPE.measure))
    write_clips(dataset, [clip_row(f"c{i}", "v0", motion_px_s=float(i), measured=measured) for i in (1, 2, 3)])
    write_captions(dataset, [caption_row(f"c{i}", num_words=3 + i) for i in (1, 2, 3)])
    return dataset


def write_both(dataset: Dataset, recipe: Recipe) -> tuple[int, int]:
    verdicts = judge_dataset(connect(dataset), recipe)
    return write_decisions(dataset, verdicts.clips, recipe), write_decisions(dataset, verdicts.captions, recipe)


def decisions_in(dataset: Dataset) -> list[dict[str, Any]]:
    """Decisions on clips that were written by these tests, the oldest first."""
    rows = [row for row in dataset.read(DECISIONS).to_pylist() if row["rules_fingerprint"]]
    return sorted(rows, key=lambda row: row["written_us"])


def test_only_what_changes_is_written_and_then_it_holds(dataset: Dataset) -> None:
    assert write_both(dataset, RECIPE) == (0, 0)
    assert write_both(dataset, STRICTER) == (2, 2)
    assert write_both(dataset, STRICTER) == (0, 0)
    connection = connect(dataset)
    for view, accepted, reason in (("clips", "kept", "still"), ("captions", "ok", "too_short")):
        rows = connection.execute(f"select clip_id, status, reasons from {view} order by 1").fetchall()
        assert rows == [("c1", "rejected", [reason]), ("c2", "rejected", [reason]), ("c3", accepted, [])]
    assert write_both(dataset, RECIPE) == (2, 2)


def test_a_first_decision_is_none_that_differs(dataset: Dataset, caption_row: MakeRow) -> None:
    write_captions(dataset, [caption_row("c1", "cap1", num_words=9, status="pending")])
    verdicts = judge_dataset(connect(dataset), STRICTER).captions
    assert verdicts.num_judged_otherwise == 2
    assert write_decisions(dataset, verdicts, STRICTER) == 3


def test_a_decision_names_the_rules_behind_it_and_no_others(dataset: Dataset) -> None:
    """Two of the stricter rules, two of the first again; other caption rules make no other decision on a clip."""
    for recipe in (STRICTER, RECIPE, replace(STRICTER, caption_rules={})):
        write_both(dataset, recipe)
    rows = decisions_in(dataset)
    prints = [row["rules_fingerprint"] for row in rows]
    assert len(rows) == 6
    assert prints == [prints[0]] * 2 + [prints[2]] * 2 + [prints[0]] * 2
    assert prints[0] != prints[2]


def test_decisions_are_dated_in_microseconds(dataset: Dataset) -> None:
    before_us = time.time_ns() // 1000
    write_both(dataset, STRICTER)
    after_us = time.time_ns() // 1000
    times_us = [row["written_us"] for row in decisions_in(dataset)]
    assert len(times_us) == 2
    assert all(before_us <= time_us <= after_us for time_us in times_us)


def test_what_a_recipe_makes_of_a_data_set_counts_accepted_captions_of_kept_clips(dataset: Dataset) -> None:
    assert judge_dataset(connect(dataset), RECIPE).num_trainable == 3
    assert judge_dataset(connect(dataset), STRICTER).num_trainable == 1
    other = replace(RECIPE, caption_rules=STRICTER.caption_rules, rules={"all": Rule("motion_px_s", "any", max=0.0)})
    assert judge_dataset(connect(dataset), other).num_trainable == 0


def test_a_clip_that_waits_has_no_decision_and_one_that_waits_again_one_without_a_status(
    dataset: Dataset, clip_row: MakeRow
) -> None:
    """So no row of the tables says pending of a clip that is kept later."""
    needs_motion_anew = replace(RECIPE, measure=replace(RECIPE.measure, sample_hz=9.0))
    write_clips(dataset, [clip_row("new", "v0", status="pending", measured="{}")])
    assert write_both(dataset, RECIPE)[0] == 0
    assert write_both(dataset, needs_motion_anew)[0] == 3
    assert write_both(dataset, needs_motion_anew)[0] == 0
    assert {(row["clip_id"], row["status"], *row["reasons"]) for row in decisions_in(dataset)} == {
        (f"c{i}", None, "unmeasured: motion") for i in (1, 2, 3)
    }
    found = connect(dataset).execute("select clip_id, status, reasons from clips order by 1").fetchall()
    assert found == [*((f"c{i}", "pending", ["unmeasured: motion"]) for i in (1, 2, 3)), ("new", "pending", [])]
    assert write_both(dataset, RECIPE)[0] == 3
