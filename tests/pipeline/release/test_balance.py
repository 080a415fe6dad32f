"""Sampling by cluster: shares as the square root says, and the same draw for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.release.balance import balanced_sample, merge_alike

SIZES = (10_000, 100)
CLIPS = [f"{cluster}-{i}" for cluster, size in enumerate(SIZES) for i in range(size)]
CLUSTERS = [cluster for cluster, size in enumerate(SIZES) for _ in range(size)]


def test_a_cluster_a_hundred_times_larger_gives_ten_times_the_clips() -> None:
    drawn = [balanced_sample(CLIPS, CLUSTERS, 110, seed) for seed in range(20)]
    rare = np.mean([sum(clip.startswith("1-") for clip in clips) for clips in drawn])
    assert {len(clips) for clips in drawn} == {110}
    assert rare == pytest.approx(10, abs=2.5)  # binomial: standard deviation of the mean is 0.7


def test_a_sample_depends_on_clips_and_seed_alone() -> None:
    first = balanced_sample(CLIPS, CLUSTERS, 50, 3)
    assert balanced_sample(CLIPS[::-1], CLUSTERS[::-1], 50, 3) == first
    assert balanced_sample(CLIPS, CLUSTERS, 50, 4) != first
    assert balanced_sample(CLIPS, CLUSTERS, 80, 3) > first


def test_clusters_of_one_dense_region_are_one() -> None:
    vectors = np.array([[1, 0], [0.99, 0.14], [0, 1], [0.1, 0.995], [-1, 0]])
    merged = merge_alike(np.array([0, 1, 2, 3, 4]), vectors)
    assert merged[0] == merged[1] != merged[2] == merged[3] != merged[4] != merged[0]


def test_a_sample_has_no_more_clips_than_there_are() -> None:
    assert balanced_sample(["a", "b"], [0, 0], 5, 0) == {"a", "b"}
    assert balanced_sample([], [], 5, 0) == set()
