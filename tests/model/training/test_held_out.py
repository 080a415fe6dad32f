"""Whole videos are held out, few of them, whatever they are called."""

import numpy as np
import pytest

from model.training.held_out import CANDIDATES, Chosen, held_out_places


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (1, 0), (2, 1), (19, 1), (20, 2), (79, 7), (90, 8), (1000, 8)])
def test_of_videos_of_one_sample_a_tenth_is_held_out_but_at_least_one_and_at_most_eight(count, expected):
    videos = [f"video-{i}" for i in range(count)]
    places = held_out_places(videos)
    assert len(places) == expected
    assert places.tolist() == sorted(places)
    backwards = held_out_places(videos[::-1])
    assert {videos[place] for place in places} == {videos[::-1][place] for place in backwards}


def test_which_are_held_out_does_not_follow_their_names():
    places = held_out_places([f"video-{i:04d}" for i in range(1000)])
    assert set(places) != set(range(8))
    assert set(places) != set(range(992, 1000))


def test_all_samples_of_a_video_are_held_out_or_none():
    videos = [f"video-{i % 300}" for i in range(900)]
    held_out = {videos[place] for place in held_out_places(videos)}
    assert len(held_out) == 3
    assert [i for i, video in enumerate(videos) if video in held_out] == held_out_places(videos).tolist()


def test_a_video_of_more_than_a_tenth_is_passed_over():
    sizes = {f"video-{i}": 1 for i in range(30)}
    usual = held_out_places(list(sizes))
    large = {list(sizes)[place] for place in usual}
    videos = [video for video in sizes for _ in range(20 if video in large else 1)]
    held_out = {videos[place] for place in held_out_places(videos)}
    assert held_out
    assert not held_out & large


def test_of_large_videos_alone_the_smallest_is_held_out():
    videos = ["a"] * 6 + ["b"] * 4 + ["c"] * 5
    assert held_out_places(videos).tolist() == [6, 7, 8, 9]


def test_samples_of_one_video_are_all_trained_on():
    assert not len(held_out_places(["a"] * 5))


def test_a_video_counts_whole_though_others_came_between():
    """The last samples of a video are counted as the first are, with more videos than are looked at."""
    videos = [f"video-{i}" for i in range(4 * CANDIDATES)] * 3
    held_out = held_out_places(videos)
    assert len(held_out) == 9
    assert len({videos[place] for place in held_out}) == 3


def test_chosen_names_are_those_at_the_places():
    chosen = Chosen(["a", "b", "c", "d"], np.array([3, 1]))
    assert list(chosen) == ["d", "b"]
    assert (len(chosen), chosen[1], list(chosen[:1])) == (2, "b", ["d"])
    with pytest.raises(IndexError):
        chosen[2]
