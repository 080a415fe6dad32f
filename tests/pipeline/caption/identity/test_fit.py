"""Fits of captions to clips, where it is known which belong together."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.caption.identity.fit import (
    ALIKE,
    LEAST_CAPTIONS,
    LEAST_MARGIN,
    Fits,
    are_evident,
    fits,
    mean_cosine,
    shift,
    unlike,
)
from tests.pipeline.caption.identity.drawn import drawn_pairs, unit


def found(texts: np.ndarray, clips: np.ndarray) -> Fits:
    result = fits(texts, clips)
    assert result is not None
    return result


def test_right_captions_fit_their_own_clips_best() -> None:
    result = found(*drawn_pairs(300))
    assert result.own.min() > 3
    assert result.margin.min() > 0
    assert (result.better == -1).all()


def test_captions_of_other_clips_fit_as_any_pair_does() -> None:
    texts, clips = drawn_pairs(600)
    result = found(np.roll(texts, 1, axis=0), clips)
    assert abs(result.own.mean()) < 0.1
    assert 0.7 < result.own.std() < 1.1
    assert (result.margin < LEAST_MARGIN).mean() > 0.99
    assert (result.better == np.roll(np.arange(600), 1)).mean() > 0.99


def test_two_captions_that_were_exchanged_are_told_from_the_others() -> None:
    texts, clips = drawn_pairs(200)
    texts[[3, 150]] = texts[[150, 3]]
    result = found(texts, clips)
    assert set(np.flatnonzero(result.margin < LEAST_MARGIN)) == {3, 150}
    assert (result.better[3], result.better[150]) == (150, 3)


def test_a_caption_that_fits_no_clip_well_is_not_taken_for_another_clips() -> None:
    """Nine parts of ten are of nothing that is shown: it still fits its own clip best."""
    texts, clips = drawn_pairs(200)
    texts[5] = unit(0.35 * texts[5] + unit(np.random.default_rng(3).normal(size=64)))
    result = found(texts, clips)
    assert result.own[5] < 3
    assert (result.margin > LEAST_MARGIN).all()


def test_the_margin_counts_what_the_caption_and_what_the_clip_could_have_elsewhere() -> None:
    """A clip whose own caption is wrong and whose right one lies on one other clip, and a caption given twice."""
    texts, clips = drawn_pairs(200)
    texts[3] = texts[150]
    result = found(texts, clips)
    assert result.better[3] == 150
    assert result.margin[3] < LEAST_MARGIN < 0 < result.margin[150] < np.median(result.margin)


def test_what_every_text_or_every_clip_has_in_common_does_not_count() -> None:
    """A clip that every text is close to, as a grey picture may be, is not the better one."""
    texts, clips = drawn_pairs(200)
    clips[7] = unit(clips[7] + 2 * unit(texts.mean(axis=0)))
    result = found(texts, clips)
    assert (np.einsum("nd,d->n", texts, clips[7]) > np.einsum("nd,nd->n", texts, np.roll(clips, 1, 0))).mean() > 0.9
    assert (result.better == -1).all()


def test_clips_that_are_alike_are_not_held_against_each_other() -> None:
    texts, clips = drawn_pairs(200)
    for vectors in (texts, clips):
        vectors[100:140] = unit(vectors[100] + 0.01 * vectors[100:140])
    result = found(texts, clips)
    assert result.margin.min() > 0


@pytest.mark.parametrize("num", [LEAST_CAPTIONS - 1, 0])
def test_too_few_captions_are_not_judged(num: int) -> None:
    assert fits(*drawn_pairs(num)) is None
    assert shift(*drawn_pairs(num)) is None


def test_clips_that_are_all_alike_are_not_judged() -> None:
    texts, clips = drawn_pairs(100)
    clips[:] = clips[0]
    assert fits(texts, clips) is None


def test_fits_are_evident_only_if_the_model_knows_the_clips() -> None:
    texts, clips = drawn_pairs(400)
    right = found(texts, clips)
    assert are_evident(right.margin)
    wrong = found(np.roll(texts, 1, axis=0), clips)
    assert not are_evident(wrong.margin)
    weak = found(*drawn_pairs(400, noise=2.0))
    assert weak.own.mean() > 1
    assert not are_evident(weak.margin)


def test_a_tenth_of_wrong_captions_leaves_fits_evident() -> None:
    texts, clips = drawn_pairs(400)
    texts[:40] = np.roll(texts[:40], 1, axis=0)
    result = found(texts, clips)
    assert are_evident(result.margin)
    assert set(np.flatnonzero(result.margin < LEAST_MARGIN)) == set(range(40))


def test_the_mean_cosine_is_that_of_all_pairs() -> None:
    _, clips = drawn_pairs(50)
    cosines = (clips @ clips.T)[~np.eye(50, dtype=bool)]
    assert mean_cosine(clips.sum(axis=0, dtype=float), 50) == pytest.approx(cosines.mean(), abs=1e-6)


def test_unlike_is_measured_from_the_mean_cosine() -> None:
    one = unit(np.array([[1.0, 0.0]]))
    for mean in (0.0, 0.6):
        edge = mean + ALIKE * (1 - mean)
        others = np.array([[c, np.sqrt(1 - c * c)] for c in (edge - 0.01, edge + 0.01)])
        assert unlike(one, others, mean).tolist() == [[True, False]]


@pytest.mark.parametrize("step", [1, -1])
def test_a_batch_that_slipped_by_one_is_known_by_its_order(step: int) -> None:
    texts, clips = drawn_pairs(32)
    right, slipped, mixed = (
        shift(texts[order], clips)
        for order in (np.arange(32), np.roll(np.arange(32), step), np.random.default_rng(1).permutation(32))
    )
    assert right is not None
    assert slipped is not None
    assert mixed is not None
    assert right < -10
    assert slipped > 10
    assert abs(mixed) < 5


def test_a_slip_is_seen_though_the_model_hardly_knows_the_clips() -> None:
    texts, clips = drawn_pairs(400, noise=2.0)
    slipped, right = shift(np.roll(texts, 1, axis=0), clips), shift(texts, clips)
    assert slipped is not None
    assert right is not None
    assert slipped > 8
    assert right < -8
