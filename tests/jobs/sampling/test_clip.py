"""The clip that is asked for: its shape, what the transformer is asked for, what is given of a source, what is cut."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs.sampling import clip, task
from jobs.sampling.clip import Settings, clip_of, plan_of
from jobs.sampling.condition import Source
from jobs.sampling.long import sample_long
from jobs.sampling.task import Task, parts_of
from model.codec.causal import load_autoencoder
from model.codec.loading import load_codec
from model.codec.spec import CodecPlan
from model.diffusion.guidance import Guidance
from model.diffusion.objectives import Objective
from model.diffusion.timesteps import Density
from model.packing.packs import CONDITIONS
from model.readers.text_encoder import load_text_encoder
from model.training.examples import LatentStatistics, Sample, draw_example, pack_examples
from model.training.masks import Masks
from model.transformer.transformer import Transformer
from pipeline.synthetic.render import render
from pipeline.synthetic.world import Scene, Thing
from schemas.errors import UsageError
from tests.jobs.training.runs import SMALL, run_config, write_run

MOVING = Scene(things=(Thing("circle", "red", direction="right", speed="quickly"),))


def plan(
    size: str | None = None,
    seconds: float | None = None,
    start: Source | None = None,
    is_image: bool = False,
    **changes: Any,
) -> CodecPlan:
    return plan_of(size, seconds, run_config(**changes), start, is_image=is_image)


def source(width: int = 96, height: int = 64, frames: int = 17) -> Source:
    return Source("clip.mp4", width, height, tuple(i * 125_000 for i in range(frames)))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (9, 96, 64)),
        ({"seconds": 2.0}, (16, 96, 64)),
        ({"seconds": 0.01}, (1, 96, 64)),
        ({"size": "75x50"}, (9, 75, 50)),
        ({"is_image": True}, (1, 96, 64)),
        ({"is_image": True, "seconds": 0.5}, (4, 96, 64)),
    ],
)
def test_size_and_length_are_as_asked_for_or_usual(given, expected):
    assert plan(**given).valid == expected


def test_what_is_sampled_covers_what_is_asked_for_in_whole_patches():
    assert plan("100x50").encoded == (9, 112, 64)
    assert plan("100x50").latent_shape == (8, 3, 8, 14)
    assert plan("100x50", train={"model": {"patch": (4, 3, 1)}}).latent_shape == (8, 4, 9, 13)


def test_latents_are_sampled_by_the_strides_of_the_codec():
    found = plan("200x100", 1.0, stride_thw=(8, 32, 16), fps=24.0)
    assert found.encoded == (25, 224, 128)
    assert found.latent_shape == (8, 4, 4, 14)


def test_a_source_gives_the_shape_within_the_budget():
    assert plan(start=source(1920, 1080)).valid[1:] == (104, 58)
    assert plan("32x32", start=source(1920, 1080)).valid[1:] == (32, 32)


@pytest.mark.parametrize("size", ["96", "x64", "0x64", "96x064", "96x64x3", "96X64"])
def test_a_size_must_be_two_positive_numbers(size):
    with pytest.raises(UsageError, match=f"--size {size}"):
        plan(size)


def test_a_clip_that_continues_a_source_has_something_to_sample():
    assert plan(seconds=2 / 8, start=source()).latent_shape[1] == 2
    with pytest.raises(UsageError, match="1 frame leaves nothing to sample after clip"):
        plan(seconds=1 / 8, start=source())


def test_a_clip_is_the_start_and_the_upper_left_of_what_is_sampled():
    video = torch.linspace(-1.5, 1.5, 3 * 9 * 16 * 32).view(3, 9, 16, 32)
    asked_for = plan("20x10", 6 / 8)
    frames = clip_of([video[None, :, :5], video[None, :, 5:]], asked_for)
    assert frames.shape == (6, 10, 20, 3)
    expected = ((video[:, :6, :10, :20].clamp(-1, 1) + 1) / 2 * 255).round().to(torch.uint8)
    assert np.array_equal(frames, expected.permute(1, 2, 3, 0).numpy())


@pytest.mark.parametrize(("latent_frames", "given"), [(2, 1), (3, 1), (4, 5), (5, 5), (6, 9)])
def test_at_most_half_of_a_clip_is_given(monkeypatch, latent_frames, given):
    """Latents of the source's last frames, whitened, for the first half of the latent frames, rounded down."""
    seen = {}

    def frames(source: Source, size_px: tuple[int, int], fps: float, max_frames: int, stride_t: int) -> np.ndarray:
        seen.update(size_px=size_px, fps=fps, max_frames=max_frames, stride_t=stride_t)
        return render(MOVING, *size_px, max_frames)

    monkeypatch.setattr(task, "last_frames", frames)
    autoencoder = load_autoencoder()
    asked_for = plan("40x30", ((latent_frames - 1) * 4 + 1) / 8)
    parts = parts_of(Task(source()), load_codec(), asked_for, run_config())
    assert (parts.frames, parts.source_CTHW) == ((), None)
    (part,) = parts.given
    assert (part.start, part.mask_THW) == (0, None)
    latent = part.latent_CTHW
    assert seen == {"size_px": (40, 30), "fps": 8.0, "max_frames": given, "stride_t": 4}
    frames_of_source = np.pad(render(MOVING, 40, 30, given), ((0, 0), (0, 2), (0, 8), (0, 0)), mode="edge")
    pixels = torch.from_numpy(frames_of_source).permute(3, 0, 1, 2)[None] / 255 * 2 - 1
    expected = autoencoder.whiten(autoencoder.encode(pixels))[0]
    torch.testing.assert_close(latent, expected, rtol=1e-3, atol=1e-3)


def frames_of(run_dir: Path, prompt: str = "a red circle", **settings: Any) -> np.ndarray:
    chosen = Settings(**{"sampler": "heun", "steps": 3, "guidance": Guidance(2.5), "seed": 5} | settings)
    return clip.sample_frames(run_dir, prompt, run_config(), plan("75x50", 5 / 8), Task(), chosen)


def test_the_transformer_is_asked_for_the_prompt_the_shape_and_the_settings(run_dir, asked):
    frames = frames_of(run_dir, spacing="diffusers")
    ((request, settings),) = asked
    expected = torch.from_numpy(load_text_encoder().encode(["a red circle"])[0])
    assert request.text_LE is not None
    torch.testing.assert_close(request.text_LE, expected)
    assert (request.latent_shape, request.latent_fps, request.seed) == ((8, 2, 8, 10), 2.0, 5)
    assert request.given == ()
    assert settings == {
        "sampler": "heun",
        "num_steps": 3,
        "guidance": Guidance(2.5),
        "strength": 1.0,
        "spacing": "diffusers",
    }
    autoencoder = load_autoencoder()
    raw = torch.tensor(autoencoder.config.latent_std) + torch.tensor(autoencoder.config.latent_mean)
    video = autoencoder.decode(raw.view(1, 8, 1, 1, 1).expand(1, 8, 2, 8, 10))
    expected = clip_of([video], plan("75x50", 5 / 8))
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
        clip.sample_frames(
            run_dir, "", config, plan("64x64", is_image=True), Task(), Settings("euler", 1, Guidance(1.0), 0)
        )
    assert not asked


@pytest.fixture(scope="module")
def usual_frames(run_dir) -> np.ndarray:
    return frames_of(run_dir)


def test_the_same_settings_give_the_same_sample(run_dir, usual_frames):
    assert np.array_equal(frames_of(run_dir), usual_frames)


@pytest.mark.parametrize(
    "given", [{"steps": 2}, {"guidance": Guidance(6.0)}, {"seed": 6}, {"prompt": "a blue square moves left"}]
)
def test_the_prompt_and_every_setting_change_the_sample(run_dir, usual_frames, given):
    assert not np.array_equal(frames_of(run_dir, **given), usual_frames)


def test_the_codec_runs_in_the_precision_of_the_latents(tmp_path: Path) -> None:
    frames = {}
    for dtype in ("float32", "bfloat16"):
        run = write_run(tmp_path / dtype, codec_dtype=dtype)
        config = run_config(codec_dtype=dtype)
        asked_for = plan_of("32x32", 4 / 8, config, source(32, 32), is_image=False)
        frames[dtype] = clip.sample_frames(
            run, "", config, asked_for, Task(), Settings("euler", 2, Guidance(1.0), 0)
        ).astype(int)
    difference = np.abs(frames["float32"] - frames["bfloat16"])
    assert 0 < difference.mean() < 5


@pytest.fixture(scope="module")
def told_run(tmp_path_factory) -> Path:
    """A run that was trained with motion."""
    return write_run(tmp_path_factory.mktemp("told"), replace(SMALL, conditions=("motion", "duration")))


def test_motion_is_told_where_it_is_asked_for_and_unknown_otherwise(told_run: Path) -> None:
    slow, fast, still, unknown = (frames_of(told_run, motion_px_s=motion) for motion in (2.0, 40.0, 0.0, None))
    for one, other in combinations((slow, fast, still, unknown), 2):
        assert not np.array_equal(one, other)


def test_motion_is_told_in_every_window(told_run: Path) -> None:
    settings = {motion: Settings("euler", 2, Guidance(1.0), 0, motion) for motion in (2.0, 40.0)}
    first, second = (
        sample_long(told_run, "", run_config(), plan("32x32", 9 / 8), 13, Task(), chosen, "recent")
        for chosen in settings.values()
    )
    assert not np.array_equal(first[:9], second[:9])
    assert not np.array_equal(first[9:], second[9:])


def test_motion_is_refused_by_a_model_that_was_not_trained_with_it(run_dir: Path, asked) -> None:
    for sampled in (
        lambda: frames_of(run_dir, motion_px_s=2.0),
        lambda: sample_long(
            run_dir, "", run_config(), plan(), 17, Task(), Settings("euler", 2, Guidance(1.0), 0, 2.0), "recent"
        ),
    ):
        with pytest.raises(UsageError, match=r"^--motion: run .* was not trained with it \(train.model.conditions\)$"):
            sampled()
    assert not asked


def test_what_follows_from_the_shape_is_told_as_in_training(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and columns of patches, latent frames a second and seconds of the sampled clip, with its padding."""
    seen = []
    real = Transformer.forward
    monkeypatch.setattr(Transformer, "forward", lambda self, pack: seen.append(pack.conditions_BK) or real(self, pack))
    frames_of(run_dir, guidance=Guidance(1.0), steps=1)
    told = dict(zip(CONDITIONS, seen[0][0].tolist(), strict=True))
    expected = {"height": 4.0, "width": 5.0, "frame_rate": 2.0, "duration": 1.0}
    assert {name: told[name] for name in expected} == expected
    latent = Sample("a", np.zeros((8, 2, 8, 10), np.float16), [], 2.0)
    statistics = LatentStatistics((0.0,) * 8, (1.0,) * 8)
    settings = {"patch": (1, 2, 2), "seed": 0, "epoch": 0, "text_drop": 0.0, "masks": Masks(0.5, 0.5)}
    pack, _ = pack_examples([draw_example(latent, statistics, Objective(), Density(), **settings)], (1, 2, 2), 128)
    trained = dict(zip(CONDITIONS, pack.conditions_BK[0].tolist(), strict=True))
    assert {name: trained[name] for name in expected} == expected
