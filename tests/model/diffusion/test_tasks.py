"""Clean frames are drawn with the probabilities that the tasks' shares give."""

from collections import Counter
from dataclasses import asdict
from itertools import product
from math import comb

import pytest
import torch

from model.diffusion.tasks import draw_clean_frames
from schemas.recipe.train import TaskMix


def probability(clean: tuple[bool, ...], tasks: TaskMix) -> float:
    """By default half of all draws give nothing, a quarter the first frame, 15% a prefix and 10% any frames, but never
    all."""
    num_frames, count = len(clean), sum(clean)
    if count == 0:
        return tasks.text
    if count == num_frames:
        return 0.0
    is_prefix = all(clean[:count])
    scattered = tasks.scattered / (num_frames - 1) / comb(num_frames, count)
    return tasks.first_frame * (is_prefix and count == 1) + tasks.prefix * is_prefix / (num_frames - 1) + scattered


@pytest.mark.parametrize("scale", [1, 8])
@pytest.mark.parametrize("tasks", [TaskMix(0.5, 0.25, 0.15, 0.1), TaskMix(0.2, 0.0, 0.3, 0.5)])
@pytest.mark.parametrize("num_frames", [2, 4])
def test_clean_frames_are_drawn_in_the_shares_of_their_tasks(num_frames: int, tasks: TaskMix, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    given = TaskMix(*(scale * share for share in asdict(tasks).values()))
    counts = Counter(tuple(draw_clean_frames(num_frames, generator, given).tolist()) for _ in range(8000))
    for clean in product((False, True), repeat=num_frames):
        expected = probability(clean, tasks)
        assert counts[clean] / 8000 == pytest.approx(expected, abs=0.015)
        assert (counts[clean] > 0) == (expected > 0)


def test_half_of_all_samples_are_trained_from_their_text_alone_by_default() -> None:
    assert TaskMix() == TaskMix(text=0.5, first_frame=0.25, prefix=0.15, scattered=0.1)


def test_some_task_must_have_a_share() -> None:
    with pytest.raises(ValueError, match="all tasks have a share of 0"):
        TaskMix(0, 0, 0, 0)


def test_an_image_is_never_given_clean() -> None:
    generator = torch.Generator().manual_seed(0)
    assert not any(draw_clean_frames(1, generator, TaskMix()).any() for _ in range(50))
