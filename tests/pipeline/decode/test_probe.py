"""Facts from the header, the first frame and the presentation times, and rows of files of which nothing is known."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from pipeline.decode.orientation import Orientation
from pipeline.decode.probe import header_facts, picture_facts, time_facts
from pipeline.decode.reader import open_video
from pipeline.decode.sizes import square_pixel_size
from pipeline.synthetic.encode import Encoding, encode, save_image

FPS = Fraction(10)


def test_rate_and_duration_count_the_last_frame() -> None:
    facts = time_facts([0, 40_000, 80_000, 120_000], 40_000)
    assert facts == {"num_frames": 4, "duration_us": 160_000, "fps": 25.0, "variable_frame_rate": False}


@pytest.mark.parametrize(
    ("times_us", "varies"),
    [
        ([0, 33_000, 67_000, 100_000, 133_000], False),  # a millisecond time base at 30 frames a second
        ([0, 33_333, 100_000, 133_333], True),
        ([0, 100_000, 205_000], False),
        ([0, 100_000, 210_000], False),  # the median is 105 ms, so 10.5 ms apart are allowed
        ([0, 100_000, 210_500], False),
        ([0, 100_000, 200_000, 310_000], False),  # apart by exactly a tenth of the median
        ([0, 100_000, 200_000, 310_001], True),
        ([0, 10_000, 20_000, 32_000], False),  # apart by exactly two milliseconds
        ([0, 10_000, 20_000, 32_001], True),
        ([0, 100_000, 215_000], True),
        ([0], False),
    ],
)
def test_only_uneven_intervals_are_a_variable_rate(times_us: list[int], varies: bool) -> None:
    assert time_facts(times_us, 33_333)["variable_frame_rate"] is varies


def test_a_single_frame_without_duration_has_no_rate() -> None:
    assert time_facts([0], 0)["fps"] is None


def write_with_sound(path: Path, codecs: tuple[str, ...]) -> None:
    """A video of one frame behind one second of silence in each of some audio codecs."""
    with av.open(str(path), "w") as container:
        sounds = [cast(av.AudioStream, container.add_stream(codec, rate=48_000, layout="mono")) for codec in codecs]
        video = cast(av.VideoStream, container.add_stream("libx264", rate=FPS))
        video.width, video.height, video.pix_fmt = 64, 48, "yuv444p"
        for sound in sounds:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 48_000), np.float32), format="fltp", layout="mono")
            silence.sample_rate = 48_000
            container.mux([*sound.encode(silence), *sound.encode(None)])
        picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux([*video.encode(picture), *video.encode(None)])


def header_of(path: Path) -> dict[str, Any]:
    container, stream = open_video(str(path))
    with container:
        return header_facts(container, stream)


@pytest.mark.parametrize("codecs", [("aac", "libmp3lame"), ("libmp3lame", "aac")])
def test_the_header_names_the_formats_of_the_video_and_of_the_first_sound(
    tmp_path: Path, codecs: tuple[str, str]
) -> None:
    write_with_sound(tmp_path / "a.mkv", codecs)
    assert header_of(tmp_path / "a.mkv") == {
        "container": "matroska,webm",
        "codec": "h264",
        "pixel_format": "yuv444p",
        "stream_index": 2,
        "sample_aspect_ratio": 1.0,
        "audio_codec": {"aac": "aac", "libmp3lame": "mp3float"}[codecs[0]],
    }


def test_sound_in_no_known_codec_has_no_name(tmp_path: Path) -> None:
    write_with_sound(tmp_path / "a.mkv", ("aac",))
    known = (tmp_path / "a.mkv").read_bytes()
    assert known.count(b"A_AAC") == 1
    (tmp_path / "a.mkv").write_bytes(known.replace(b"A_AAC", b"A_ODD"))
    assert header_of(tmp_path / "a.mkv")["audio_codec"] is None


@pytest.mark.parametrize(
    ("declared", "believed"),
    [
        (Fraction(1), 1.0),
        (Fraction(64, 45), 64 / 45),
        (Fraction(4), 4.0),
        (Fraction(17, 4), 1.0),
        (Fraction(1, 4), 0.25),
        (Fraction(4, 17), 1.0),
    ],
)
def test_a_pixel_aspect_beyond_four_to_one_is_a_damaged_header(
    tmp_path: Path, declared: Fraction, believed: float
) -> None:
    picture = np.zeros((64, round(64 * declared), 3), np.uint8)  # 64 px wide as stored
    encode(tmp_path / "a.mp4", [picture], [Fraction(0), 1 / FPS], FPS, Encoding(sample_aspect_ratio=declared))
    header = header_of(tmp_path / "a.mp4")
    assert (header["sample_aspect_ratio"], header["audio_codec"]) == (believed, None)


@pytest.mark.parametrize(
    ("rotation_deg", "ratio", "facts"),
    [
        (0, 1.0, {"width": 96, "height": 64, "rotation_deg": 0}),
        (0, 1.5, {"width": 144, "height": 64, "rotation_deg": 0}),
        (90, 1.5, {"width": 64, "height": 144, "rotation_deg": 90}),
        (-90, 1.0, {"width": 64, "height": 96, "rotation_deg": -90}),
        (180, 0.5, {"width": 96, "height": 128, "rotation_deg": 180}),
    ],
)
def test_the_first_frame_gives_the_displayed_size_and_the_rotation(
    tmp_path: Path, rotation_deg: int, ratio: float, facts: dict[str, int]
) -> None:
    """Stored at 96 x 64."""
    save_image(tmp_path / "a.png", np.zeros((64, 96, 3), np.uint8))
    with av.open(str(tmp_path / "a.png")) as container:
        frame = next(container.decode(video=0))
    found = picture_facts(frame, Orientation.turned(rotation_deg), ratio)
    others = {"mirrored": False, "bit_depth": 8, "transfer": None, "primaries": None}
    assert found == facts | others


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
    assert Orientation.turned(rotation_deg).displayed(*square_pixel_size(*stored, ratio)) == displayed
