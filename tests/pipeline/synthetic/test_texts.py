"""What people write about synthetic clips is true, or false on purpose."""

from __future__ import annotations

import random

import pytest

from pipeline.caption.source_text import invented_words
from pipeline.synthetic.texts import TITLE_KINDS, merged_caption, short_prompt, title
from pipeline.synthetic.world import attributes, detailed_caption, draw_scene, structured_caption
from schemas.structured_caption import text_of


@pytest.mark.parametrize("seed", range(40))
def test_a_prompt_asks_for_what_is_there(seed: int) -> None:
    scene = draw_scene(seed)
    prompt = short_prompt(scene, random.Random(seed))
    truth = attributes(detailed_caption(scene))
    assert all(truth[name] == word for name, word in prompt.asked.items())
    assert prompt.asked["shape"] in prompt.text


@pytest.mark.parametrize("kind", TITLE_KINDS)
def test_titles_of_a_kind(kind) -> None:
    for seed in range(30):
        scene = draw_scene(seed)
        came_with = title(scene, kind, random.Random(seed))
        thing = scene.things[0]
        assert (f"{thing.colour} {thing.shape}" in came_with.text) == (kind in ("true", "named"))
        assert bool(came_with.adds) == (kind in ("named", "placed"))
        merged = merged_caption(scene, came_with)
        assert merged.startswith(detailed_caption(scene))
        assert not invented_words(merged, detailed_caption(scene), came_with.text)
        assert attributes(merged) == attributes(detailed_caption(scene))


@pytest.mark.parametrize("seed", range(40))
def test_structured_captions_make_the_detailed_ones(seed: int) -> None:
    scene = draw_scene(seed)
    caption = structured_caption(scene)
    assert text_of(caption, "detailed") == detailed_caption(scene)
    truth = attributes(detailed_caption(scene))
    for length in ("short", "medium"):
        said = attributes(text_of(caption, length))
        assert said.items() <= truth.items()
        assert {"shape", "colour", "direction"} <= said.keys()
