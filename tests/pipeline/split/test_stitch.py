"""Jump cuts within a synthetic scene are stitched, cuts between scenes are not."""

from __future__ import annotations

import av
import numpy as np
import pytest

from pipeline.split.detectors.detector import Transition
from pipeline.split.stitch import stitched
from pipeline.synthetic.render import render
from pipeline.synthetic.world import draw_scene
from schemas.recipe.split import SplitConfig

SIZE = (128, 96)
FPS = 10


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Transition], list[int]]:
    """A scene with frames left out, another scene after a cut, a dissolve's place, and that scene again."""
    first, second = (render(draw_scene(seed), *SIZE, 40) for seed in (11, 12))
    pictures = np.concatenate([first[:12], first[18:30], second[:12], second[12:24]])
    path = tmp_path_factory.mktemp("stitching") / "jump.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "15"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    transitions = [Transition(12, 12), Transition(24, 24), Transition(34, 38)]
    return str(path), transitions, [i * 1_000_000 // FPS for i in range(len(pictures))]


def test_only_hard_cuts_between_look_alikes_go(video: tuple[str, list[Transition], list[int]]) -> None:
    path, transitions, times_us = video
    left = stitched(path, transitions, times_us, SIZE, SplitConfig(stitch_distance=0.6))
    assert left == [Transition(24, 24), Transition(34, 38)]


def test_a_distance_that_all_exceed_keeps_every_cut(video: tuple[str, list[Transition], list[int]]) -> None:
    path, transitions, times_us = video
    assert stitched(path, transitions, times_us, SIZE, SplitConfig(stitch_distance=1e-6)) == transitions


def test_shots_of_one_frame_are_compared_at_that_frame(video: tuple[str, list[Transition], list[int]]) -> None:
    path, _, times_us = video
    cuts = [Transition(12, 12), Transition(13, 13)]
    assert stitched(path, cuts, times_us, SIZE, SplitConfig(stitch_distance=0.6)) == []
