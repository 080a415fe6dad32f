"""What is given of a sample is drawn with the probabilities that the tasks' shares give."""

import re
from collections import Counter
from dataclasses import asdict

import pytest
import torch

from model.diffusion.tasks import LEAST_REGION, draw_task
from schemas.recipe.train import TaskMix

SHAPE = (8, 4, 6, 10)


def drawn(tasks: TaskMix, number: int, *, shape: tuple[int, ...] = SHAPE, has_last: bool = True) -> Counter:
    """How often which frames are given, whole, in part, or none; and whether the last one stands beside them."""
    generator = torch.Generator().manual_seed(0)
    counts: Counter = Counter()
    for _ in range(number):
        found = draw_task(shape, generator, tasks, has_last=has_last)
        given_THW = found.given_THW.expand(shape[1:])
        if found.given_THW.shape == (shape[1], 1, 1):
            counts["".join(".#"[int(frame.all())] for frame in given_THW), found.last_frame] += 1
        else:
            counts["region", found.last_frame] += 1
    return counts


@pytest.mark.parametrize("scale", [1, 8])
def test_tasks_are_drawn_in_their_shares(scale: float) -> None:
    shares = TaskMix(0.3, 0.2, 0.15, 0.1, 0.05, 0.2)
    counts = drawn(TaskMix(*(scale * share for share in asdict(shares).values())), 8000)
    expected = {
        ("....", False): 0.3,
        ("#...", False): 0.2 + 0.05,
        ("##..", False): 0.05,
        ("###.", False): 0.05,
        ("region", False): 0.1,
        ("....", True): 0.05,
        ("#...", True): 0.2,
    }
    assert counts.keys() == expected.keys()
    for what, share in expected.items():
        assert counts[what] / 8000 == pytest.approx(share, abs=0.015)


def test_without_a_latent_of_its_own_the_last_frame_is_not_given() -> None:
    counts = drawn(TaskMix(0, 0, 0, 0, 0.5, 0.5), 1000, has_last=False)
    assert counts.keys() == {("....", False), ("#...", False)}


def test_a_region_is_a_box_that_stays_in_place_and_is_the_rest_of_what_is_given() -> None:
    generator, shares = torch.Generator().manual_seed(0), []
    for _ in range(300):
        free = ~draw_task(SHAPE, generator, TaskMix(0, 0, 0, 1), has_last=False).given_THW
        assert all(torch.equal(frame, free[0]) for frame in free)
        rows, columns = free[0].any(dim=1), free[0].any(dim=0)
        assert torch.equal(free[0], rows[:, None] & columns[None])
        assert min(rows.sum() / 6, columns.sum() / 10) >= LEAST_REGION - 0.1
        shares.append(float(free.float().mean()))
    assert min(shares) < 0.15
    assert max(shares) > 0.85


def test_half_of_all_samples_are_trained_from_their_text_alone_by_default() -> None:
    assert TaskMix() == TaskMix(text=0.5, first_frame=0.25, prefix=0.15, region=0.1, last_frame=0, first_last=0, past=0)


def test_some_task_must_have_a_share() -> None:
    with pytest.raises(ValueError, match="all tasks have a share of 0"):
        TaskMix(0, 0, 0, 0)


def test_no_frame_of_an_image_is_given() -> None:
    counts = drawn(TaskMix(0.2, 0.2, 0.2, 0, 0.2, 0.2), 50, shape=(8, 1, 4, 4))
    assert counts.keys() == {(".", False)}


def test_a_long_video_is_trained_from_the_frames_before_and_some_of_the_further_past() -> None:
    """G given, w wanted, . left out: given frames precede the wanted ones, and the last few of them without a gap."""
    generator, found = torch.Generator().manual_seed(0), Counter()
    for _ in range(3000):
        one = draw_task((8, 5, 4, 4), generator, TaskMix(0, 0, 0, 0, past=1), has_last=True)
        assert one.kept_T is not None
        assert not one.last_frame
        given = one.given_THW.view(5).tolist()
        found["".join("G" if g else "w" if k else "." for g, k in zip(given, one.kept_T.tolist(), strict=True))] += 1
    assert all(re.fullmatch(r"[G.]*Gw+\.*", frames) for frames in found)
    assert {len(frames) for frames in found} == {5}
    for frames in ("Gw...", "GGGGw", "G..Gw", ".G.Gw", "...Gw", "Gww..", "G.Gww"):
        assert found[frames] > 10, frames


def test_an_image_has_no_past() -> None:
    one = draw_task((8, 1, 4, 4), torch.Generator(), TaskMix(0, 0, 0, 0, past=1), has_last=False)
    assert one.kept_T is None
    assert not one.given_THW.any()
