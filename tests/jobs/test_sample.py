"""Sampling from a run: exactly the size and length asked for, sources kept, bad usage in one line with exit 2."""

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from jobs import sample as command
from jobs.cli import run_job
from jobs.fits.plain_world import read_attributes, true_attributes
from jobs.fits.transformer.clips import scenes, texts_of
from jobs.sampling.condition import centre_box, last_frames, open_source
from jobs.sampling.movie import write_frames
from model.diffusion.guidance import Guidance
from model.readers.text_encoder import load_text_encoder
from pipeline.caption.engine import Answer
from pipeline.caption.expand import Expansion
from pipeline.synthetic.render import render
from pipeline.synthetic.world import Scene, Thing
from schemas.recipe import Recipe
from schemas.recipe.expand import ExpandConfig
from tests.jobs.training.runs import SMALL, write_run

MOVING = Scene(things=(Thing("circle", "red", direction="right", speed="quickly"),))


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


def test_an_edit_without_strength_is_the_video(run_dir, tmp_path):
    truth = render(MOVING, 96, 64, 9)
    write_frames(tmp_path / "before.mp4", truth, 8.0)
    edit = ["--video", tmp_path / "before.mp4", "--strength", "0", "--seconds", "1.125"]
    assert sample(run_dir, *edit, "-o", tmp_path / "same.mp4") == 0
    with av.open(str(tmp_path / "same.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(float) for frame in container.decode(video=0)]
    assert len(frames) == 9
    assert max(np.abs(frame - true).mean() for frame, true in zip(frames, truth, strict=True)) < 15


def test_a_long_clip_may_be_made_of_windows(run_dir, tmp_path):
    arguments = ["--size", "64x48", "--seconds", "3", "--window", "1.125"]
    assert sample(run_dir, *arguments, "-o", tmp_path / "long.mp4") == 0
    assert video_facts(tmp_path / "long.mp4")[:3] == (64, 48, 24)


def test_a_clip_leads_up_to_a_video_and_a_blend_goes_from_one_to_another(run_dir, tmp_path):
    for name, direction in (("one", "right"), ("two", "up")):
        scene = Scene(things=(Thing("circle", "red", direction=direction, speed="quickly"),))
        write_frames(tmp_path / f"{name}.mp4", render(scene, 96, 64, 17), 8.0)
    first = ["--video", tmp_path / "one.mp4", "--seconds", "1.625"]
    assert sample(run_dir, *first, "--backwards", "-o", tmp_path / "before.mp4") == 0
    assert video_facts(tmp_path / "before.mp4")[:3] == (96, 64, 13)
    for options in ([], ["--strength", "0.5"]):
        assert sample(run_dir, *first, "--blend", tmp_path / "two.mp4", *options, "-o", tmp_path / "both.mp4") == 0
        assert video_facts(tmp_path / "both.mp4")[:3] == (96, 64, 13)


def test_a_loop_is_said_to_be_as_long_as_it_is(run_dir, tmp_path, capsys):
    assert sample(run_dir, "--loop", "--seconds", "1.125", "-o", tmp_path / "loop.mp4") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'loop.mp4'}: 96x64, 8 frames at 8 a second\n"
    assert video_facts(tmp_path / "loop.mp4")[:3] == (96, 64, 8)


def test_a_source_is_cut_to_the_shape_and_timed_at_the_rate(tmp_path):
    truth = render(MOVING, 96, 64, 25)
    write_frames(tmp_path / "clip.mp4", truth, 24.0)
    source = open_source(str(tmp_path / "clip.mp4"))
    assert centre_box(source, (32, 64)) == (32, 0, 32, 64)
    frames = last_frames(source, (96, 64), fps=8.0, max_frames=9, stride_t=4)
    assert frames.shape == (9, 64, 96, 3)
    for frame, index in zip(frames, range(0, 25, 3), strict=True):
        assert np.abs(frame.astype(float) - truth[index]).mean() < 4
    for stride_t, expected in ((4, 5), (8, 1)):
        assert len(last_frames(source, (96, 64), fps=8.0, max_frames=8, stride_t=stride_t)) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "96", "-o", "clip.mp4"], "--size 96"),
        (["--seconds", "0", "-o", "clip.mp4"], "--seconds 0"),
        (["-o", "clip.avi"], "-o clip.avi"),
        (["--seconds", "2", "-o", "clip.png"], "a png has one frame"),
        (["--image", "nowhere.png", "-o", "clip.mp4"], "nowhere.png"),
        (["--image", "a", "--video", "b", "-o", "clip.mp4"], "--image and --video do not go together"),
        (["--loop", "--last", "b", "-o", "clip.mp4"], "--loop and --last do not go together"),
        (["--loop", "-o", "clip.png"], "--loop: a png does not move, so give -o clip.mp4"),
        (["--blend", "b", "-o", "clip.mp4"], "--blend: give the --image or --video that it starts as"),
        (["--backwards", "-o", "clip.mp4"], "--backwards: give the --image or --video that it leads up to"),
        (["--context", "fdm", "-o", "clip.mp4"], "--context: give the --window"),
        (["--context", "fdm", "--window", "1", "--seconds", "2", "-o", "clip.mp4"], "(train.tasks.past)"),
        (["--steps", "0", "-o", "clip.mp4"], "--steps 0"),
        (["--guidance-interval", "0.8", "0.2", "-o", "clip.mp4"], "--guidance-interval: from 0.8 to 0.2: not two"),
        (["--guidance-rescale", "2", "-o", "clip.mp4"], "--guidance-rescale 2"),
        (["--strength", "0.5", "-o", "clip.mp4"], "--strength: give the --image or --video that is edited"),
        (["--strength", "2", "-o", "clip.mp4"], "--strength 2"),
        (["--window", "1", "-o", "clip.mp4"], "--window 1: give a longer clip"),
        (["--window", "0.1", "--seconds", "2", "-o", "clip.mp4"], "--window 0.1: too short"),
        (["--last", "nowhere.png", "-o", "clip.mp4"], "nowhere.png"),
        (["--motion", "-1", "-o", "clip.mp4"], "--motion -1"),
        (["--motion", "3", "-o", "clip.mp4"], "was not trained with it (train.model.conditions)"),
    ],
)
def test_bad_usage_is_one_line_and_writes_nothing(run_dir, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert sample(run_dir, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_motion_is_the_one_asked_for(tmp_path):
    told = write_run(tmp_path / "run", replace(SMALL, conditions=("motion",)))
    for motion in (["--motion", "3"], ["--motion", "30"], []):
        assert sample(told, *motion, "-o", tmp_path / f"{len(motion) and motion[1]}.png") == 0
    first, second, third = (picture(tmp_path / f"{name}.png") for name in ("3", "30", "0"))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, third)
    assert not np.array_equal(second, third)


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


def test_without_options_a_clip_takes_thirty_steps_guidance_of_four_and_the_first_seed(run_dir, tmp_path, asked):
    assert run_job("sample", [str(run_dir), "a red circle", "-o", str(tmp_path / "still.png")]) == 0
    ((request, settings),) = asked
    expected = {"sampler": "euler", "num_steps": 30, "guidance": Guidance(4.0), "strength": 1.0, "spacing": "even"}
    assert (settings, request.seed) == (expected, 0)


def test_guidance_is_the_one_asked_for(run_dir, tmp_path, asked):
    options = ["--guidance", "3", "--guidance-interval", "0.2", "0.8", "--guidance-rescale", "0.7"]
    assert sample(run_dir, *options, "-o", tmp_path / "still.png") == 0
    assert asked[0][1]["guidance"] == Guidance(3.0, (0.2, 0.8), 0.7)


def test_so_is_the_spacing_of_the_steps(run_dir, tmp_path, asked):
    assert sample(run_dir, "--spacing", "diffusers", "-o", tmp_path / "still.png") == 0
    assert asked[0][1]["spacing"] == "diffusers"


def test_the_summary_says_what_was_made(run_dir, tmp_path, capsys):
    assert sample(run_dir, "--size", "75x50", "--seconds", "0.6", "-o", tmp_path / "clip.mp4") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'clip.mp4'}: 75x50, 5 frames at 8 a second\n"
    assert sample(run_dir, "--json", "-o", tmp_path / "still.png") == 0
    summary = json.loads(capsys.readouterr().out)
    assert 0 < summary.pop("seconds") < 100
    expected = {"output": str(tmp_path / "still.png"), "prompt": "a red circle", "width": 96, "height": 64}
    assert summary == expected | {"frames": 1, "fps": 8.0}


def test_a_prompt_can_be_expanded_in_the_words_of_the_release(encoded_dataset, tmp_path, capsys, monkeypatch, asked):
    def expanded(prompt: str, recipe: Recipe, captions: list[str], seed: int) -> Expansion:
        said = f"{prompt}, {recipe.expand.max_new_tokens}, {len(captions)}, {seed}"
        return Expansion(prompt, Answer(said, 9, cut=False), ["caption_repeats"] if seed == 4 else [])

    monkeypatch.setattr(command, "expanded", expanded)
    run_dir = write_run(tmp_path / "run", dataset=encoded_dataset.location)
    assert sample(run_dir, "--expand", "--seed", "3", "-o", tmp_path / "still.png") == 0
    text = f"a red circle, {ExpandConfig().max_new_tokens}, 12, 3"
    assert capsys.readouterr().out.startswith(f"{text}\n")
    expected = torch.from_numpy(load_text_encoder().encode([text])[0])
    torch.testing.assert_close(asked[0][0].text_LE, expected)
    assert sample(run_dir, "--expand", "--seed", "4", "-o", tmp_path / "still.png") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("a red circle\n")
    rejected = f"{text.removesuffix('3')}4"
    assert printed.err.splitlines()[-1] == f"the prompt is used as it is; caption_repeats: {rejected}"
    assert sample(run_dir, "--expand", "--set", "nosuch=1", "-o", tmp_path / "clip.mp4") == 2
    assert "recipe drawn: unknown key nosuch" in capsys.readouterr().err


def test_the_built_in_model_shows_what_it_is_asked_for(tmp_path):
    """Of prompts with a combination of shape, colour, direction and ground that it was not trained on."""
    for number, scene in enumerate(scenes("plain", held_out=True, number=2)):
        path = tmp_path / f"{number}.mp4"
        words = [texts_of(scene)["medium"], "--steps", "8", "--guidance", "2.5", "-o", str(path)]
        assert run_job("sample", ["builtin", *words]) == 0
        with av.open(str(path)) as container:
            clip = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        assert clip.shape == (9, 64, 64, 3)
        assert read_attributes(clip) == true_attributes(scene)


def test_a_prompt_for_the_built_in_model_is_expanded_by_the_default_recipe(tmp_path, monkeypatch, capsys):
    def expanded(prompt: str, recipe: Recipe, captions: list[str], seed: int) -> Expansion:
        return Expansion(prompt, Answer(f"{recipe.name}, {captions}", 9, cut=False), [])

    monkeypatch.setattr(command, "expanded", expanded)
    assert run_job("sample", ["builtin", "a star", "--expand", "--steps", "1", "-o", str(tmp_path / "a.png")]) == 0
    assert capsys.readouterr().out.startswith("default, []\n")
