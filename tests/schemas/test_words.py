"""Words of texts in several scripts, their stems, and the words that say nothing by themselves."""

from __future__ import annotations

import pytest

from schemas.words import STOP_WORDS, is_unspaced, num_words, stem, terms, unquoted, words


@pytest.mark.parametrize(
    ("text", "found", "count"),
    [
        ("A dog's well-lit TAIL, 2 m.", ("a", "dog's", "well", "lit", "tail", "2", "m"), 7),
        ("It’s café_noir", ("it's", "café", "noir"), 3),
        ("红色的圆", ("红", "色", "的", "圆"), 2),
        ("円が red に", ("円", "が", "red", "に"), 2.5),
        ("कुत्ता दौड़ता है", ("कुत्ता", "दौड़ता", "है"), 3),
        ("", (), 0),
        ("— …", (), 0),
    ],
)
def test_a_text_has_words_in_any_script(text: str, found: tuple[str, ...], count: float) -> None:
    assert words(text) == found
    assert num_words(found) == count


def test_characters_stand_in_pairs_where_no_spaces_mark_words() -> None:
    assert terms("A dog's tail") == {"a", "dog's", "tail"}
    assert terms("红色的圆,夜 x") == {"红色", "色的", "的圆", "夜", "x"}
    assert terms("") == set()


def test_a_text_is_of_a_script_without_spaces_if_most_of_it_is() -> None:
    assert is_unspaced(words("円が red に"))
    assert not is_unspaced(words("a red 円"))


@pytest.mark.parametrize(
    "forms",
    [
        ("move", "moves", "moved", "moving"),
        ("run", "runs", "running"),
        ("cried", "cries"),
        ("ball", "balls"),
        ("add", "adds", "added", "adding"),
        ("glow", "glowing", "glowingly", "glows"),
        ("slow", "slowly"),
        ("use", "uses"),
    ],
)
def test_forms_of_a_word_have_one_stem(forms: tuple[str, ...]) -> None:
    assert len({stem(form) for form in forms}) == 1


def test_other_words_have_other_stems() -> None:
    others = ("ring", "rings", "red", "sing", "circle", "square", "the", "thing")
    assert len({stem(word) for word in others}) == len(others) - 1  # one ring or more


def test_stop_words_are_words_in_lower_case() -> None:
    for language, listed in STOP_WORDS.items():
        for word in listed:
            assert words(word) == (word,), language


def test_quotations_are_left_out() -> None:
    assert words(unquoted('a sign says “STOP now” and "go"')) == ("a", "sign", "says", "and")
