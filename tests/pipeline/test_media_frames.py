"""Frames read at given times through decord are those that PyAV decodes in one pass."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.drawn.encode import Encoding, encode
from pipeline.drawn.render import render
from pipeline.drawn.world import draw_scene
from pipeline.frames import frames_at

NUM_FRAMES, FPS = 12, 12


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
