"""Codec vectors: cosmos-curate's published scores, its definition pixel by pixel, and streams that have none."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.codec.context import Flags2

from pipeline.decode.frame import Span, StreamFrame
from pipeline.measure.stream.motion_vectors import VectorMotion, cell_motion, cell_shares, patch_samples
from pipeline.synthetic.camera_moves import CameraMove, draw_texture, render
from pipeline.synthetic.encode import Encoding, encode

FOLDER = Path(__file__).parents[5] / "shared" / "videos"
VECTOR = np.dtype(
    {
        "names": ["w", "h", "dst_x", "dst_y", "motion_x", "motion_y", "motion_scale"],
        "formats": ["u1", "u1", "<i2", "<i2", "<i4", "<i4", "<u2"],
    }
)


def read(path: Path) -> VectorMotion:
    motion = VectorMotion()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.flags2 |= Flags2.export_mvs
        for index, raw in enumerate(container.decode(stream)):
            assert raw.time is not None
            motion.push(StreamFrame.of(raw, index, round(raw.time * 1e6)))
    return motion


def span(first: int, last: int) -> Span:
    return Span(0, first, last, 0, 0)


def pan(path: Path, codec: str = "libx264", speed_frac: float = 0.1, options: tuple = ()) -> Path:
    move = CameraMove("pan left", speed_frac, fps=25.0, duration_s=2.0)
    times_s = [Fraction(index, 25) for index in range(move.num_frames + 1)]
    frames = render(draw_texture("clouds", 960, 720), move, 320, 288)
    encode(path, frames, times_s, Fraction(25), Encoding(suffix=path.suffix, codec=codec, options=options))
    return path


def drawn_vectors(seed: int, width: int, height: int) -> np.ndarray:
    """Blocks of all sizes on their grid, some over each other and some over the edge."""
    rng = np.random.default_rng(seed)
    sizes = np.array([(8, 8), (16, 16), (16, 8), (8, 16)])[rng.integers(0, 4, 400)]
    vectors = np.zeros(400, VECTOR)
    vectors["w"], vectors["h"] = sizes.T
    vectors["dst_x"] = rng.integers(0, width // 8 + 1, 400) * 8 + sizes[:, 0] // 2
    vectors["dst_y"] = rng.integers(0, height // 8 + 1, 400) * 8 + sizes[:, 1] // 2
    vectors["motion_x"], vectors["motion_y"] = rng.integers(-60, 60, (2, 400))
    vectors["motion_scale"] = 4
    return vectors


def painted(vectors: np.ndarray, width: int, height: int) -> np.ndarray:
    """The definition as it stands: each pixel takes the last vector over it, blocks sorted by size."""
    length = np.zeros((height, width))
    for size in ((8, 8), (16, 16), (16, 8), (8, 16)):
        for vector in vectors[(vectors["w"] == size[0]) & (vectors["h"] == size[1])]:
            left, top = int(vector["dst_x"]) - size[0] // 2, int(vector["dst_y"]) - size[1] // 2
            pixels = slice(max(top, 0), top + size[1]), slice(max(left, 0), left + size[0])
            length[pixels] = np.hypot(vector["motion_x"], vector["motion_y"]) / 4 / (width + height)
    return length


@pytest.mark.skipif(not (FOLDER / "peers_expected.json").is_file(), reason=f"no videos in {FOLDER}")
def test_the_peers_published_scores() -> None:
    """They read the first half of the file, of which frames 12 to 120 carry vectors; we read the rest too."""
    entries = json.loads((FOLDER / "peers_expected.json").read_text())["entries"]
    expected = next(entry for entry in entries if entry["op"].startswith("MotionVector"))["expected"]
    motion = read(FOLDER / "dev14_sintel_10s_subclip.mp4")
    first_half, whole = motion.scores(span(0, 121)), motion.scores(span(0, 240))
    tolerance = expected["tolerance"]
    assert first_half["vector_motion"] == pytest.approx(expected["motion_score_global_mean"], abs=tolerance)
    assert first_half["vector_motion_patch_min"] == pytest.approx(
        expected["motion_score_per_patch_min_256"], abs=tolerance
    )
    assert whole["vector_motion"] == pytest.approx(0.001540, abs=tolerance)


@pytest.mark.parametrize(("width", "height"), [(640, 384), (520, 280), (854, 480)])
def test_cells_and_patches_are_those_of_the_painted_picture(width: int, height: int) -> None:
    vectors = drawn_vectors(width, width, height)
    cells, pixels = cell_motion(vectors, width, height), painted(vectors, width, height)
    inside = (slice(0, height // 8 - 1), slice(0, width // 8 - 1))  # what lies over the edge is pressed onto it
    np.testing.assert_allclose(cells[inside], pixels[4::8, 4::8][inside], rtol=1e-5)
    assert (cells * cell_shares(width, height)).sum() == pytest.approx(pixels.mean(), rel=0.05)
    resized = cv2.resize(pixels, None, fx=1 / 256, fy=1 / 256)
    np.testing.assert_allclose(patch_samples(cells, width, height), resized.ravel(), rtol=1e-5)


def test_shares_add_up_to_the_frame() -> None:
    assert cell_shares(854, 478).shape == (60, 107)
    assert cell_shares(854, 478).sum() == pytest.approx(1.0)


def test_a_pan_is_as_long_as_it_was_drawn(tmp_path: Path) -> None:
    scores = read(pan(tmp_path / "pan.mp4", options=(("bf", "0"), ("refs", "1")))).scores(span(0, 50))
    expected = 0.1 * 320 / 25 / (320 + 288)
    assert scores["vector_motion"] == pytest.approx(expected, rel=0.2)
    assert scores["vector_motion_patch_min"] == pytest.approx(expected, rel=0.3)


def test_a_still_stream_does_not_move(tmp_path: Path) -> None:
    assert read(pan(tmp_path / "still.mp4", speed_frac=0.0)).scores(span(0, 50))["vector_motion"] == 0.0


@pytest.mark.parametrize(
    ("file", "codec", "options"),
    [("vp9.webm", "libvpx-vp9", ()), ("hevc.mp4", "libx265", ()), ("intra.mp4", "libx264", (("g", "1"),))],
)
def test_streams_without_vectors_give_null(tmp_path: Path, file: str, codec: str, options: tuple) -> None:
    scores = read(pan(tmp_path / file, codec, options=options)).scores(span(0, 50))
    assert scores == {"vector_motion": None, "vector_motion_patch_min": None}


def test_a_frame_smaller_than_a_patch_has_a_mean_and_no_patches() -> None:
    assert patch_samples(np.ones((20, 60), np.float32), 480, 160).size == 0


def test_a_span_without_a_sampled_frame_gives_null(tmp_path: Path) -> None:
    motion = read(pan(tmp_path / "pan.mp4"))
    assert motion.scores(span(1, 9))["vector_motion"] is None
    assert motion.scores(span(1, 14))["vector_motion"] is not None
