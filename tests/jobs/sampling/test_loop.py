"""Loops: at three aspect ratios the end repeats the beginning, and one round is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.sampling.clip import Model, Settings, plan_of
from jobs.sampling.loop import sample_loop
from jobs.sampling.task import Parts
from model.codec.spec import CodecPlan
from model.diffusion.guidance import Guidance
from tests.jobs.training.runs import run_config, write_run

CONFIG = run_config()
SETTINGS = Settings("dpm_solver_2m", 2, Guidance(1.0), 5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


def plan(size: str, num_frames: int) -> CodecPlan:
    return plan_of(size, num_frames / 8, CONFIG, None, is_image=False)


@pytest.mark.parametrize("size", ["96x64", "48x64", "42x74"])
def test_a_loop_of_any_shape_repeats_itself(run: Path, monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    sampled, of_model = [], Model.latent

    def latent(self: Model, shape: tuple[int, int, int, int], parts: Parts, settings: Settings, **others: float):
        sampled.append(of_model(self, shape, parts, settings, **others))
        return sampled[-1]

    monkeypatch.setattr(Model, "latent", latent)
    frames = sample_loop(run, "a red circle", CONFIG, plan(size, 17), SETTINGS)
    (found,) = sampled
    assert found.shape[1] == 1 + 4 + 1
    assert torch.equal(found[:, 1], found[:, 5])
    assert frames.shape == (16, plan(size, 17).valid[2], plan(size, 17).valid[1], 3)


def test_what_is_shown_of_a_loop_is_one_round_after_its_first_patch(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1 + 16 + 4 frames those from the sixth on."""
    numbered = np.arange(21, dtype=np.uint8).reshape(21, 1, 1, 1)
    monkeypatch.setattr(Model, "decoded", lambda self, latent, plan: numbered[: plan.valid[0]])
    frames = sample_loop(run, "", CONFIG, plan("32x32", 16), SETTINGS)
    assert frames[:, 0, 0, 0].tolist() == list(range(5, 21))


@pytest.mark.parametrize(("asked", "made"), [(1, 4), (9, 8), (11, 12)])
def test_a_loop_is_whole_latent_frames_long(run: Path, asked: int, made: int) -> None:
    assert len(sample_loop(run, "", CONFIG, plan("32x32", asked), SETTINGS)) == made
