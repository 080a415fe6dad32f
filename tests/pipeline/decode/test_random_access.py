"""Frames read at given times, through decord or without it, are those that PyAV decodes in one pass."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.decode.random_access import frames_at
from pipeline.decode.reader import FrameReader, open_video
from pipeline.synthetic.encode import Encoding, encode
from pipeline.synthetic.render import render
from pipeline.synthetic.world import draw_scene
from tests.bench.fuzz_seeds import FOREIGN, make_seeds

NUM_FRAMES, FPS = 12, 12
MAX_CONVERSION_ERROR = 3.0
"""Levels of 255 by which decord's and swscale's ways to RGB may differ on average, where chroma is subsampled."""


@pytest.mark.parametrize(("suffix", "rotation_deg_ccw"), [(".mp4", 0), (".mp4", -90), (".mkv", 0)])
@pytest.mark.parametrize("width", [32, 48, 96, 100, 144, 160, 192])
def test_random_access_equals_one_pass(tmp_path: Path, width: int, suffix: str, rotation_deg_ccw: int) -> None:
    path, height = tmp_path / f"a{suffix}", 64
    times = [Fraction(index, FPS) for index in range(NUM_FRAMES + 1)]
    drawn = render(draw_scene(3), width, height, NUM_FRAMES)
    encode(path, drawn, times, Fraction(FPS), Encoding(suffix, rotation_deg_ccw=rotation_deg_ccw))
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    wanted = [7, 2, 2, 11]
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


def test_random_access_leaves_matrix_products_to_torch() -> None:
    """decord would load NVIDIA's libraries for the whole process, and one of them takes CPU products over."""
    load = "from pipeline.decode.random_access import _load_decord; _load_decord()"
    code = f"{load}; import torch; x = torch.ones(64, 64); x @ x"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
