"""Examples for expansion, and how far texts are from others in style."""

from __future__ import annotations

import pytest

from pipeline.caption.expand import nearest_captions, style_distance

CAPTIONS = ["A red circle moves left. The camera is still.", "A blue star spins. The camera shakes.", "A red ring."]


def test_examples_share_words_with_the_prompt() -> None:
    assert nearest_captions("red circle", CAPTIONS, 2) == [CAPTIONS[0], CAPTIONS[2]]
    assert nearest_captions("red circle", [], 2) == []


def test_texts_are_at_no_distance_from_themselves() -> None:
    distance = style_distance(CAPTIONS, CAPTIONS)
    assert (distance.words_ratio_log2, distance.sentences, distance.vocabulary) == pytest.approx((0, 0, 0))


def test_distance_grows_with_each_difference() -> None:
    short = style_distance(["red circle left"], CAPTIONS)
    other = style_distance(["Un perro corre. Luego se detiene."], CAPTIONS)
    assert short.words_ratio_log2 > 0.8
    assert short.sentences == pytest.approx(5 / 3)
    assert 0.3 < short.vocabulary < other.vocabulary <= 1.0
