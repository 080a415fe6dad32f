"""What is known of a clip besides its pictures."""

from __future__ import annotations

import json

import pytest

from pipeline.caption.source_text import hint_of, invented_words, title_of


def test_titles_are_the_columns_about_the_video() -> None:
    source = {
        "alt_text": "A dog runs",
        "title": "Rex at the lake",
        "licence": "CC0",
        "tags": ["a"],
        "text": "A dog runs",
    }
    assert title_of(json.dumps(source)) == "Rex at the lake. A dog runs"
    assert title_of("{}") == title_of("") == title_of(json.dumps({"title": None, "alt_text": "  "})) == ""


def test_hints_tell_what_was_measured_for_certain() -> None:
    clip = {"camera_motion": "pan left", "camera_confidence": 0.8, "overlay_texts": ["NEWS", "live"]}
    assert hint_of(clip) == (
        "Measured, and possibly wrong: the camera pans left; text on the picture reads “NEWS”, “live”."
    )
    assert hint_of(clip | {"camera_confidence": 0.3, "overlay_texts": None}) == ""
    assert hint_of({"camera_motion": "complex", "camera_confidence": 0.9}) == ""
    assert hint_of({}) == ""


@pytest.mark.parametrize(
    ("merged", "invented"),
    [
        ("A brown dog named Rex runs along the lake.", []),
        ("Rex, a brown dog, is running at the lake in Oslo.", ["oslo"]),
        ("A happy brown dog runs, wagging its tail.", ["happy", "wagging", "tail"]),
        ("", []),
    ],
)
def test_words_that_neither_says_are_invented(merged: str, invented: list[str]) -> None:
    assert invented_words(merged, "A brown dog runs along the lake.", "Rex at the lake") == invented
