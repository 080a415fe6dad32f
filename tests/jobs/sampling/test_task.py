"""What a clip is made from: latents of an edited video, a region, a last picture, a beginning and an end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.sampling import clip
from jobs.sampling.clip import Settings, plan_of
from jobs.sampling.condition import Source, frames_of, open_source
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
    with pytest.raises(UsageError, match=r"clip.mp4: 2.00 s are shorter than the 3.12 s of the clip; give --seconds"):
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


def latents_of(codec: VideoCodec, frames: np.ndarray, size: str = "64x48") -> torch.Tensor:
    return encoded(codec, frames, plan(len(frames), size))


def test_a_clip_that_leads_up_to_a_video_ends_with_its_beginning(
    codec: VideoCodec, video: tuple[Source, np.ndarray]
) -> None:
    """Of 5 latent frames the last two: 8 frames of the video, after a still of its first."""
    source, frames = video
    (part,) = parts_of(Task(source, backwards=True), codec, plan(17), CONFIG).given
    assert (part.start, part.mask_THW, part.shown) == (3, None, "noisy")
    expected = latents_of(codec, np.concatenate([frames[:1].repeat(9, axis=0), frames[:8]]))[:, 3:]
    assert part.latent_CTHW.shape == expected.shape
    assert (part.latent_CTHW - expected).abs().mean() < 0.2


@pytest.mark.parametrize(("num_frames", "start", "shown"), [(17, 3, 8), (15, 3, 6), (9, 2, 4), (5, 1, 4)])
def test_the_end_of_a_clip_is_where_it_is_cut(
    codec: VideoCodec, video: tuple[Source, np.ndarray], num_frames: int, start: int, shown: int
) -> None:
    source, frames = video
    (part,) = parts_of(Task(source, backwards=True), codec, plan(num_frames), CONFIG).given
    assert part.start == start
    still = frames[:1].repeat(num_frames - shown, axis=0)
    expected = encoded(codec, np.concatenate([still, frames[:shown]]), plan(num_frames))[:, start:]
    assert (part.latent_CTHW - expected).abs().mean() < 0.2


def test_a_short_video_or_a_picture_is_as_much_of_the_end_as_there_is(codec: VideoCodec, tmp_path: Path) -> None:
    for number, name in ((5, "short.mp4"), (1, "still.png")):
        write_frames(tmp_path / name, render(MOVING, 64, 48, number), 8.0)
        task = Task(open_source(str(tmp_path / name)), backwards=True)
        (part,) = parts_of(task, codec, plan(17), CONFIG).given
        assert part.start == 4
        assert part.end == 5


def test_a_blend_begins_as_one_video_and_ends_as_the_other(codec: VideoCodec, video: tuple[Source, np.ndarray]) -> None:
    """Of 5 latent frames the first and the last, encoded as those of the first and the last 17 frames."""
    source, frames = video
    parts = parts_of(Task(source, blend=source), codec, plan(17), CONFIG)
    assert (parts.frames, parts.source_CTHW) == ((), None)
    beginning, ending = parts.given
    assert (beginning.start, beginning.shown, ending.start, ending.shown) == (0, "clean", 4, "noisy")
    whole = latents_of(codec, frames)
    assert (beginning.latent_CTHW - whole[:, :1]).abs().mean() < 0.2
    assert (ending.latent_CTHW - whole[:, 4:]).abs().mean() < 0.2


def test_a_blend_of_some_strength_starts_from_where_one_video_fades_into_the_other(
    codec: VideoCodec, tmp_path: Path
) -> None:
    stills = []
    for colour in ("red", "blue"):
        write_frames(tmp_path / f"{colour}.png", render(Scene((Thing("circle", colour),)), 64, 48, 1), 8.0)
        stills.append(open_source(str(tmp_path / f"{colour}.png")))
    red, blue = (encoded(codec, _still(source), plan(13)) for source in stills)
    parts = parts_of(Task(stills[0], strength=0.6, blend=stills[1]), codec, plan(13), CONFIG)
    assert parts.source_CTHW is not None
    expected = torch.stack([red[:, 0], (2 * red + blue)[:, 1] / 3, (red + 2 * blue)[:, 2] / 3, blue[:, 3]], dim=1)
    torch.testing.assert_close(parts.source_CTHW, expected, rtol=0, atol=0.05)
    assert [part.latent_CTHW.shape[1] for part in parts.given] == [1, 1]


def _still(source: Source) -> np.ndarray:
    return frames_of(source, (64, 48), 8.0, 13)


def test_the_end_of_a_blend_is_the_end_of_the_second_video(codec: VideoCodec, video: tuple[Source, np.ndarray]) -> None:
    source, frames = video
    _, ending = parts_of(Task(source, blend=source), codec, plan(9), CONFIG).given
    expected = latents_of(codec, frames[8:])[:, 2:]
    other = latents_of(codec, frames[:9])[:, 2:]
    assert (ending.latent_CTHW - expected).abs().mean() < 0.2 < (ending.latent_CTHW - other).abs().mean()


def test_a_blend_needs_room_and_videos_that_are_long_enough(
    codec: VideoCodec, video: tuple[Source, np.ndarray]
) -> None:
    task = Task(video[0], blend=video[0])
    with pytest.raises(UsageError, match="5 frames leave nothing between"):
        parts_of(task, codec, plan(5), CONFIG)
    with pytest.raises(UsageError, match=r"2.00 s are shorter than the 3.12 s of the clip; give --seconds"):
        parts_of(task, codec, plan(25), CONFIG)
