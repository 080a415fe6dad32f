"""What a clip is made from: latents of an edited video, a region, a last picture; and long clips by windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.sampling import clip
from jobs.sampling.clip import Model, Settings, plan_of, sample_by_windows
from jobs.sampling.condition import Source, open_source
from jobs.sampling.movie import write_frames
from jobs.sampling.task import Task, encoded, outside, parts_of
from model.codec.loading import load_codec
from model.codec.spec import CodecPlan
from model.codec.video_codec import VideoCodec
from model.diffusion.guidance import Guidance
from pipeline.synthetic.render import render
from pipeline.synthetic.world import Scene, Thing
from schemas.errors import UsageError
from tests.jobs.training.runs import run_config, write_run

MOVING = Scene(things=(Thing("circle", "red", direction="right", speed="quickly"),))
CONFIG = run_config()
SETTINGS = Settings("euler", 2, Guidance(1.0), 5)


@pytest.fixture(scope="module")
def codec() -> VideoCodec:
    return load_codec()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, np.ndarray]:
    """A clip of 2 s at the rate of the run, and its frames."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    write_frames(path, render(MOVING, 64, 48, 17), 8.0)
    return open_source(str(path)), render(MOVING, 64, 48, 17)


def plan(num_frames: int, size: str = "64x48") -> CodecPlan:
    return plan_of(size, num_frames / 8, CONFIG, None, is_image=False)


def test_an_edit_is_of_the_beginning_of_a_video(codec: VideoCodec, video: tuple[Source, np.ndarray]) -> None:
    source, frames = video
    parts = parts_of(Task(source, strength=0.6), codec, plan(9), CONFIG)
    assert (parts.given, parts.frames) == ((), ())
    expected = encoded(codec, frames[:9], plan(9))
    assert parts.source_CTHW is not None
    assert parts.source_CTHW.shape == plan(9).latent_shape
    assert (parts.source_CTHW - expected).abs().mean() < 0.2  # a video loses a little
    other = encoded(codec, frames[8:17], plan(9))
    assert (parts.source_CTHW - other).abs().mean() > 0.3


def test_what_is_outside_a_region_is_given(codec: VideoCodec, video: tuple[Source, np.ndarray]) -> None:
    source, _ = video
    parts = parts_of(Task(source, region_px=(16, 8, 17, 8)), codec, plan(9), CONFIG)
    (part,) = parts.given
    assert parts.source_CTHW is None
    assert part.mask_THW is not None
    free = torch.zeros(1, 6, 8, dtype=torch.bool)
    free[:, 1:2, 2:5] = True
    assert torch.equal(part.mask_THW, ~free)
    assert part.latent_CTHW.shape == plan(9).latent_shape


@pytest.mark.parametrize("region", [(0, 0, 64, 48), (64, 0, 8, 8), (0, 0, 0, 8)])
def test_a_region_is_a_part_of_the_clip(region: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match="not a part of a clip of 64x48"):
        outside(region, plan(9), CONFIG)


def test_a_picture_is_edited_as_a_video_of_it(codec: VideoCodec, tmp_path: Path) -> None:
    frame = render(MOVING, 64, 48, 1)
    write_frames(tmp_path / "still.png", frame, 8.0)
    parts = parts_of(Task(open_source(str(tmp_path / "still.png")), strength=0.5), codec, plan(5), CONFIG)
    assert parts.source_CTHW is not None
    torch.testing.assert_close(parts.source_CTHW, encoded(codec, frame.repeat(5, axis=0), plan(5)), rtol=0, atol=0.05)


def test_a_video_that_is_too_short_to_edit_is_named(codec: VideoCodec, video: tuple[Source, np.ndarray]) -> None:
    with pytest.raises(UsageError, match=r"clip.mp4: 2.00 s are shorter than the 3.12 s to edit; give --seconds"):
        parts_of(Task(video[0], strength=0.5), codec, plan(25), CONFIG)


def test_a_last_picture_stands_at_the_end_and_is_encoded_alone(
    codec: VideoCodec, video: tuple[Source, np.ndarray]
) -> None:
    source, frames = video
    for number in (9, 7):
        (last,) = parts_of(Task(last=source), codec, plan(number), CONFIG).frames
        assert last.seconds == pytest.approx((number - 1) / 8)
        alone = encoded(codec, frames[-1:], plan(1))[:, 0]
        assert (last.latent_CHW - alone).abs().mean() < 0.2


def test_a_run_that_knows_no_last_frames_says_so(tmp_path: Path, video: tuple[Source, np.ndarray]) -> None:
    run = write_run(tmp_path / "run")
    with pytest.raises(UsageError, match="was not trained with last frames"):
        clip.sample_frames(run, "", CONFIG, plan(9), Task(last=video[0]), SETTINGS)


def test_a_long_clip_is_windows_that_continue_one_another(
    tmp_path: Path, codec: VideoCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 17 frames a window continues 5, so that each adds 12."""
    run, asked = write_run(tmp_path / "run"), []
    of_model = Model.frames

    def frames(self: Model, window: CodecPlan, parts: object, settings: Settings) -> np.ndarray:
        asked.append((parts, settings.seed))
        return of_model(self, window, parts, settings)

    monkeypatch.setattr(Model, "frames", frames)
    made = sample_by_windows(run, "", CONFIG, plan(17), 35, Task(), SETTINGS)
    assert made.shape == (35, 48, 64, 3)
    assert [seed for _, seed in asked] == [5, 6, 7]
    assert asked[0][0].given == ()
    for number, (parts, _) in enumerate(asked[1:], 1):
        (part,) = parts.given
        end = 5 + 12 * number
        torch.testing.assert_close(part.latent_CTHW, encoded(codec, made[12 * number : end], plan(17)))
