"""One clock: whatever container and codec, a single pass sees each frame once, in order, at its time; and frames
read by time are those that were on screen in the single pass.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.decode import random_access
from pipeline.decode.orientation import orientation_of
from pipeline.decode.planes import rgb_picture, shown_in_sdr
from pipeline.decode.random_access import frames_at
from pipeline.decode.reader import FrameReader, open_video
from tests.numbered_videos import HEIGHT, WIDTH, Case, cases, read_number

ALL_CASES = {f"{case.name} {case.suffix}": case for case in cases()}
WHOLE = WIDTH, HEIGHT
NUM_APART = 30
"""Frames between two that are read far apart: more than two groups of pictures."""


@pytest.fixture(scope="module", params=ALL_CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return ALL_CASES[request.param]


@pytest.fixture(scope="module")
def path(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return case.write(tmp_path_factory.mktemp("numbered"))


@pytest.fixture(scope="module")
def scanned(path: Path) -> tuple[list[int], FrameReader]:
    """The numbers that a single pass sees, and the reader after it."""
    container, stream = open_video(str(path))
    numbers, orientation = [], None
    with container:
        reader = FrameReader(container, stream)
        for frame in reader:
            orientation = orientation or orientation_of(frame, str(path))
            numbers.append(read_number(shown_in_sdr(orientation.upright(rgb_picture(frame)), frame)))
    return numbers, reader


def at(path: Path, times_us: list[int], *, regular: bool) -> list[int]:
    return [
        read_number(frame) for frame in frames_at(str(path), times_us, (0, 0, *WHOLE), WHOLE, WHOLE, regular=regular)
    ]


def test_a_single_pass_sees_each_frame_at_its_time(case: Case, scanned: tuple[list[int], FrameReader]) -> None:
    numbers, reader = scanned
    assert numbers == case.numbers
    assert reader.times_us[0] == 0
    assert np.abs(np.array(reader.times_us) - case.times_us).max() <= case.precision_us
    assert (reader.error_times_us, reader.num_refused, reader.num_size_changes) == ([], 0, 0)


def test_frames_read_by_time_are_those_of_the_single_pass(path: Path, scanned: tuple[list[int], FrameReader]) -> None:
    numbers, reader = scanned
    starts_us = reader.times_us
    assert at(path, starts_us, regular=False) == numbers
    ends_us = [*(later - 1 for later in starts_us[1:]), starts_us[-1]]
    assert at(path, ends_us, regular=False) == numbers


def test_frames_far_apart_are_those_of_the_single_pass(
    path: Path, scanned: tuple[list[int], FrameReader], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gaps are skipped from half a second on, so that there are many."""
    monkeypatch.setattr(random_access, "SKIPPED_S", 0.5)
    monkeypatch.setattr(random_access, "EARLIER_S", (0.0, 0.3))
    numbers, reader = scanned
    regular = reader.clock.num_corrected == 0
    for first in range(0, len(numbers), 5):
        wanted = [index for index in (first, first + NUM_APART) if index < len(numbers)]
        found = at(path, [reader.times_us[index] for index in wanted], regular=regular)
        assert found == [numbers[index] for index in wanted]


@pytest.mark.parametrize(
    ("name", "frac"), [("clock starts again in mid-stream", 0.4), ("h264 in .avi", 1.0), ("h264 in .mp4", 0.0)]
)
def test_frames_whose_time_the_container_does_not_give_are_counted(name: str, frac: float, tmp_path: Path) -> None:
    case = next(case for case in ALL_CASES.values() if case.name == name)
    container, stream = open_video(str(case.write(tmp_path)))
    with container:
        reader = FrameReader(container, stream)
        num_frames = sum(1 for _ in reader)
    assert reader.clock.num_corrected / num_frames == pytest.approx(frac, abs=0.15)
