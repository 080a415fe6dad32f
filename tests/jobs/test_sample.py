"""Sampling from a run: exactly the size and length asked for, prefixes kept, bad usage in one line with exit 2."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from jobs import sample as command
from jobs.cli import run_job
from jobs.sampling import clip
from jobs.sampling.clip import Settings, Shape, cut_to_shape, encoded_prefix, shape_of
from jobs.sampling.condition import Source, centre_box, last_frames, open_source
from jobs.sampling.movie import write_frames
from model.codec.causal import load_autoencoder
from model.diffusion.sampling import Request
from model.readers.text_encoder import load_text_encoder
from pipeline.synthetic.render import render
from pipeline.synthetic.world import Scene, Thing
from schemas.errors import UsageError
from schemas.recipe.expand import ExpandConfig
from tests.jobs.training.runs import SMALL, run_config, write_run

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
        asked_for = Shape(100, 50, num_frames, grid_px=16)
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
    frames = cut_to_shape(video, Shape(20, 10, 6, grid_px=16))
    assert frames.shape == (6, 10, 20, 3)
    expected = ((video[:, :6, 3:13, 6:26].clamp(-1, 1) + 1) / 2 * 255).round().to(torch.uint8)
    assert np.array_equal(frames, expected.permute(1, 2, 3, 0).numpy())


@pytest.mark.parametrize(("latent_frames", "given"), [(2, 1), (3, 1), (4, 5), (5, 5), (6, 9)])
def test_at_most_half_of_a_clip_is_given(monkeypatch, latent_frames, given):
    """Latents of the source's last frames, whitened, for the first half of the latent frames, rounded down."""
    seen = {}

    def frames(source: Source, size_px: tuple[int, int], fps: float, max_frames: int) -> np.ndarray:
        seen.update(size_px=size_px, fps=fps, max_frames=max_frames)
        return render(MOVING, *size_px, max_frames)

    monkeypatch.setattr(clip, "last_frames", frames)
    autoencoder = load_autoencoder()
    asked_for = Shape(40, 30, (latent_frames - 1) * 4 + 1, grid_px=16)
    latent = encoded_prefix(autoencoder, source(), asked_for, 8.0)
    assert seen == {"size_px": (48, 32), "fps": 8.0, "max_frames": given}
    pixels = torch.from_numpy(render(MOVING, 48, 32, given)).permute(3, 0, 1, 2)[None] / 255 * 2 - 1
    expected = autoencoder.whiten(autoencoder.encode(pixels))[0]
    torch.testing.assert_close(latent, expected, rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def asked(monkeypatch) -> list[tuple[Request, dict[str, Any]]]:
    """What the transformer is asked for; it answers with ones."""
    requests = []

    def sample_latent(transformer, request: Request, **settings: Any) -> torch.Tensor:
        assert transformer.config == SMALL
        requests.append((request, settings))
        return torch.ones(request.latent_shape)

    monkeypatch.setattr(clip, "sample_latent", sample_latent)
    return requests


def frames_of(run_dir: Path, prompt: str = "a red circle", **settings: Any) -> np.ndarray:
    chosen = Settings(**{"steps": 3, "guidance": 2.5, "seed": 5} | settings)
    return clip.sample_frames(run_dir, prompt, run_config(), Shape(75, 50, 5, grid_px=16), None, chosen)


def test_the_transformer_is_asked_for_the_prompt_the_shape_and_the_settings(run_dir, asked):
    frames = frames_of(run_dir)
    ((request, settings),) = asked
    expected = torch.from_numpy(load_text_encoder().encode(["a red circle"])[0])
    assert request.text_LE is not None
    torch.testing.assert_close(request.text_LE, expected)
    assert (request.latent_shape, request.latent_fps, request.seed) == ((16, 2, 8, 10), 2.0, 5)
    assert request.prefix_CTHW is None
    assert settings == {"num_steps": 3, "guidance": 2.5}
    autoencoder = load_autoencoder()
    raw = torch.tensor(autoencoder.config.latent_std) + torch.tensor(autoencoder.config.latent_mean)
    video = autoencoder.decode(raw.view(1, 16, 1, 1, 1).expand(1, 16, 2, 8, 10))[0]
    assert np.array_equal(frames, cut_to_shape(video, Shape(75, 50, 5, grid_px=16)))


def test_an_empty_prompt_is_no_text(run_dir, asked):
    frames_of(run_dir, prompt="")
    assert asked[0][0].text_LE is None


@pytest.mark.parametrize("given", [{"steps": 2}, {"guidance": 6.0}, {"seed": 6}])
def test_every_setting_changes_the_sample(run_dir, given):
    assert not np.array_equal(frames_of(run_dir), frames_of(run_dir, **given))
    assert np.array_equal(frames_of(run_dir, **given), frames_of(run_dir, **given))


def test_another_prompt_changes_the_sample(run_dir):
    assert not np.array_equal(frames_of(run_dir), frames_of(run_dir, prompt="a blue square moves left"))


def sample(run_dir: Path, *arguments: object) -> int:
    return run_job("sample", [str(run_dir), "a red circle", "--steps", "2", *map(str, arguments)])


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def video_facts(path: Path) -> tuple[int, int, int, float, str]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return frames[0].shape[1], frames[0].shape[0], len(frames), float(stream.average_rate), stream.codec.name


@pytest.mark.parametrize(
    ("size", "seconds", "expected"),
    [("96x64", 1.0, (96, 64, 8)), ("64x112", 2.0, (64, 112, 16)), ("75x50", 0.6, (75, 50, 5))],
)
def test_a_clip_has_the_size_and_length_asked_for(run_dir, tmp_path, size, seconds, expected):
    path = tmp_path / "clip.mp4"
    assert sample(run_dir, "--size", size, "--seconds", seconds, "-o", path) == 0
    assert video_facts(path) == (*expected, 8.0, "h264")
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_png_is_one_frame_of_the_usual_size(run_dir, tmp_path):
    assert sample(run_dir, "-o", tmp_path / "still.png") == 0
    assert picture(tmp_path / "still.png").shape == (64, 96, 3)


def test_a_clip_starts_with_the_picture_that_it_is_given(run_dir, tmp_path):
    given = render(MOVING, 96, 64, 1)[0]
    Image.fromarray(given).save(tmp_path / "first.png")
    assert sample(run_dir, "--image", tmp_path / "first.png", "--seconds", "1", "-o", tmp_path / "clip.mp4") == 0
    with av.open(str(tmp_path / "clip.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(float) for frame in container.decode(video=0)]
    differences = [np.abs(frame - given).mean() for frame in frames]
    assert differences[0] < 15  # what the autoencoder and the codec lose
    assert differences[-1] > 2 * differences[0]


def test_a_clip_goes_on_from_the_end_of_a_video(run_dir, tmp_path):
    truth = render(MOVING, 96, 64, 17)
    write_frames(tmp_path / "before.mp4", truth, 8.0)
    assert sample(run_dir, "--video", tmp_path / "before.mp4", "--seconds", "2", "-o", tmp_path / "after.mp4") == 0
    with av.open(str(tmp_path / "after.mp4")) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(float)
    differences = [np.abs(first - frame).mean() for frame in truth]
    assert int(np.argmin(differences)) == 17 - 5  # the last five frames were given


def test_a_source_is_cut_to_the_shape_and_timed_at_the_rate(tmp_path):
    truth = render(MOVING, 96, 64, 25)
    write_frames(tmp_path / "clip.mp4", truth, 24.0)
    source = open_source(str(tmp_path / "clip.mp4"))
    assert centre_box(source, (32, 64)) == (32, 0, 32, 64)
    frames = last_frames(source, (96, 64), fps=8.0, max_frames=9)
    assert frames.shape == (9, 64, 96, 3)
    for frame, index in zip(frames, range(0, 25, 3), strict=True):
        assert np.abs(frame.astype(float) - truth[index]).mean() < 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "96", "-o", "clip.mp4"], "--size 96"),
        (["--seconds", "0", "-o", "clip.mp4"], "--seconds 0"),
        (["-o", "clip.avi"], "-o clip.avi"),
        (["--seconds", "2", "-o", "clip.png"], "a png has one frame"),
        (["--image", "nowhere.png", "-o", "clip.mp4"], "nowhere.png"),
        (["--image", "a", "--video", "b", "-o", "clip.mp4"], "give one of them"),
        (["--steps", "0", "-o", "clip.mp4"], "--steps 0"),
    ],
)
def test_bad_usage_is_one_line_and_writes_nothing(run_dir, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert sample(run_dir, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_run_is_named(tmp_path, capsys):
    assert sample(tmp_path, "-o", tmp_path / "clip.mp4") == 2
    assert "no readable config.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"autoencoder_fingerprint": "0" * 16}, "autoencoder 'builtin' is "),
        ({"text_encoder_fingerprint": "0" * 16}, "text encoder 'builtin' is "),
        ({"autoencoder": "/nowhere"}, "/nowhere holds no checkpoint"),
        ({"text_encoder": "/nowhere"}, "/nowhere"),
    ],
)
def test_encoders_must_be_there_and_those_of_the_run(run_dir, tmp_path, capsys, changes, message):
    values = json.loads((run_dir / "config.json").read_text()) | changes
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert sample(tmp_path, "-o", tmp_path / "clip.mp4") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_run_without_a_checkpoint_is_named(run_dir, tmp_path, capsys):
    (tmp_path / "config.json").write_text((run_dir / "config.json").read_text())
    assert sample(tmp_path, "-o", tmp_path / "clip.mp4") == 2
    assert f"{tmp_path} has no checkpoint: train it first" in capsys.readouterr().err


def test_the_summary_says_what_was_made(run_dir, tmp_path, capsys):
    assert sample(run_dir, "--size", "75x50", "--seconds", "0.6", "-o", tmp_path / "clip.mp4") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'clip.mp4'}: 75x50, 5 frames at 8 a second\n"
    assert sample(run_dir, "--json", "-o", tmp_path / "still.png") == 0
    summary = json.loads(capsys.readouterr().out)
    assert 0 < summary.pop("seconds") < 100
    expected = {"output": str(tmp_path / "still.png"), "prompt": "a red circle", "width": 96, "height": 64}
    assert summary == expected | {"frames": 1, "fps": 8.0}


def test_a_prompt_can_be_expanded_in_the_words_of_the_release(encoded_dataset, tmp_path, capsys, monkeypatch, asked):
    def expanded(prompt: str, config: ExpandConfig, captions: list[str], seed: int) -> str:
        return f"{prompt}, {config.max_new_tokens}, {len(captions)}, {seed}"

    monkeypatch.setattr(command, "expanded", expanded)
    run_dir = write_run(tmp_path / "run", dataset=encoded_dataset.location)
    assert sample(run_dir, "--expand", "--seed", "3", "-o", tmp_path / "still.png") == 0
    text = f"a red circle, {ExpandConfig().max_new_tokens}, 12, 3"
    assert capsys.readouterr().out.startswith(f"{text}\n")
    expected = torch.from_numpy(load_text_encoder().encode([text])[0])
    torch.testing.assert_close(asked[0][0].text_LE, expected)
    assert sample(run_dir, "--expand", "--set", "nosuch=1", "-o", tmp_path / "clip.mp4") == 2
    assert "recipe drawn: unknown key nosuch" in capsys.readouterr().err
