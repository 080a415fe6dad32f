"""Texts that say nearly the same are found among many, and others are kept apart."""

from __future__ import annotations

import numpy as np

from pipeline.caption.identity.near_equal import NUM_BANDS, buckets, content, near_equal
from pipeline.synthetic.world import detailed_caption, draw_scene

LONG = (
    "A woman in a green coat walks a small brown dog along a canal lined with bare trees. Behind them a tram crosses "
    "an iron bridge, cyclists wait at a red light and pigeons rise from wet cobbles near a closed kiosk."
)


def groups(*texts: str) -> list[int]:
    return near_equal([texts[:2], texts[2:]]).tolist()


def test_case_marks_and_words_without_content_do_not_count() -> None:
    one = "A red circle moves to the left, slowly."
    assert groups(one, "the red circle moves left slowly", "A blue circle moves to the left, slowly.") == [0, 0, 2]


def test_one_word_of_many_does_not_count() -> None:
    other = LONG.replace("pigeons", "sparrows")
    third = other.replace("tram", "train")
    assert groups("A red circle.", LONG, other, "A red square.") == [0, 1, 1, 3]
    assert groups("A red circle.", other, third, LONG) == [0, 1, 1, 1]


def test_several_words_count() -> None:
    other = LONG.replace("pigeons", "gulls").replace("tram", "train").replace("dog", "cat").replace("woman", "boy")
    assert groups(LONG, other) == [0, 1]


def test_scripts_without_spaces_are_compared_by_pairs_of_characters() -> None:
    text = "一位身穿绿色外套的女人牵着一只棕色小狗沿着运河散步"
    assert groups(text, text + "。", "一个男人在厨房里做饭") == [0, 0, 2]


def test_texts_without_content_are_by_themselves() -> None:
    assert groups("", "the of and", "", "...") == [0, 1, 2, 3]
    assert near_equal([]).tolist() == []


def test_captions_of_different_scenes_are_kept_apart() -> None:
    """Of 500 scenes, each of which differs from some other in a single word."""
    texts = sorted({detailed_caption(draw_scene(seed)) for seed in range(500)})
    leaders = near_equal([texts])
    sets = [set(content(text).tolist()) for text in texts]
    joined = [(i, int(leader)) for i, leader in enumerate(leaders) if leader != i]
    assert all(len(sets[i] & sets[j]) / len(sets[i] | sets[j]) >= 0.9 for i, j in joined)
    assert len(joined) < 25


def test_a_group_of_many_variants_is_one_group() -> None:
    names = [f"word{i}" for i in range(300)]
    texts = [f"{LONG} {name}" for name in names]
    leaders = near_equal([texts[start : start + 64] for start in range(0, 300, 64)])
    assert (leaders == 0).mean() > 0.99


def test_buckets_agree_about_as_often_as_the_index_says() -> None:
    rng = np.random.default_rng(0)
    same = []
    for _ in range(200):
        words = rng.integers(0, 1 << 63, 21, np.uint64)
        same.append((buckets(words[:20]) == buckets(words[1:])).mean())
    share = np.mean(same)  # 19 of 21 words, .905: .905^8 = .45
    assert abs(share - 0.45) < 0.08
    assert (buckets(words) == buckets(words[::-1])).sum() == NUM_BANDS
