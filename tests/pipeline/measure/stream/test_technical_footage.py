"""Technical measures and tells on real footage, where a folder of it lies beside the repository: `../shared/videos`.

What is known of the files: none shows combing, a leader or a recorded screen; dev02 holds 25 frames a second padded to
30; dev12 is FFmpeg's testsrc; nothing in the others is still.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.decode.frame import Span, StreamFrame, VideoFacts
from pipeline.decode.orientation import orientation_of
from pipeline.decode.reader import FrameReader, open_video
from pipeline.measure.stream.technical.measure import TechnicalMeasure
from pipeline.measure.stream.tells.measure import TellsMeasure
from schemas.recipe.measure import MeasureConfig

FOLDER = Path(__file__).parents[5] / "shared" / "videos"
FILES = {
    "dev02": "dev02_nasa_two_video_streams.mp4",
    "dev03": "dev03_flower_timelapse.mp4",
    "dev04": "dev04_flower_timelapse_vp8.webm",
    "dev06": "dev06_rooftop_portrait_rot90_hevc_editlist.mp4",
    "dev08": "dev08_asl_sign_again_person.mkv",
    "dev09": "dev09_fireplace_dog_rot180_vfr.mp4",
    "dev12": "dev12_corrupted_testpattern.mp4",
    "dev13": "dev13_portrait_hdr10_av1.mp4",
}
SAMPLE_US = 200_000

pytestmark = pytest.mark.skipif(not (FOLDER / "manifest.json").is_file(), reason=f"no videos in {FOLDER}")


@pytest.fixture(scope="module")
def scores() -> dict[str, dict[str, Any]]:
    return {name: _scores(FOLDER / file) for name, file in FILES.items()}


def _scores(path: Path) -> dict[str, Any]:
    """Of the whole file as one clip."""
    container, stream = open_video(str(path))
    technical, tells, previous, sampled_us = None, None, None, -SAMPLE_US
    with container:
        reader = FrameReader(container, stream)
        for index, raw in enumerate(reader):
            orientation, time_us = orientation_of(raw, str(path)), reader.times_us[index]
            frame = StreamFrame.of(raw, index, time_us, orientation=orientation, packet_bytes=reader.packet_bytes)
            if technical is None or tells is None:
                facts = VideoFacts(raw.width, raw.height, raw.width * raw.height, 25.0), MeasureConfig()
                technical, tells = TechnicalMeasure(*facts), TellsMeasure(*facts)
            technical.push(frame, previous)
            if time_us >= sampled_us + SAMPLE_US:
                sampled_us = time_us
                tells.push(frame, previous)
            previous = frame
        span = Span(0, 0, len(reader.times_us), reader.times_us[0], reader.times_us[-1])
    assert technical is not None
    assert tells is not None
    return technical.scores(span, [span]) | tells.scores(span, [span])


def test_footage_shows_no_tell(scores: dict[str, dict[str, Any]]) -> None:
    for name, found in scores.items():
        for tell in ("shots_per_s", "black_frac", "countdown_frac", "slideshow", "screen_recording"):
            assert found[tell] == 0.0, (name, tell)
        assert found["colour_bars_frac"] == (1.0 if name == "dev12" else 0.0), name


def test_footage_is_progressive_steady_and_moves(scores: dict[str, dict[str, Any]]) -> None:
    for name, found in scores.items():
        assert found["interlaced_frac"] == 0.0, name
        assert found["flicker"] < 0.01, name
        assert found["frozen_s"] < 0.25, name


def test_padded_frames_are_counted(scores: dict[str, dict[str, Any]]) -> None:
    for name, found in scores.items():
        if name == "dev02":
            assert found["duplicate_frames_frac"] == pytest.approx(1 / 6, abs=0.03)
        else:
            assert found["duplicate_frames_frac"] < 0.05, name


def test_the_same_pictures_score_alike_in_another_codec(scores: dict[str, dict[str, Any]]) -> None:
    one, other = scores["dev03"], scores["dev04"]
    for name in ("brightness", "contrast", "colourfulness"):
        assert other[name] == pytest.approx(one[name], rel=0.01), name
    assert other["sharpness"] == pytest.approx(one["sharpness"], rel=0.3)
