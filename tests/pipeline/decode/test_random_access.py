"""Frames read at given times, through decord or without it, are those that PyAV decodes in one pass."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest

from pipeline.decode import random_access
from pipeline.decode.random_access import frames_at
from pipeline.decode.reader import FrameReader, MediaError, open_video
from pipeline.synthetic.encode import Encoding, encode, save_image
from pipeline.synthetic.render import render
from pipeline.synthetic.world import draw_scene
from tests.bench.fuzz_seeds import FOREIGN, make_seeds

NUM_FRAMES, FPS = 12, 12
MAX_CONVERSION_ERROR = 3.0
"""Levels of 255 by which decord's and swscale's ways to RGB may differ on average, where chroma is subsampled."""


@pytest.fixture(params=["decord", "PyAV"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What reads frames; both show the same."""
    if request.param == "PyAV":
        monkeypatch.setattr(random_access, "_declared", lambda path: (1 << 60, 0))
    return request.param


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
def test_the_frame_on_screen_is_the_last_that_has_started(tmp_path: Path, reader: str, suffix: str) -> None:
    """A millisecond early counts as on time, since containers round."""
    path = write_greys(tmp_path / f"greys{suffix}")
    assert shown_at(path, [index * TENTH_US for index in range(6)]) == [0, 1, 2, 3, 4, 5]
    assert shown_at(path, [150_000, 199_000, 200_000, 298_999, 299_000]) == [1, 2, 2, 2, 3]
    assert shown_at(path, [450_000]) == [4]
    assert shown_at(path, [98_999]) == [0]


def test_before_the_first_frame_it_is_shown_and_after_the_last_that_is(tmp_path: Path, reader: str) -> None:
    path = write_greys(tmp_path / "greys.mkv", start_s=Fraction(2))
    assert shown_at(path, [0, 1, 1_999_000, 2_050_000, 2_100_000]) == [0, 0, 0, 0, 1]
    assert shown_at(path, [1]) == [0]
    assert shown_at(path, [2_500_000, 9_000_000]) == [5, 5]
    assert shown_at(path, [9_000_000]) == [5]


def test_a_frame_may_be_asked_for_many_times(tmp_path: Path, reader: str) -> None:
    path = write_greys(tmp_path / "greys.mp4")
    assert shown_at(path, [TENTH_US] * 3 + [110_000, 4 * TENTH_US, 4 * TENTH_US]) == [1, 1, 1, 1, 4, 4]


def test_frames_are_sought_and_what_lies_before_the_key_frame_is_not_decoded(
    tmp_path: Path, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second frame is a key frame."""
    path, decoded = tmp_path / "greys.mp4", []
    pictures = (np.full((48, 64, 3), grey, np.uint8) for grey in GREYS)
    times_s = [Fraction(index, 10) for index in range(len(GREYS) + 1)]
    encode(path, pictures, times_s, Fraction(10), Encoding(options=(("g", "2"),)))
    timed = random_access._timed
    monkeypatch.setattr(random_access, "_timed", lambda frames: (decoded.append(x) or x for x in timed(frames)))
    assert shown_at(str(path), [350_000]) == [3]
    assert [time_us for time_us, _ in decoded] == ([] if reader == "decord" else [200_000, 300_000, 400_000])


def test_each_frame_that_is_read_counts_as_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, beats = write_greys(tmp_path / "greys.mp4"), []
    monkeypatch.setattr(random_access, "heartbeat", lambda: beats.append(1))
    assert shown_at(path, [0, TENTH_US, TENTH_US, 5 * TENTH_US]) == [0, 1, 1, 5]
    assert len(beats) == 3


def test_the_box_is_in_displayed_pixels_whatever_the_stored_ones_are(tmp_path: Path, reader: str) -> None:
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


@pytest.mark.parametrize(("suffix", "rotation_deg_ccw"), [(".mp4", 0), (".mp4", -90), (".mkv", 0)])
@pytest.mark.parametrize("width", [32, 48, 96, 100, 144, 160, 192])
def test_random_access_equals_one_pass(
    tmp_path: Path, reader: str, width: int, suffix: str, rotation_deg_ccw: int
) -> None:
    path, height = tmp_path / f"a{suffix}", 64
    times = [Fraction(index, FPS) for index in range(NUM_FRAMES + 1)]
    drawn = render(draw_scene(3), width, height, NUM_FRAMES)
    encode(path, drawn, times, Fraction(FPS), Encoding(suffix, rotation_deg_ccw=rotation_deg_ccw))
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    wanted = [2, 2, 7, 11]
    whole = (width, height)
    got = frames_at(str(path), [round(times[i] * 1_000_000) for i in wanted], (0, 0, *whole), whole, whole)
    expected = np.stack([np.rot90(decoded[i], rotation_deg_ccw // 90) for i in wanted])
    np.testing.assert_array_equal(got, expected)


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A small file of each kind that there is, but no still pictures."""
    files = make_seeds(tmp_path_factory.mktemp("seeds"))
    return [path for path in files if path.name in FOREIGN or path.name[0].isdigit()]


def test_random_access_equals_one_pass_in_every_container(whole_files: list[Path]) -> None:
    """Some count from a time other than zero, tell no times until they are decoded, or cannot be sought in."""
    num_kinds = 0
    for path in whole_files:
        container, stream = open_video(str(path))
        with container:
            reader = FrameReader(container, stream)
            decoded = [np.rot90(f.to_ndarray(format="rgb24"), int(f.rotation) // 90) for f in reader]
        if len(decoded) < 2:
            continue  # an animation in a format that FFmpeg does not decode
        num_kinds += 1
        height, width = decoded[0].shape[:2]
        wanted = [len(decoded) * 2 // 3, len(decoded) - 1]
        times_us = [reader.times_us[index] for index in wanted]
        got = frames_at(str(path), times_us, (0, 0, width, height), (width, height), (width, height))
        for index, frame in zip(wanted, got, strict=True):
            errors = [float(np.abs(frame.astype(int) - other).mean()) for other in decoded]
            assert int(np.argmin(errors)) == index, path.name
            assert errors[index] < MAX_CONVERSION_ERROR, path.name
    assert num_kinds >= 25


@pytest.mark.parametrize("found", [None, ModuleType("nvidia")])
def test_packages_that_decord_must_not_see_are_as_before_once_it_is_loaded(
    monkeypatch: pytest.MonkeyPatch, found: ModuleType | None
) -> None:
    monkeypatch.setitem(sys.modules, "nvidia", found or ModuleType("nvidia"))
    if found is None:
        del sys.modules["nvidia"]
    random_access._load_decord.__wrapped__()
    assert sys.modules.get("nvidia") is found
    assert ("nvidia" in sys.modules) is (found is not None)


def test_random_access_leaves_matrix_products_to_torch() -> None:
    """decord would load NVIDIA's libraries for the whole process, and one of them takes CPU products over."""
    load = "from pipeline.decode.random_access import _load_decord; _load_decord()"
    code = f"{load}; import torch; x = torch.ones(64, 64); x @ x"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
