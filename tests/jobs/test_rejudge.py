"""Judging again from stored scores: what-if without writing, decisions beside decisions, and no video read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import main
from jobs.steps.records import write_run
from pipeline.measure.registry import stream_fingerprints
from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import VIDEOS
from schemas.recipe import Recipe, decode_recipe
from tests.conftest import write_clips

MakeRow = Callable[..., dict[str, Any]]
RULES = {
    "min_motion": {"column": "motion_px_s", "min": 1.0, "reason": "still"},
    "min_brightness": {"column": "brightness", "min": 0.1, "reason": "too_dark"},
}


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return decode_recipe(
        {
            "rules": RULES,
            "overlay_text": {"enabled": False},
            "embedding": {"model": "none"},
            "caption": {"backend": "none"},
        }
    )


@pytest.fixture
def dataset(tmp_path: Path, recipe: Recipe, video_row: MakeRow, clip_row: MakeRow) -> Dataset:
    """Five clips of a video that is not there, with motion 0, 0.5, 1, 2 and 3; the last is dark."""
    dataset = Dataset(str(tmp_path / "ds"))
    dataset.write_part(VIDEOS, [video_row("v0")])
    marks = json.dumps(stream_fingerprints(recipe.measure))
    rows = []
    for i, motion in enumerate((0.0, 0.5, 1.0, 2.0, 3.0)):
        reasons = ["still"] * (motion < 1) + ["too_dark"] * (i == 4)
        scores = {"motion_px_s": motion, "brightness": 0.0 if i == 4 else 0.5, "measured": marks}
        rows.append(clip_row(f"c{i}", "v0", status="rejected" if reasons else "kept", reasons=reasons, **scores))
    write_clips(dataset, rows)
    write_run(dataset, "20260101T000000Z-curate", "curate", recipe, state="done")
    return dataset


def standing(dataset: Dataset) -> dict[str, tuple[str, list[str]]]:
    rows = connect(dataset).execute("select clip_id, status, reasons from clips order by 1").fetchall()
    return {clip_id: (status, reasons) for clip_id, status, reasons in rows}


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)


def test_the_funnel_counts_what_each_rule_does(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["funnel", dataset.location, "--json"]) == 0
    summary = said(capsys)
    assert summary["rules"] == {
        "min_motion": {"rejects": 2, "alone": 2, "stay": 3},
        "min_brightness": {"rejects": 1, "alone": 1, "stay": 2},
    }
    assert summary["clips"] == summary["clips_before"] == {"rejected": 3, "kept": 2}


def test_what_if_answers_and_writes_nothing(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(Path(dataset.location).rglob("*"))
    assert main(["funnel", dataset.location, "--set", "rules.min_motion.min=0.5", "--json"]) == 0
    summary = said(capsys)
    assert summary["rules"]["min_motion"] == {"rejects": 1, "alone": 1, "stay": 4}
    assert (summary["clips"], summary["clips_before"]["kept"]) == ({"rejected": 2, "kept": 3}, 2)
    assert sorted(Path(dataset.location).rglob("*")) == before
    assert main(["funnel", dataset.location, "--set", "rules.min_motion.min=0.5"]) == 0
    assert "1 would come, 0 would go" in capsys.readouterr().out


def test_rejudging_writes_the_decisions_that_change_and_no_others(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    looser = ["rejudge", dataset.location, "--set", "rules.min_motion.min=0.5", "--json"]
    assert main(looser) == 0
    assert said(capsys)["decisions"] == 1
    assert standing(dataset)["c1"] == ("kept", [])
    written = connect(dataset).execute("select clip_id from decisions_raw where rules_fingerprint <> ''").fetchall()
    assert written == [("c1",)]
    assert main(looser) == 0
    assert said(capsys)["decisions"] == 0
    assert main(["rejudge", dataset.location, "--set", "rules.min_motion.min=2.5", "--json"]) == 0
    assert said(capsys)["decisions"] == 3
    assert standing(dataset) == {
        "c0": ("rejected", ["still"]),
        "c1": ("rejected", ["still"]),
        "c2": ("rejected", ["still"]),
        "c3": ("rejected", ["still"]),
        "c4": ("rejected", ["too_dark"]),
    }


def test_later_questions_start_from_the_rules_judged_by_last(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["rejudge", dataset.location, "--set", "rules.min_motion.min=0.5"])
    capsys.readouterr()
    assert main(["funnel", dataset.location, "--set", "rules.min_brightness.min=0.0", "--json"]) == 0
    assert said(capsys)["clips"] == {"rejected": 1, "kept": 4}


def test_other_settings_of_a_measure_make_its_scores_missing_not_passed(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["funnel", dataset.location, "--set", "measure.sample_hz=2.0", "--json"]) == 0
    assert said(capsys)["clips"] == {"pending": 2, "rejected": 3}


def test_a_bad_question_is_one_line(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["funnel", dataset.location, "--set", "rules.min_motion.min=fast"]) == 2
    assert main(["rejudge", dataset.location, "--set", "rules.nsfw={column='nsfw',max=0.1,reason='unsafe'}"]) == 2
    empty = Dataset(str(tmp_path / "empty"))
    empty.write_part(VIDEOS, [])
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert "safety, which is off" in lines[1]
