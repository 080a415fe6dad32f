"""The fit and its scores, with a network of one block: what they write, that they go on, and what they read."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from jobs.fits.transformer import __main__ as command
from jobs.fits.transformer import clips, loops, scores
from jobs.fits.transformer.scores import TASKS, given_psnr_db, labelled, load_sampler
from jobs.fits.worlds import WORLDS
from jobs.training.run_config import read_run_config
from model.training.checkpoints import RunFolder
from model.training.exported import load_transformer
from schemas.recipe.train import ModelConfig

SETS = ["plain:5x32x32:4", "whole:5x48x32:2"]


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelConfig(width=24, depth=1, num_heads=2, modulation="shared", text="in_context")
    # A run whose learning rate falls towards its last step is not given more of them.
    settings = {"model": model, "tokens_per_pack": 64, "checkpoint_every": 2, "decay_share": 0.0}
    monkeypatch.setattr(command, "RECIPE", replace(command.RECIPE, **settings))


def fit(out: Path, *arguments: str) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    given = ["--out", str(out), "--clips", *SETS, *arguments]
    assert command.run(parser.parse_args(given)) == 0


@pytest.mark.usefixtures("_small")
def test_a_fit_is_a_run_that_goes_on_and_can_start_another(tmp_path: Path) -> None:
    fit(tmp_path, "--steps", "2")
    assert [line["step"] for line in RunFolder(tmp_path / "run").metrics()] == [1, 2]
    fit(tmp_path, "--steps", "4")
    assert [line["step"] for line in RunFolder(tmp_path / "run").metrics()] == [1, 2, 3, 4]
    config = read_run_config(tmp_path / "run")
    assert (config.dataset, config.num_clips, config.usual_width_px, config.usual_num_frames) == ("", 6, 32, 5)
    assert config.max_pixels_px == 32 * 48
    assert config.release_hash == " ".join(SETS)
    fit(tmp_path / "next", "--steps", "1", "--init", str(tmp_path / "run"), "--rate", "1e-20")
    before, after = (load_transformer(folder / "run").state_dict() for folder in (tmp_path, tmp_path / "next"))
    assert all(torch.allclose(value, after[name], rtol=0, atol=1e-6) for name, value in before.items())


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("world", WORLDS)
def test_scores_are_of_held_out_prompts_beside_what_the_codec_lets_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, world: str
) -> None:
    fit(tmp_path, "--steps", "1")
    capsys.readouterr()
    asked = [str(tmp_path / "run"), "--world", world, "--prompts", "3", "--steps", "2", "--task", "text"]
    asked += ["interpolation", "--shape", "9", "64", "64"]
    pictures = tmp_path / "sheet.png"
    monkeypatch.setattr("sys.argv", ["scores", *asked, "--pictures", str(pictures)])
    scores.main()
    printed = capsys.readouterr().out.splitlines()
    assert json.loads(printed[0].removeprefix("text, 2 steps, guidance 2.5 ")).keys() >= {"shape", "all", "seconds"}
    assert printed[1].startswith("interpolation, 2 steps, guidance 2.5 {")
    assert printed[2].startswith("interpolation, 2 steps, guidance 2.5: frames that are given, PSNR ")
    assert printed[3] == f"| | {' | '.join(WORLDS[world].names)} | all |"
    true = [float(share) for share in printed[5].removeprefix("| true clips |").strip(" |").split("|")]
    assert np.mean(true) > (99 if world == "plain" else 70)
    assert printed[6].startswith("| reconstructions | ")
    assert cv2.imread(str(pictures)).shape[1] >= 3 * 3 * 64


@pytest.mark.usefixtures("_small")
def test_samples_have_the_frames_that_are_given(tmp_path: Path) -> None:
    fit(tmp_path, "--steps", "1")
    sampler = load_sampler(str(tmp_path / "run"), (9, 64, 64))
    prompts = ["a red circle", "a blue star"]
    truth = scores.true_clips(clips.scenes("plain", held_out=True, number=2), (9, 64, 64))
    free = sampler.clips(prompts, 2, 2.0)
    # The last frames are decoded after what a network of one step draws.
    for name, least_gain_db in {"first_frame": 5, "prefix": 5, "backwards": 0, "interpolation": 0}.items():
        given = sampler.clips(prompts, 2, 2.0, TASKS[name], truth)
        assert free.shape == given.shape == truth.shape
        ours, theirs = (given_psnr_db(of, truth, TASKS[name], 4) for of in (given, free))
        assert ours > theirs + least_gain_db, name
        assert given_psnr_db(truth, truth, TASKS[name], 4) > 90


def test_frames_that_are_given_are_those_of_the_latent_frames() -> None:
    """Of nine frames the first, the first five, the last four, or the first and the last four."""
    truth = np.full((1, 9, 4, 4, 3), 100, np.uint8)
    expected = {
        "first_frame": [0],
        "prefix": [0, 1, 2, 3, 4],
        "backwards": [5, 6, 7, 8],
        "interpolation": [0, 5, 6, 7, 8],
    }
    for name, frames in expected.items():
        other = np.full_like(truth, 200)
        other[:, frames] = 100
        assert given_psnr_db(other, truth, TASKS[name], 4) > 90
        other[:, frames[-1]] = 200
        assert given_psnr_db(other, truth, TASKS[name], 4) < 30


def test_the_step_from_the_last_frame_to_the_first_is_the_last_one() -> None:
    clips_of_one = np.array([0, 3, 5, 4], np.uint8).reshape(1, 4, 1, 1, 1).repeat(3, axis=4)
    assert loops.steps_of(clips_of_one).tolist() == [[3.0, 2.0, 1.0, 4.0]]


@pytest.mark.usefixtures("_small")
def test_loops_stand_beside_clips_that_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(tmp_path, "--steps", "1")
    asked = [str(tmp_path / "run"), "--prompts", "2", "--steps", "1", "--period", "2", "--size", "32", "32"]
    monkeypatch.setattr("sys.argv", ["loops", *asked])
    capsys.readouterr()
    asked_for, of_sampler = [], scores.Sampler.clips

    def sampled(self: scores.Sampler, *given: Any, period: int | None) -> np.ndarray:
        asked_for.append((self.shape_thw, period))
        return of_sampler(self, *given, period=period)

    monkeypatch.setattr(scores.Sampler, "clips", sampled)
    loops.main()
    assert asked_for == [((13, 32, 32), 2), ((13, 32, 32), None)]
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in printed[2:]] == ["| loops", "| not tied"]
    assert all(line.endswith("% |") for line in printed[2:])


def test_prompts_stand_below_their_clips() -> None:
    clip = np.full((3, 16, 32, 3), 200, np.uint8)
    one = labelled(np.stack([clip]), ["a red circle"], columns=2)
    two = labelled(np.stack([clip, clip]), ["a red circle", "one two three four five six"], columns=2)
    assert two.shape[1] == 2 * one.shape[1]
    assert two.shape[0] > one.shape[0] > 16
    assert (one[:16, :96] == 200).all()
    assert (one[16:] < 200).any()
