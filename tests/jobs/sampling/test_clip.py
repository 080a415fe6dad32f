"""The clip that is asked for: its shape, what the transformer is asked for, what is given of a source, what is cut."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs.sampling import clip
from jobs.sampling.clip import Settings, Shape, cut_to_shape, encoded_prefix, shape_of
from jobs.sampling.condition import Source
from model.codec.causal import load_autoencoder
from model.codec.loading import load_codec
from model.readers.text_encoder import load_text_encoder
from pipeline.synthetic.render import render
from pipeline.synthetic.world import Scene, Thing
from schemas.errors import UsageError
from tests.jobs.training.runs import run_config

STRIDE = (4, 8, 8)
MOVING = Scene(things=(Thing("circle", "red", direction="right", speed="quickly"),))


def shape(
    size: str | None = None,
    seconds: float | None = None,
    start: Source | None = None,
    is_image: bool = False,
    **changes: Any,
) -> Shape:
    return shape_of(size, seconds, run_config(**changes), start, is_image=is_image)


def source(width: int = 96, height: int = 64, frames: int = 17) -> Source:
    return Source("clip.mp4", width, height, tuple(i * 125_000 for i in range(frames)))


def test_sampled_lengths_cover_what_is_asked_for():
    for num_frames in range(1, 20):
        asked_for = Shape(100, 50, num_frames, 16, STRIDE)
        assert (asked_for.latent_frames - 1) * 4 + 1 >= num_frames
        assert (asked_for.latent_frames - 2) * 4 + 1 < num_frames
        assert asked_for.sampled_size_px == (112, 64)
        assert asked_for.latent_shape == (asked_for.latent_frames, 8, 14)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (96, 64, 9)),
        ({"seconds": 2.0}, (96, 64, 16)),
        ({"seconds": 0.01}, (96, 64, 1)),
        ({"size": "75x50"}, (75, 50, 9)),
        ({"is_image": True}, (96, 64, 1)),
        ({"is_image": True, "seconds": 0.5}, (96, 64, 4)),
    ],
)
def test_size_and_length_are_as_asked_for_or_usual(given, expected):
    found = shape(**given)
    assert (found.width_px, found.height_px, found.num_frames) == expected
    assert found.grid_px == 16


def test_sides_are_multiples_of_the_larger_side_of_a_patch():
    assert shape(train={"model": {"patch": (4, 1, 3)}}).grid_px == 24
    assert shape(train={"model": {"patch": (4, 3, 1)}}).grid_px == 24


def test_latents_are_sampled_by_the_strides_of_the_codec():
    found = shape("200x100", 1.0, stride_thw=(8, 32, 16), fps=24.0)
    assert (found.grid_px, found.latent_frames) == (64, 4)
    assert found.sampled_size_px == (256, 128)
    assert found.latent_shape == (4, 4, 16)


def test_a_source_gives_the_shape_within_the_budget():
    found = shape(start=source(1920, 1080))
    assert (found.width_px, found.height_px) == (112, 64)
    assert shape("32x32", start=source(1920, 1080)).width_px == 32


@pytest.mark.parametrize("size", ["96", "x64", "0x64", "96x064", "96x64x3", "96X64"])
def test_a_size_must_be_two_positive_numbers(size):
    with pytest.raises(UsageError, match=f"--size {size}"):
        shape(size)


def test_a_clip_that_continues_a_source_has_something_to_sample():
    assert shape(seconds=2 / 8, start=source()).latent_frames == 2
    with pytest.raises(UsageError, match="1 frame leaves nothing to sample after clip"):
        shape(seconds=1 / 8, start=source())


def test_a_picture_is_cut_from_the_middle_and_a_clip_from_its_start():
    video = torch.linspace(-1.5, 1.5, 3 * 9 * 16 * 32).view(3, 9, 16, 32)
    frames = cut_to_shape([video[None, :, :5], video[None, :, 5:]], Shape(20, 10, 6, 16, STRIDE))
    assert frames.shape == (6, 10, 20, 3)
    expected = ((video[:, :6, 3:13, 6:26].clamp(-1, 1) + 1) / 2 * 255).round().to(torch.uint8)
    assert np.array_equal(frames, expected.permute(1, 2, 3, 0).numpy())


@pytest.mark.parametrize(("latent_frames", "given"), [(2, 1), (3, 1), (4, 5), (5, 5), (6, 9)])
def test_at_most_half_of_a_clip_is_given(monkeypatch, latent_frames, given):
    """Latents of the source's last frames, whitened, for the first half of the latent frames, rounded down."""
    seen = {}

    def frames(source: Source, size_px: tuple[int, int], fps: float, max_frames: int, stride_t: int) -> np.ndarray:
        seen.update(size_px=size_px, fps=fps, max_frames=max_frames, stride_t=stride_t)
        return render(MOVING, *size_px, max_frames)

    monkeypatch.setattr(clip, "last_frames", frames)
    autoencoder = load_autoencoder()
    asked_for = Shape(40, 30, (latent_frames - 1) * 4 + 1, 16, STRIDE)
    latent = encoded_prefix(load_codec(), source(), asked_for, 8.0)
    assert seen == {"size_px": (48, 32), "fps": 8.0, "max_frames": given, "stride_t": 4}
    pixels = torch.from_numpy(render(MOVING, 48, 32, given)).permute(3, 0, 1, 2)[None] / 255 * 2 - 1
    expected = autoencoder.whiten(autoencoder.encode(pixels))[0]
    torch.testing.assert_close(latent, expected, rtol=1e-3, atol=1e-3)


def frames_of(run_dir: Path, prompt: str = "a red circle", **settings: Any) -> np.ndarray:
    chosen = Settings(**{"steps": 3, "guidance": 2.5, "seed": 5} | settings)
    return clip.sample_frames(run_dir, prompt, run_config(), Shape(75, 50, 5, 16, STRIDE), None, chosen)


def test_the_transformer_is_asked_for_the_prompt_the_shape_and_the_settings(run_dir, asked):
    frames = frames_of(run_dir)
    ((request, settings),) = asked
    expected = torch.from_numpy(load_text_encoder().encode(["a red circle"])[0])
    assert request.text_LE is not None
    torch.testing.assert_close(request.text_LE, expected)
    assert (request.latent_shape, request.latent_fps, request.seed) == ((8, 2, 8, 10), 2.0, 5)
    assert request.prefix_CTHW is None
    assert settings == {"num_steps": 3, "guidance": 2.5}
    autoencoder = load_autoencoder()
    raw = torch.tensor(autoencoder.config.latent_std) + torch.tensor(autoencoder.config.latent_mean)
    video = autoencoder.decode(raw.view(1, 8, 1, 1, 1).expand(1, 8, 2, 8, 10))
    expected = cut_to_shape([video], Shape(75, 50, 5, 16, STRIDE))
    assert frames.shape == expected.shape
    assert np.abs(frames.astype(int) - expected).max() <= 1  # streamed: equal up to rounding


def test_an_empty_prompt_is_no_text(run_dir, asked):
    frames_of(run_dir, prompt="")
    assert asked[0][0].text_LE is None


@pytest.mark.parametrize(
    ("name", "role"), [("autoencoder_fingerprint", "autoencoder"), ("text_encoder_fingerprint", "text encoder")]
)
def test_encoders_other_than_those_of_the_run_are_refused(run_dir, asked, name, role):
    config = run_config(**{name: "0" * 16})
    with pytest.raises(UsageError, match=f"{role} 'builtin' is .*, but the run was trained with {'0' * 16}"):
        clip.sample_frames(run_dir, "", config, Shape(64, 64, 1, 16, STRIDE), None, Settings(1, 1.0, 0))
    assert not asked


@pytest.fixture(scope="module")
def usual_frames(run_dir) -> np.ndarray:
    return frames_of(run_dir)


def test_the_same_settings_give_the_same_sample(run_dir, usual_frames):
    assert np.array_equal(frames_of(run_dir), usual_frames)


@pytest.mark.parametrize(
    "given", [{"steps": 2}, {"guidance": 6.0}, {"seed": 6}, {"prompt": "a blue square moves left"}]
)
def test_the_prompt_and_every_setting_change_the_sample(run_dir, usual_frames, given):
    assert not np.array_equal(frames_of(run_dir, **given), usual_frames)
