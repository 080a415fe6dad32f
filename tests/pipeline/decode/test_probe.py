"""Facts from presentation times, and rows of files of which nothing is known."""

from __future__ import annotations

import pytest

from pipeline.decode.probe import UNKNOWN, failed, probed, time_facts
from pipeline.decode.reader import displayed_size


def test_rate_and_duration_count_the_last_frame() -> None:
    facts = time_facts([0, 40_000, 80_000, 120_000], 40_000)
    assert facts == {"num_frames": 4, "duration_us": 160_000, "fps": 25.0, "variable_frame_rate": False}


def test_a_start_later_than_zero_does_not_count() -> None:
    assert time_facts([500_000, 600_000], 100_000)["duration_us"] == 200_000


@pytest.mark.parametrize(
    ("times_us", "varies"),
    [
        ([0, 33_000, 67_000, 100_000, 133_000], False),  # a millisecond time base at 30 frames a second
        ([0, 33_333, 100_000, 133_333], True),
        ([0, 100_000, 205_000], False),
        ([0, 100_000, 215_000], True),
        ([0], False),
    ],
)
def test_only_uneven_intervals_are_a_variable_rate(times_us: list[int], varies: bool) -> None:
    assert time_facts(times_us, 33_333)["variable_frame_rate"] is varies


def test_a_single_frame_without_duration_has_no_rate() -> None:
    assert time_facts([0], 0)["fps"] is None


@pytest.mark.parametrize(
    ("stored", "rotation_deg", "ratio", "displayed"),
    [
        ((1920, 1080), 0, 1.0, (1920, 1080)),
        ((1920, 1080), -90, 1.0, (1080, 1920)),
        ((1920, 1080), 180, 1.0, (1920, 1080)),
        ((720, 576), 0, 64 / 45, (1024, 576)),
        ((720, 480), 0, 8 / 9, (720, 540)),
        ((720, 480), 90, 2.0, (480, 1440)),
    ],
)
def test_sizes_are_as_displayed(
    stored: tuple[int, int], rotation_deg: int, ratio: float, displayed: tuple[int, int]
) -> None:
    assert displayed_size(*stored, rotation_deg, ratio) == displayed


def test_a_failure_keeps_what_is_known_and_leaves_the_rest_null() -> None:
    row = failed("no_frames", "3 packets refused", {"codec": "h264"})
    assert row == UNKNOWN | {
        "status": "failed",
        "reason": "no_frames",
        "detail": "3 packets refused",
        "codec": "h264",
    }
    assert probed({"codec": "h264"})["reason"] is None
