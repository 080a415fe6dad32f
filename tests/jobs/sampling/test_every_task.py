"""Every task at three aspect ratios, with a network of random weights: what is given comes back as it was.

Loops, of which nothing is given, are in `test_loop.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest
import torch

from jobs.sampling import clip, long
from jobs.sampling.clip import Model, Settings, load_model, plan_of, sample_frames
from jobs.sampling.condition import Source, open_source
from jobs.sampling.long import sample_long
from jobs.sampling.movie import write_frames
from jobs.sampling.task import Parts, Task
from model.codec.spec import CodecPlan
from model.diffusion.guidance import Guidance
from pipeline.synthetic.render import render
from pipeline.synthetic.world import Scene, Thing
from tests.jobs.training.runs import SMALL, of_tasks, run_config, write_run

SIZES = ["96x64", "48x64", "42x74"]
CONFIG = run_config(train=of_tasks(past=0.5), usual_num_frames=33)
SETTINGS = Settings("dpm_solver_2m", 2, Guidance(2.0), 5)
NUM_FRAMES = 17
Sources = dict[str, Source]
TASKS: dict[str, Callable[[Sources], Task]] = {
    "text": lambda of: Task(),
    "image": lambda of: Task(of["still"]),
    "extension": lambda of: Task(of["video"]),
    "extension backwards": lambda of: Task(of["video"], backwards=True),
    "interpolation": lambda of: Task(of["still"], last=of["video"]),
    "region": lambda of: Task(of["video"], region_px=(8, 8, 20, 16)),
    "edit": lambda of: Task(of["video"], strength=0.5),
    "edit of a region": lambda of: Task(of["video"], strength=0.5, region_px=(8, 8, 20, 16)),
    "blend": lambda of: Task(of["video"], blend=of["other"]),
    "blend of some strength": lambda of: Task(of["video"], blend=of["other"], strength=0.5),
}
LONG = ["recent", "fdm", "anchor"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), replace(SMALL, lone_frames=True))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    folder = tmp_path_factory.mktemp("sources")
    files = {"still": ("still.png", "right", 1), "video": ("video.mp4", "right", 25), "other": ("other.mp4", "up", 20)}
    for name, direction, number in files.values():
        scene = Scene((Thing("circle", "red", direction=direction, speed="quickly"),))
        write_frames(folder / name, render(scene, 96, 64, number), 8.0)
    return {key: open_source(str(folder / name)) for key, (name, _, _) in files.items()}


@pytest.fixture(scope="module", autouse=True)
def _loaded_once() -> Iterator[None]:
    """Loading takes longer than sampling from so small a network."""
    load = cache(partial(load_model, config=CONFIG))
    with pytest.MonkeyPatch.context() as patched:
        for module in (clip, long):
            patched.setattr(
                module, "load_model", lambda run, prompt, config, settings: load(run, prompt, settings=settings)
            )
        yield


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Parts, torch.Tensor]]:
    """What was asked for, and the latents that were sampled for that."""
    found, of_model = [], Model.latent

    def latent(self: Model, shape: tuple[int, int, int, int], parts: Parts, settings: Settings, *, strength=1.0):
        found.append((parts, of_model(self, shape, parts, settings, strength=strength)))
        return found[-1][1]

    monkeypatch.setattr(Model, "latent", latent)
    return found


def plan(size: str, num_frames: int = NUM_FRAMES) -> CodecPlan:
    return plan_of(size, num_frames / 8, CONFIG, None, is_image=False)


def given_as_it_was(parts: Parts, latent_CTHW: torch.Tensor) -> int:
    """Check that what is given is there; how many values that are."""
    num_values = 0
    for part in parts.given:
        if part.shown != "blended":
            there = latent_CTHW[:, part.start : part.end]
            mask = torch.ones_like(there, dtype=torch.bool) if part.mask_THW is None else part.mask_THW.expand_as(there)
            assert torch.equal(there[mask], part.latent_CTHW[mask])
            num_values += int(mask.sum())
    return num_values


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", TASKS)
def test_a_clip_of_any_shape_has_what_is_given_unchanged(
    run: Path, sources: Sources, sampled: list[tuple[Parts, torch.Tensor]], name: str, size: str
) -> None:
    task = TASKS[name](sources)
    frames = sample_frames(run, "a red circle", CONFIG, plan(size), task, SETTINGS)
    assert "x".join(map(str, (frames.shape[2], frames.shape[1]))) == size
    assert frames.shape[0] == NUM_FRAMES
    ((parts, latent),) = sampled
    has_given = name not in ("text", "edit")
    assert (given_as_it_was(parts, latent) > 0) is has_given
    assert latent.isfinite().all()
    assert len(parts.frames) == (name == "interpolation")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("context", LONG)
def test_a_long_clip_of_any_shape_starts_with_what_is_given(
    run: Path, sources: Sources, sampled: list[tuple[Parts, torch.Tensor]], context: str, size: str
) -> None:
    frames = sample_long(run, "a red circle", CONFIG, plan(size, 25), 41, Task(sources["still"]), SETTINGS, context)
    assert frames.shape == (41, plan(size).valid[2], plan(size).valid[1], 3)
    assert len(sampled) > 1
    assert all(given_as_it_was(parts, latent) > 0 for parts, latent in sampled)
