"""Frames read at given times: which are on screen, what is cut out of them, and what is skipped to reach them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.decode import reader as decode_reader
from pipeline.decode.random_access import SKIPPED_S, TimedFrames, frames_at
from pipeline.ingest.failures import MediaError
from pipeline.synthetic.encode import Encoding, encode, save_image
from tests.numbered_videos import HEIGHT, WIDTH, draw_number, read_number

GREYS = (30, 70, 110, 150, 190, 230)
TENTH_US = 100_000


def write_greys(path: Path, start_s: Fraction = Fraction(0)) -> str:
    """A video of one even grey after the other, ten a second, all but the first coded as differences."""
    pictures = (np.full((48, 64, 3), grey, np.uint8) for grey in GREYS)
    times_s = [start_s + Fraction(index, 10) for index in range(len(GREYS) + 1)]
    encode(path, pictures, times_s, Fraction(10), Encoding(path.suffix))
    return str(path)


def shown_at(path: str, times_us: list[int]) -> list[int]:
    """Which of the greys is on screen at each time."""
    frames = frames_at(path, times_us, (0, 0, 64, 48), (64, 48), (64, 48))
    assert frames.shape == (len(times_us), 48, 64, 3)
    return [int(np.abs(np.array(GREYS) - frame.mean()).argmin()) for frame in frames]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_frame_on_screen_is_the_last_that_has_started(tmp_path: Path, suffix: str) -> None:
    path = write_greys(tmp_path / f"greys{suffix}")
    assert shown_at(path, [index * TENTH_US for index in range(6)]) == [0, 1, 2, 3, 4, 5]
    assert shown_at(path, [150_000, 199_999, 200_000, 299_999, 300_000]) == [1, 1, 2, 2, 3]
    assert shown_at(path, [450_000]) == [4]
    assert shown_at(path, [99_999]) == [0]


def test_times_count_from_the_first_frame_and_the_last_one_stays(tmp_path: Path) -> None:
    path = write_greys(tmp_path / "greys.mkv", start_s=Fraction(2))
    assert shown_at(path, [0, 1, 50_000, 100_000]) == [0, 0, 0, 1]
    assert shown_at(path, [500_000, 9_000_000]) == [5, 5]
    assert shown_at(path, [9_000_000]) == [5]


def test_a_frame_may_be_asked_for_many_times(tmp_path: Path) -> None:
    path = write_greys(tmp_path / "greys.mp4")
    assert shown_at(path, [TENTH_US] * 3 + [110_000, 4 * TENTH_US, 4 * TENTH_US]) == [1, 1, 1, 1, 4, 4]


def write_long(path: Path, num_frames: int, **options: str) -> str:
    """A video of numbered frames, ten a second, with a key frame every second."""
    times_s = [Fraction(index, 10) for index in range(num_frames + 1)]
    encoding = Encoding(path.suffix, options=(("g", "10"), *options.items()))
    encode(path, map(draw_number, range(num_frames)), times_s, Fraction(10), encoding)
    return str(path)


def numbers_at(path: str, times_us: list[int], *, regular: bool) -> tuple[list[int], int]:
    """Which numbered frames are on screen, and how many were decoded to tell."""
    whole = WIDTH, HEIGHT
    with TimedFrames(path, regular=regular) as frames:
        numbers = [read_number(shown.cut((0, 0, *whole), whole, whole)) for shown in frames.at(times_us)]
        return numbers, frames.num_decoded


def test_a_long_gap_is_skipped_in_a_file_whose_clock_is_right(tmp_path: Path) -> None:
    """What is decoded: the first frames, and from the key frame before the time to the frame after it."""
    path = write_long(tmp_path / "long.mp4", 200)
    wanted = [0, 15_450_000, 15_450_000, 15_700_000]
    numbers, num_decoded = numbers_at(path, wanted, regular=True)
    assert numbers == [0, 154, 154, 157]
    assert num_decoded <= 2 + 10
    numbers, num_decoded = numbers_at(path, wanted, regular=False)
    assert numbers == [0, 154, 154, 157]
    assert num_decoded == 159


def test_a_short_gap_is_decoded(tmp_path: Path) -> None:
    path = write_long(tmp_path / "long.mp4", 100)
    assert numbers_at(path, [0, round(SKIPPED_S * 1e6), 9_000_000], regular=True) == ([0, 80, 90], 92)


def test_where_there_is_no_key_frame_to_skip_to_all_is_decoded(tmp_path: Path) -> None:
    path = write_long(tmp_path / "long.mp4", 150, g="1000", keyint_min="1000", sc_threshold="0")
    numbers, num_decoded = numbers_at(path, [0, 12_000_000, 14_000_000], regular=True)
    assert numbers == [0, 120, 140]
    assert num_decoded >= 142


def test_each_frame_that_is_read_counts_as_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, beats = write_greys(tmp_path / "greys.mp4"), []
    monkeypatch.setattr(decode_reader, "heartbeat", lambda: beats.append(1))
    assert shown_at(path, [0, TENTH_US, TENTH_US, 5 * TENTH_US]) == [0, 1, 1, 5]
    assert len(beats) >= 6


def test_the_box_is_in_displayed_pixels_whatever_the_stored_ones_are(tmp_path: Path) -> None:
    """Shown at 128 x 48, stored at 64 x 48: a bright box of 32 x 16 at (64, 8)."""
    picture = np.full((48, 128, 3), 20, np.uint8)
    picture[8:24, 64:96] = 220
    encoding = Encoding(sample_aspect_ratio=Fraction(2), options=(("crf", "1"),))
    encode(tmp_path / "a.mp4", [picture] * 2, [Fraction(i, 10) for i in range(3)], Fraction(10), encoding)
    whole = frames_at(str(tmp_path / "a.mp4"), [0], (0, 0, 128, 48), (128, 48), (128, 48))[0].astype(int)
    assert np.abs(whole - picture).mean() < 3
    (box,) = frames_at(str(tmp_path / "a.mp4"), [0], (64, 8, 32, 16), (128, 48), (16, 8))
    assert box.shape == (8, 16, 3)
    assert box.min() > 200
    (around,) = frames_at(str(tmp_path / "a.mp4"), [0], (60, 6, 40, 20), (128, 48), (20, 10))
    assert (around[0].max(), around[-1].max(), around[:, 0].max(), around[:, -1].max()) < (60,) * 4


def save_png(path: Path, picture: np.ndarray) -> str:
    save_image(path, picture)
    return str(path)


def test_a_smaller_picture_is_the_mean_of_its_areas(tmp_path: Path) -> None:
    columns = np.zeros((32, 32, 3), np.uint8)
    columns[:, ::2] = (200, 100, 40)
    (frame,) = frames_at(save_png(tmp_path / "a.png", columns), [0], (0, 0, 32, 32), (32, 32), (16, 16))
    assert (frame == (100, 50, 20)).all()


@pytest.mark.parametrize(
    ("box", "columns", "rows"),
    [
        ((40, 0, 8, 64), (20, 24), (0, 32)),
        ((0, 40, 64, 8), (0, 32), (20, 24)),
        ((50, 10, 1, 1), (25, 26), (5, 6)),
        ((62, 62, 1, 1), (31, 32), (31, 32)),
    ],
)
def test_a_box_is_at_least_one_stored_pixel(
    tmp_path: Path, box: tuple[int, int, int, int], columns: tuple[int, int], rows: tuple[int, int]
) -> None:
    """Displayed at twice its size; every pixel has its own red and green."""
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[..., 0], picture[..., 1] = 8 * np.arange(32)[None], 8 * np.arange(32)[:, None]
    size = (columns[1] - columns[0], rows[1] - rows[0])
    (frame,) = frames_at(save_png(tmp_path / "a.png", picture), [0], box, (64, 64), size)
    np.testing.assert_array_equal(frame, picture[slice(*rows), slice(*columns)])


def test_a_file_in_which_nothing_decodes_is_refused(tmp_path: Path) -> None:
    path = Path(write_greys(tmp_path / "greys.mp4"))
    data = path.read_bytes()
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    assert start < end
    path.write_bytes(data[:start] + bytes(end - start) + data[end:])
    with pytest.raises(MediaError, match="no_frames: nothing decodes"):
        frames_at(str(path), [0], (0, 0, 64, 48), (64, 48), (64, 48))
