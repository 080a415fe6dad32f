"""Sampling from a run: exactly the size and length asked for, prefixes kept, bad usage in one line with exit 2."""

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from jobs.cli import run_job
from jobs.sampling.clip import Shape
from jobs.sampling.condition import centre_box, last_frames, open_source
from jobs.sampling.movie import write_frames
from jobs.training.run import prepare
from jobs.training.run_config import read_run_config, write_run_config
from jobs.training.samples import load_samples
from model.training.examples import LatentStatistics
from model.training.loop import fit
from pipeline.release import releases
from pipeline.synthetic.render import render
from pipeline.synthetic.world import Scene, Thing
from schemas.errors import UsageError
from schemas.recipe import decode_recipe
from schemas.recipe.train import TextMix

MOVING = Scene(things=(Thing("circle", "red", direction="right", speed="quickly"),))


@pytest.fixture(scope="module")
def run_dir(encoded_dataset, tmp_path_factory) -> Path:
    """A run of two steps: its clips look like nothing, but they have a size and a length."""
    recipe = decode_recipe({"train": {"steps": 2, "model": {"width": 32, "depth": 1, "num_heads": 2}}})
    config, _, _ = prepare(encoded_dataset, "drawn", recipe)
    folder = tmp_path_factory.mktemp("run")
    write_run_config(folder, config)
    samples = load_samples(encoded_dataset, releases.read(encoded_dataset, "drawn"), config.encoding, TextMix())
    statistics = LatentStatistics(config.latent_mean, config.latent_std)
    fit(samples, recipe.train, statistics, folder, text_dim=config.text_dim)
    return folder


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


def test_the_same_seed_gives_the_same_clip_and_another_another(run_dir, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert sample(run_dir, "--seed", seed, "-o", tmp_path / f"{name}.png") == 0
    a, b, c = (picture(tmp_path / f"{name}.png") for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


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


def test_sampled_lengths_cover_what_is_asked_for():
    for num_frames in range(1, 20):
        shape = Shape(100, 50, num_frames, grid_px=16)
        assert (shape.latent_frames - 1) * 4 + 1 >= num_frames
        assert (shape.latent_frames - 2) * 4 + 1 < num_frames
        assert shape.sampled_size_px == (112, 64)
        assert shape.latent_shape == (shape.latent_frames, 8, 14)


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
        (["--expand", "--set", "nosuch=1", "-o", "clip.mp4"], "recipe drawn: unknown key nosuch"),
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


def test_encoders_must_be_those_of_the_run(run_dir, tmp_path, capsys):
    values = json.loads((run_dir / "config.json").read_text()) | {"autoencoder_fingerprint": "0" * 16}
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert sample(tmp_path, "-o", tmp_path / "clip.mp4") == 2
    assert "was trained with 0000000000000000" in capsys.readouterr().err


def test_a_run_is_not_resumed_on_other_data(run_dir, encoded_dataset):
    config = read_run_config(run_dir)
    write_run_config(run_dir, config)
    with pytest.raises(UsageError, match="release_hash"):
        write_run_config(run_dir, replace(config, release_hash="other"))
