"""Files that lie, break off or were damaged: each is a row with a reason, and none does harm."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import pytest
from PIL import Image

from pipeline.decode.diagnosis import refusal
from pipeline.decode.frame import StreamFrame
from pipeline.decode.planes import reformatted
from pipeline.decode.probe import header_facts
from pipeline.decode.random_access import frames_at
from pipeline.decode.reader import FrameReader, open_video
from pipeline.decode.sizes import MAX_PIXELS_PX, MAX_SIDE_PX, require_readable_size
from pipeline.ingest.failures import MediaError
from pipeline.ingest.sandbox import IsolatedWorker
from pipeline.synthetic.encode import Encoding, encode, save_image
from pipeline.synthetic.mutations import ENTRY_WIDTH_OFFSET, MUTATIONS, PNG_SIZE_OFFSET
from pipeline.synthetic.render import render
from pipeline.synthetic.world import draw_scene
from tests.bench import fuzz
from tests.bench.fuzz_reading import LIMITS, read_lightly
from tests.bench.fuzz_seeds import make_seeds

NUM_DAMAGED = 60
WIDTH, HEIGHT, NUM_FRAMES, FPS = 96, 64, 6, 12
WHOLE = (WIDTH, HEIGHT)
LISTS = ("itself.mp4", "other.mp4", "list.mp4")
"""Seeds that name other files, or themselves, for FFmpeg to open."""


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Whole files of every kind, but no real ones, so that the same are damaged everywhere."""
    files = make_seeds(tmp_path_factory.mktemp("seeds"))
    return [path for path in files if not path.name.startswith("real_")]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "video.mp4"
    times = [Fraction(index, FPS) for index in range(NUM_FRAMES + 1)]
    encode(path, render(draw_scene(3), WIDTH, HEIGHT, NUM_FRAMES), times, Fraction(FPS), Encoding())
    return path


@pytest.fixture(scope="module")
def worker() -> Iterator[IsolatedWorker]:
    with IsolatedWorker(LIMITS) as made:
        yield made


def refused(path: Path) -> str:
    """The reason for which a file is not read."""
    with pytest.raises(MediaError) as caught:
        open_video(str(path))
    return caught.value.reason


def test_damaged_files_end_as_rows(seeds: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a longer run of `tests.bench.fuzz` does with thousands."""
    monkeypatch.setattr(fuzz, "read_file", read_lightly)
    tally = fuzz.fuzz(seeds, "tests", range(NUM_DAMAGED))
    assert tally.outcomes.total() == NUM_DAMAGED
    assert [finding for finding in tally.findings if not finding.is_row] == []
    assert len(tally.outcomes) >= 4, "some can be read, and others fail in several ways"


def test_a_finding_can_be_had_again(seeds: list[Path]) -> None:
    files = [fuzz.damaged(seeds, "a", number) for number in range(40)]
    assert [fuzz.damaged(seeds, "a", number) for number in range(40)] == files
    assert [fuzz.damaged(seeds, "b", number) for number in range(40)] != files


def test_what_a_reader_raises_is_a_finding(seeds: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "read_file", int)  # raises ValueError in the child
    tally = fuzz.fuzz(seeds, "tests", range(3))
    assert tally.outcomes == {"raised ValueError": 3}
    assert sorted(finding.number for finding in tally.findings if not finding.is_row) == [0, 1, 2]


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_mutation_damages_some_file(name: str, seeds: list[Path]) -> None:
    rng = fuzz.random.Random(name)
    changed = 0
    for path in seeds:
        data = path.read_bytes()
        changed += MUTATIONS[name](data, rng) != data
        MUTATIONS[name](b"", rng)
    assert changed >= 4


def test_a_list_of_files_is_no_video(seeds: list[Path]) -> None:
    lists = {path.name: refused(path) for path in seeds if path.name in LISTS}
    assert lists == dict.fromkeys(LISTS, "playlist")


@pytest.mark.parametrize(("width", "height"), [(MAX_SIDE_PX + 1, 2), (16_384, 8_705), (65_535, 65_535)])
def test_absurd_sizes_are_refused(width: int, height: int) -> None:
    assert MAX_PIXELS_PX == 16_384 * 8_704
    require_readable_size(16_384, 8_704)
    require_readable_size(MAX_SIDE_PX, 4_000)
    with pytest.raises(MediaError, match=f"too_large: {width} x {height} px"):
        require_readable_size(width, height)


@pytest.mark.parametrize(("width", "height"), [(15, 15), (400, 15), (1040, 64)])
def test_pictures_too_small_to_measure_are_refused(width: int, height: int, tmp_path: Path) -> None:
    require_readable_size(1024, 64)
    path = tmp_path / "a.png"
    for sides in ((width, height), (height, width)):
        save_image(path, np.zeros((*sides, 3), np.uint8))
        assert refused(path) == "too_small"


def test_a_photo_with_exif_has_no_motion_vectors(tmp_path: Path) -> None:
    """Side data of a kind that PyAV does not know; a motion measure asks every frame for its vectors."""
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[271] = "maker"
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(path, exif=exif)
    container, stream = open_video(str(path))
    with container:
        (raw,) = FrameReader(container, stream)
        frame = StreamFrame.of(raw, 0, 0, work_side_px=256, packet_bytes=0)
        assert frame.motion_vectors is None


def test_an_absurd_size_that_a_header_declares_is_the_reason(tmp_path: Path, worker: IsolatedWorker) -> None:
    """FFmpeg refuses 65535 x 65535 by itself, 15000 x 15000 it would make room for."""
    for suffix, layout, sides in (
        ("png", ">II", (65_535, 15_000)),
        ("bmp", "<II", (65_535, 15_000)),
        ("jpg", ">HH", (65_535,)),
    ):
        path = tmp_path / f"a.{suffix}"
        save_image(path, np.zeros((16, 16, 3), np.uint8))
        data = bytearray(path.read_bytes())
        at = {"png": PNG_SIZE_OFFSET, "bmp": 18, "jpg": data.find(b"\xff\xc0") + 5}[suffix]
        for side in sides:
            struct.pack_into(layout, data, at, side, side)
            path.write_bytes(data)
            assert worker.call(reason_of, str(path)) == "too_large", (suffix, side)


def reason_of(path: str) -> str:
    try:
        container, stream = open_video(path)
        with container:
            reader = FrameReader(container, stream)
            if list(reader):
                return "probed"
    except MediaError as error:
        return error.reason
    return refusal(path, reader.num_refused).reason


def test_why_nothing_decodes_is_said_and_not_of_an_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    save_image(path, np.zeros((16, 16, 3), np.uint8))
    whole = path.read_bytes()
    for _ in range(3):  # FFmpeg counts what it repeats
        path.write_bytes(whole[:16] + struct.pack(">II", 65_535, 65_535) + whole[24:])
        assert refusal(str(path), 1).reason == "too_large"
        path.write_bytes(whole[:60])
        error = refusal(str(path), 1)
        assert error.reason == "no_frames"
        assert error.detail.startswith("1 packets refused; ")
        assert "size" not in error.detail


def test_a_size_declared_wrongly_is_read_from_the_pictures(tmp_path: Path, video: Path) -> None:
    data = bytearray(video.read_bytes())
    struct.pack_into(">HH", data, data.index(b"avc1", data.index(b"stsd")) + ENTRY_WIDTH_OFFSET, 65_535, 65_535)
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    container, stream = open_video(str(path))
    with container:
        assert [(frame.width, frame.height) for frame in FrameReader(container, stream)] == [WHOLE] * NUM_FRAMES


@pytest.mark.parametrize(
    ("declared", "believed"), [((2, 1), 2.0), ((1, 4), 0.25), ((2**31 - 1, 3), 1.0), ((1, 999), 1.0)]
)
def test_pixels_are_not_as_long_as_a_header_may_say(tmp_path: Path, declared: tuple[int, int], believed: float) -> None:
    path = tmp_path / "a.mp4"
    times = [Fraction(index, FPS) for index in range(3)]
    pictures = render(draw_scene(3), WIDTH, HEIGHT, 2)
    encode(path, pictures, times, Fraction(FPS), Encoding(sample_aspect_ratio=Fraction(6, 5)))
    data = bytearray(path.read_bytes())
    struct.pack_into(">II", data, data.index(b"pasp") + 4, *declared)
    path.write_bytes(data)
    container, stream = open_video(str(path))
    with container:
        assert header_facts(container, stream)["sample_aspect_ratio"] == believed


def test_a_codec_that_nobody_knows_is_a_reason(tmp_path: Path, video: Path) -> None:
    data = video.read_bytes()
    at = data.index(b"avc1", data.index(b"stsd"))
    path = tmp_path / "a.mp4"
    path.write_bytes(data[:at] + b"zzzz" + data[at + 4 :])
    assert refused(path) == "unknown_codec"


def test_sound_in_a_codec_that_nobody_knows_is_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=FPS)
        picture.width, picture.height, picture.pix_fmt = *WHOLE, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=16_000)
        container.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8))))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
        silence.sample_rate = 16_000
        for stream, frame in ((sound, silence), (sound, None), (picture, None)):
            container.mux(stream.encode(frame))
    for name, codec in ((b"sowt", "pcm_s16le"), (b"zzzz", None)):
        path.write_bytes(path.read_bytes().replace(b"sowt", name))
        container, stream = open_video(str(path))
        with container:
            assert header_facts(container, stream)["audio_codec"] == codec


def test_a_colour_space_that_does_not_exist_is_taken_for_none(tmp_path: Path) -> None:
    picture = next(iter(render(draw_scene(3), WIDTH, HEIGHT, 1)))
    frame = av.VideoFrame.from_ndarray(picture).reformat(format="yuv422p")
    plain = reformatted(frame, format="rgb24").to_ndarray()
    frame.colorspace = 51
    with pytest.raises(av.error.FFmpegError):
        frame.reformat(format="rgb24")
    np.testing.assert_array_equal(reformatted(frame, format="rgb24").to_ndarray(), plain)


def test_frames_of_a_header_that_declares_two_billion_of_them(
    tmp_path: Path, video: Path, worker: IsolatedWorker
) -> None:
    """decord makes room for all at once and aborts the process."""
    data = bytearray(video.read_bytes())
    data[data.index(b"stts") + 12] |= 0x80  # the highest bit of the number of samples that last equally long
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    times_us = [round(1e6 * index / FPS) for index in range(NUM_FRAMES)]
    frames = worker.call(frames_at, str(path), times_us, (0, 0, *WHOLE), WHOLE, WHOLE)
    np.testing.assert_array_equal(frames, frames_at(str(video), times_us, (0, 0, *WHOLE), WHOLE, WHOLE))
