"""Long clips: what each window is given of what there is, and how the windows are put together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.sampling import clip
from jobs.sampling.clip import Model, Settings, plan_of
from jobs.sampling.long import Context, sample_long
from jobs.sampling.task import Parts, Task, encoded
from model.codec.loading import load_codec
from model.codec.spec import CodecPlan
from model.diffusion.guidance import Guidance
from model.diffusion.requests import Request
from schemas.errors import UsageError
from tests.jobs.training.runs import of_tasks, run_config, write_run

SETTINGS = Settings("euler", 2, Guidance(1.0), 5)
PAST = run_config(train=of_tasks(past=0.5), usual_num_frames=33)
"""Of clips of 9 latent frames."""


def plan(num_frames: int) -> CodecPlan:
    return plan_of("32x24", num_frames / 8, PAST, None, is_image=False)


@dataclass
class Numbered:
    """In place of the transformer: the frames that are sampled are numbered by request, those given as they are."""

    requests: list[Request] = field(default_factory=list)

    def sample_latent(self, transformer: object, request: Request, objective: object, **settings: object):
        self.requests.append(request)
        latent = torch.full(request.latent_shape, float(len(self.requests)))
        for part in request.given:
            if part.shown == "clean":
                latent[:, part.start : part.end] = part.latent_CTHW
        return latent


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), train=of_tasks(past=0.5))


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch) -> Numbered:
    stand_in = Numbered()
    monkeypatch.setattr(clip, "sample_latent", stand_in.sample_latent)
    return stand_in


def shown(request: Request) -> str:
    """G given, b blended, w wanted, . left out."""
    T = request.latent_shape[1]
    letters = ["w"] * T if request.kept_T is None else ["w" if kept else "." for kept in request.kept_T]
    for part in request.given:
        letters[part.start : part.end] = ("G" if part.shown == "clean" else "b") * (part.end - part.start)
    return "".join(letters)


def test_windows_continue_the_last_frames_of_one_another(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 17 frames a window continues 5, so that each adds 12."""
    asked, of_model = [], Model.frames

    def frames(self: Model, window: CodecPlan, parts: Parts, settings: Settings) -> np.ndarray:
        asked.append((parts, settings.seed))
        return of_model(self, window, parts, settings)

    monkeypatch.setattr(Model, "frames", frames)
    made = sample_long(run, "", PAST, plan(17), 35, Task(), SETTINGS)
    assert made.shape == (35, 24, 32, 3)
    assert [seed for _, seed in asked] == [5, 6, 7]
    assert asked[0][0].given == ()
    codec = load_codec()
    for number, (parts, _) in enumerate(asked[1:], 1):
        (part,) = parts.given
        end = 5 + 12 * number
        torch.testing.assert_close(part.latent_CTHW, encoded(codec, made[12 * number : end], plan(17)))


@pytest.mark.parametrize(
    ("context", "window", "longest", "expected"),
    [
        ("fdm", 21, 33, ["wwwwww", "G...GGwww", "G...GGwww", "G...GGwww"]),
        ("fdm", 29, 49, ["w" * 8, "G..G..GGwwww", "G..G...GGwwww"]),
        ("fdm", 21, 9, ["wwwwww", "GGGwww", "GGGwww", "GGGwww"]),
        ("anchor", 25, 33, ["wwwwwww", "G..GGbbww", "G..GGbbww", "G..GGbbww", "G..GGbbww"]),
        ("anchor", 25, 9, ["wwwwwww", "GGGbbww", "GGGbbww", "GGGbbww", "GGGbbww"]),
    ],
)
def test_a_window_is_given_its_context_within_the_length_of_training(
    run: Path, numbered: Numbered, context: Context, window: int, longest: int, expected: list[str]
) -> None:
    """Up to 57 frames, which are 15 latent ones; the windows have half of their frames new, or less."""
    config = run_config(train=of_tasks(past=0.5), usual_num_frames=longest)
    made = sample_long(run, "", config, plan(window), 57, Task(), SETTINGS, context)
    assert made.shape == (57, 24, 32, 3)
    assert [shown(request) for request in numbered.requests] == expected
    assert [request.seed for request in numbered.requests] == [5 + i for i in range(len(expected))]


def test_what_is_given_are_the_latents_of_those_times(
    run: Path, numbered: Numbered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of six latent frames, the first of which are numbered 1 and the three of each other 2, 3, 4."""
    decoded = []

    def of_latent(self: Model, latent_CTHW: torch.Tensor, plan: CodecPlan) -> np.ndarray:
        decoded.append(latent_CTHW)
        return np.zeros((plan.valid[0], 24, 32, 3), np.uint8)

    monkeypatch.setattr(Model, "decoded", of_latent)
    sample_long(run, "", PAST, plan(21), 57, Task(), SETTINGS, "fdm")
    assert decoded[0][0, :, 0, 0].tolist() == [1.0] * 6 + [2.0] * 3 + [3.0] * 3 + [4.0] * 3
    values = [[float(part.latent_CTHW[0, 0, 0, 0]) for part in request.given] for request in numbered.requests]
    assert values == [[], [1.0, 1.0, 1.0], [1.0, 2.0, 2.0], [2.0, 3.0, 3.0]]
    decoded.clear()
    numbered.requests.clear()
    sample_long(run, "", PAST, plan(25), 41, Task(), SETTINGS, "anchor")
    assert decoded[0][0, :, 0, 0].tolist() == [1.0] * 5 + [2.0, 2.0, 3.0, 3.0, 3.0, 3.0]
    values = [[float(part.latent_CTHW[0, 0, 0, 0]) for part in request.given] for request in numbered.requests]
    assert values == [[], [1.0] * 4, [1.0, 2.0, 2.0, 2.0]]


def test_a_context_that_the_run_was_not_trained_for_is_refused(run: Path, numbered: Numbered) -> None:
    for context in ("fdm", "anchor"):
        with pytest.raises(UsageError, match=rf"--context {context}: run .* was not trained on .*train.tasks.past"):
            sample_long(run, "", run_config(), plan(25), 57, Task(), SETTINGS, context)
    train = of_tasks(past=0.5)
    config = run_config(train=train | {"model": train["model"] | {"patch": (2, 2, 2)}})
    with pytest.raises(UsageError, match=r"--context fdm: frames of run .* cannot be left out"):
        sample_long(run, "", config, plan(25), 57, Task(), SETTINGS, "fdm")
    with pytest.raises(UsageError, match=r"--context anchor: give a --window of more than 2.125 s"):
        sample_long(run, "", PAST, plan(17), 57, Task(), SETTINGS, "anchor")
    assert not numbered.requests
    sample_long(run, "", PAST, plan(18), 19, Task(), SETTINGS, "anchor")
