"""Clean frames are drawn with the probabilities that the tasks' shares give."""

from collections import Counter
from itertools import product
from math import comb

import pytest
import torch

from model.diffusion.tasks import TASK_SHARES, draw_clean_frames


def probability(clean: tuple[bool, ...]) -> float:
    """Half of all draws give nothing, a quarter the first frame, 15% a prefix and 10% any frames, but never all."""
    num_frames, count = len(clean), sum(clean)
    if count == 0:
        return 0.5
    if count == num_frames:
        return 0.0
    is_prefix = all(clean[:count])
    scattered = 0.10 / (num_frames - 1) / comb(num_frames, count)
    return 0.25 * (is_prefix and count == 1) + 0.15 * is_prefix / (num_frames - 1) + scattered


def test_the_shares_are_of_all_draws():
    assert sum(TASK_SHARES.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("num_frames", [2, 4])
def test_clean_frames_are_drawn_in_the_shares_of_their_tasks(num_frames):
    generator = torch.Generator().manual_seed(0)
    counts = Counter(tuple(draw_clean_frames(num_frames, generator).tolist()) for _ in range(8000))
    for clean in product((False, True), repeat=num_frames):
        assert counts[clean] / 8000 == pytest.approx(probability(clean), abs=0.012)
        assert (counts[clean] > 0) == (probability(clean) > 0)


def test_an_image_is_never_given_clean():
    generator = torch.Generator().manual_seed(0)
    assert not any(draw_clean_frames(1, generator).any() for _ in range(50))
