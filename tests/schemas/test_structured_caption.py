"""Structured captions: texts of three lengths that agree, and answers that are read or refused in words."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from schemas.structured_caption import FIELDS, StructuredCaption, from_json, json_schema, text_of, to_json

WALK = StructuredCaption(
    subject="a woman in a red coat",
    action="walks a dog along the river",
    setting="The path is lined with bare trees.",
    camera="The camera follows her from behind",
    light="Soft winter light, mostly grey and brown.",
    style="Handheld film.",
    on_screen_text="RIVERSIDE 1982",
)


def test_each_length_says_what_the_shorter_one_says_and_more() -> None:
    short, medium, detailed = (text_of(WALK, length) for length in ("short", "medium", "detailed"))
    assert short == "A woman in a red coat walks a dog along the river."
    assert medium == f"{short} The path is lined with bare trees."
    assert detailed == (
        f"{medium} Soft winter light, mostly grey and brown. The camera follows her from behind. Handheld film. "
        "“RIVERSIDE 1982”"
    )


def test_a_field_that_says_nothing_new_is_left_out() -> None:
    caption = StructuredCaption("a ring", "turns", "It lies in bright light.", light="Bright light", style="")
    assert text_of(caption, "detailed") == "A ring turns. It lies in bright light."


def test_scripts_without_spaces_are_joined_without() -> None:
    caption = StructuredCaption("赤い服の女性", "が川沿いを歩く", "背景は林", camera="カメラは固定。")
    assert text_of(caption, "detailed") == "赤い服の女性が川沿いを歩く。背景は林。カメラは固定。"


def test_empty_fields_make_an_empty_text() -> None:
    assert text_of(StructuredCaption(), "detailed") == ""


def test_json_comes_back_as_it_was() -> None:
    assert from_json(to_json(WALK)) == WALK
    assert list(json.loads(to_json(WALK))) == list(FIELDS) == json_schema()["required"]
    assert from_json(f"```json\n{to_json(WALK)}\n```") == WALK


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I am sorry.", "no JSON object"),
        ("", "no JSON object"),
        ("} {", "no JSON object"),
        (to_json(WALK)[:-20] + "}", "broken JSON"),
        ('{"subject": ["a", "b"]}', "not a string"),
        ('{"subject": "  "}', "no subject"),
        ('{"action": "runs"}', "no subject"),
    ],
)
def test_other_answers_are_refused(answer: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        from_json(answer)


def test_what_no_file_can_hold_is_replaced() -> None:
    assert from_json('{"subject": "a \\ud800 ring"}').subject == "a ? ring"


def test_missing_fields_are_empty() -> None:
    assert from_json('{"subject": "a ring"}') == StructuredCaption(subject="a ring")
    assert from_json(to_json(replace(WALK, camera=""))).camera == ""
