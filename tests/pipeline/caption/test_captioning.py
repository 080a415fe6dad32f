"""The captioning stage around engines that behave and engines that do not: no clip is lost, every row says why."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.caption import stage
from pipeline.caption.backends.engine_captioner import EngineCaptioner
from pipeline.caption.engine import Answer, Fault, Request, Sampling
from pipeline.caption.prompts.templates import load_prompt
from pipeline.caption.stage import Captioning, Try
from schemas import CAPTIONS
from schemas.recipe import Recipe, change_recipe, load_recipe
from schemas.structured_caption import StructuredCaption, to_json

GOOD = StructuredCaption(
    subject="A brown dog with a red collar",
    action="runs along the beach towards the camera",
    setting="Behind it waves roll in under a clear sky.",
    camera="The camera stands still.",
    light="Warm evening light.",
    style="Footage filmed with a phone.",
)
LOOPING = replace(GOOD, action="runs and runs and runs " * 20)
REFUSING = replace(GOOD, subject="I'm sorry, but I cannot describe this", action="as an AI language model")
Say = Callable[[Request, Sampling], Answer | Fault]


class ScriptedEngine:
    """Answers what a function says; frames of 16 px a side."""

    grid_px = 16
    told_fps = None

    def __init__(self, say: Say) -> None:
        self.say = say
        self.asked: list[tuple[Request, Sampling]] = []

    def answer(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer | Fault]:
        self.asked += [(request, sampling) for request in requests]
        return [self.say(request, sampling) for request in requests]


def answer(caption: StructuredCaption | str, *, cut: bool = False) -> Answer:
    text = caption if isinstance(caption, str) else to_json(caption)
    return Answer(text, num_tokens=len(text.split()), cut=cut)


@pytest.fixture
def recipe() -> Recipe:
    return change_recipe(load_recipe("default"), ["embedding.model=none"])


@pytest.fixture
def captioned(monkeypatch: pytest.MonkeyPatch, recipe: Recipe) -> Callable[..., tuple[list[Try], ScriptedEngine]]:
    """What becomes of a batch of clips, whose frames are of the levels given, as an engine captions them."""

    def make(say: Say, levels: Sequence[int] = (10,), settings: Sequence[str] = (), **clip: Any):
        chosen = change_recipe(recipe, settings)
        engine = ScriptedEngine(say)
        rewrite = load_prompt(chosen.caption.rewrite, ("caption", "title")) if chosen.caption.rewrite else None
        template = load_prompt(chosen.caption.prompt, ("language", "hints"))
        monkeypatch.setattr(stage, "load_captioner", lambda config: EngineCaptioner(config, engine, template, rewrite))
        captioning = Captioning(chosen, lambda *_: None)
        tries = captioning.tries(batch_of(levels, clip))
        CAPTIONS.encode([made.row for made in tries])
        return tries, engine

    return make


def batch_of(levels: Sequence[int], clip: dict[str, Any]) -> pa.Table:
    frames = [np.full((8, 32, 48, 3), max(level, 0), np.uint8) for level in levels]
    facts = {"encoder": None, "source": "{}", "camera_motion": None, "failures": 0, "given": ""} | clip
    facts |= {"content_box": [0, 0, 48, 32]}
    return pa.table(
        {
            "clip": [pickle.dumps(facts | {"clip_id": f"c{i}"}) for i in range(len(levels))],
            "frames": [frame.tobytes() for frame in frames],
            "shape": [list(frame.shape) for frame in frames],
            "times_s": [[i / 8 for i in range(8)]] * len(levels),
            "failure": ["frames: gone" if level < 0 else "" for level in levels],
            "transient": [False] * len(levels),
        }
    )


def test_a_good_caption_is_a_whole_row(captioned) -> None:
    (made,), engine = captioned(lambda request, sampling: answer(GOOD))
    row = made.row
    assert (made.outcome, made.reasons, row["failure"], row["num_attempts"]) == ("ok", [], None, 1)
    assert row["subject"] == GOOD.subject
    assert row["short"] == "A brown dog with a red collar runs along the beach towards the camera."
    assert row["detailed"].startswith(row["medium"])
    assert row["num_words"] == len(row["detailed"].split())
    assert len(engine.asked) == 1
    assert engine.asked[0][0].schema is not None


def test_a_caption_without_spaces_has_words_all_the_same(captioned) -> None:
    chinese = StructuredCaption("一只戴红色项圈的棕色小狗", "沿着沙滩向镜头跑来", "背景是晴空下的海浪。")
    settings = ["caption.prompt=caption", "caption.language=zh"]
    (made,), _ = captioned(lambda request, sampling: answer(chinese), settings=settings)
    assert (made.outcome, made.reasons, made.row["camera_claims"]) == ("ok", [], None)
    assert made.row["num_words"] == 15  # 30 characters


def test_an_unreadable_clip_is_not_asked_about(captioned) -> None:
    tries, engine = captioned(lambda request, sampling: answer(GOOD), levels=(10, -1, 20))
    assert [made.outcome for made in tries] == ["ok", "failed", "ok"]
    assert [made.row["failure"] for made in tries] == [None, "frames: gone", None]
    assert len(engine.asked) == 2


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (answer("I am afraid not."), "caption: no JSON object in the answer"),
        (answer(""), "caption: no JSON object in the answer"),
        (answer(to_json(GOOD)[:40], cut=True), "caption: cut off at the limit of tokens"),
        (answer('{"subject": ""}'), "caption: the answer names no subject"),
        (Fault("timed out after 120 s"), "timed out after 120 s"),
        (answer(LOOPING), "caption_repeats"),
        (answer(REFUSING), "caption_refuses"),
        (answer(replace(GOOD, subject="Ein brauner Hund mit rotem Halsband", action="läuft am Strand entlang",
                        setting="Hinter ihm rollen Wellen heran.", camera="Die Kamera steht still.",
                        light="Warmes Abendlicht liegt über allem.", style="")), "caption_language"),
    ],
    ids=["refuses", "nothing", "cut", "empty", "fault", "loops", "apologises", "German"],
)  # fmt: skip
def test_an_engine_that_fails_loses_nothing(captioned, bad: Answer | Fault, reason: str) -> None:
    """One clip of three is answered badly, at the first try and at the second."""

    def say(request: Request, sampling: Sampling) -> Answer | Fault:
        assert request.frames is not None
        return bad if request.frames.max() == 20 else answer(GOOD)

    tries, engine = captioned(say, levels=(10, 20, 30))
    bad_one = tries[1]
    assert [made.outcome for made in tries] == ["ok", "failed" if bad_one.row["failure"] else "rejected", "ok"]
    assert reason in (bad_one.row["failure"], *bad_one.reasons)
    assert [made.row["clip_id"] for made in tries] == ["c0", "c1", "c2"]
    assert len(engine.asked) == (3 if isinstance(bad, Fault) else 4)


def test_a_bad_caption_is_asked_for_once_more_in_another_way(captioned) -> None:
    def say(request: Request, sampling: Sampling) -> Answer:
        return answer(GOOD) if sampling.temperature > 0 else answer(LOOPING)

    (made,), engine = captioned(say)
    row = made.row
    assert (made.outcome, row["num_attempts"]) == ("ok", 2)
    assert row["action"] == GOOD.action
    assert row["num_output_tokens"] == answer(LOOPING).num_tokens + answer(GOOD).num_tokens
    first, second = (sampling for _, sampling in engine.asked)
    assert second.max_new_tokens == 2 * first.max_new_tokens


def test_what_the_camera_did_is_held_against_the_caption(captioned) -> None:
    panning = {"camera_motion": "pan left", "camera_strength": 20.0, "camera_confidence": 0.9}
    (made,), _ = captioned(lambda request, sampling: answer(GOOD), **panning)
    assert (made.outcome, made.reasons) == ("rejected", ["caption_contradicts_camera"])
    assert (made.row["camera_claims"], made.row["num_attempts"]) == (["still"], 2)
    (made,), _ = captioned(lambda request, sampling: answer(replace(GOOD, camera="The camera pans left.")), **panning)
    assert (made.outcome, made.row["camera_claims"]) == ("ok", ["pan left"])


def test_hints_are_given_only_if_wanted(captioned) -> None:
    panning = {"camera_motion": "pan left", "camera_strength": 20.0, "camera_confidence": 0.9}
    good = answer(replace(GOOD, camera="The camera pans left."))
    for settings, told in (([], False), (["caption.hints=true"], True)):
        _, engine = captioned(lambda request, sampling: good, settings=["caption.prompt=caption", *settings], **panning)
        assert ("the camera pans left" in engine.asked[0][0].user) is told


def test_two_samples_are_compared(captioned) -> None:
    def say(request: Request, sampling: Sampling) -> Answer:
        return answer(replace(GOOD, subject="A grey cat") if sampling.temperature > 0 else GOOD)

    (made,), engine = captioned(say, settings=["caption.compare_samples=true"])
    assert 0.3 < made.row["sample_agreement"] < 1.0
    assert len(engine.asked) == 2


def test_a_caption_is_merged_with_its_source_unless_that_invents(captioned) -> None:
    titled = {"source": json.dumps({"title": "Rex at the sea"})}

    def merging(adds: str) -> Say:
        def say(request: Request, sampling: Sampling) -> Answer:
            return answer(GOOD) if request.frames is not None else answer(f"{text} {adds}")

        return say

    (plain,), _ = captioned(lambda request, sampling: answer(GOOD))
    text = plain.row["detailed"]
    settings = ["caption.rewrite=rewrite"]
    (made,), engine = captioned(merging("The dog is called Rex."), settings=settings, **titled)
    assert made.row["merged"] == f"{text} The dog is called Rex."
    assert "Rex at the sea" in engine.asked[1][0].user
    (made,), _ = captioned(merging("The happy dog is called Rex."), settings=settings, **titled)
    assert (made.row["merged"], made.row["invented"], made.outcome) == (None, ["happy"], "ok")
    (made,), engine = captioned(merging(""), settings=settings)
    assert made.row["merged"] is None
    assert len(engine.asked) == 1
