"""A rule says in one line what it keeps, and what is wrong with it for a table."""

from __future__ import annotations

import pytest

from schemas.rules import CLIP_COLUMNS, Rule, Threshold


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Rule("motion_px_s", "still", min=1.0), "motion_px_s >= 1"),
        (Rule("overlay_text_frac", "overlay_text", max=0.02), "overlay_text_frac <= 0.02"),
        (Rule("fps", "odd_rate", min=0.5, max=60.0), "0.5 <= fps <= 60"),
        (Rule("camera_motion", "shaky", reject=("shake",)), "camera_motion not shake"),
        (Rule("camera_motion", "shaky", reject=("shake", "roll")), "camera_motion not shake or roll"),
    ],
)
def test_a_rule_reads_as_what_it_keeps(rule: Rule, text: str) -> None:
    assert str(rule) == text


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (Rule("fps", "odd_rate", min=24.0, max=24.0), None),
        (Rule("fps", "odd_rate", min=24.0, max=23.9), ": min 24 is above max 23.9"),
        (Rule("fps", "odd_rate", min=24.0), None),
        (Rule("fps", "odd_rate", max=24.0), None),
        (Rule("fps", "odd_rate"), ": neither min nor max"),
        (Rule("width", "small", min=64.0), None),
        (Rule("is_image", "image", max=0.0), None),
        (Rule("uri", "elsewhere", min=1.0), ".column: column 'uri' is no number"),
        (Rule("motion", "still", min=1.0), ".column: no column 'motion'"),
        (Rule("duplicate_rank", "duplicate", max=0.0), None),
        (Rule("camera_motion", "shaky", reject=("shake",)), None),
        (Rule("camera_motion", "shaky", reject=("shake",), min=1.0), ": reject goes without min and max"),
        (Rule("camera_motion", "shaky", reject=("shake",), max=1.0), ": reject goes without min and max"),
        (Rule("fps", "odd_rate", reject=("24",)), ".reject: column 'fps' is no text"),
    ],
)
def test_what_is_wrong_with_a_rule_follows_its_key(rule: Rule, problem: str | None) -> None:
    assert rule.problem(CLIP_COLUMNS) == problem


def test_a_rule_has_a_threshold_for_each_of_its_bounds() -> None:
    both = Rule("fps", "odd_rate", min=0.0, max=60.0, source="measured")
    assert both.thresholds == [
        Threshold("fps", "min", 0.0, "odd_rate", "measured"),
        Threshold("fps", "max", 60.0, "odd_rate", "measured"),
    ]
    assert Rule("camera_motion", "shaky", reject=("shake",)).thresholds == []


def test_a_bound_itself_is_kept_and_null_is_not_judged() -> None:
    low, high = Rule("fps", "odd_rate", min=1.0, max=2.0).thresholds
    assert [low.rejects(value) for value in (0.99, 1.0, 3.0, None)] == [True, False, False, False]
    assert [high.rejects(value) for value in (0.0, 2.0, 2.01, None)] == [False, False, True, False]
