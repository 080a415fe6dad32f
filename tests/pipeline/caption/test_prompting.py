"""Prompt templates: those that come with Reelmill are whole, and a faulty one is refused in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.caption.backends.engine_captioner import PROMPT_NAMES, REWRITE_NAMES
from pipeline.caption.expand import EXPAND_NAMES
from pipeline.caption.prompts.asking import first_sentences
from pipeline.caption.prompts.templates import FOLDER, PromptTemplate, chat, load_prompt

NAMES = {"caption": PROMPT_NAMES, "rewrite": REWRITE_NAMES, "expand": EXPAND_NAMES}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_template_can_be_filled(path: Path) -> None:
    known = NAMES[path.stem.partition("-")[0]]
    template = load_prompt(path.stem, known)
    filled = template.fill(**{name: f"<{name}>" for name in known})
    assert "{" not in filled
    assert template.version >= 1


def test_a_template_may_be_any_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('version = 3\nuser = "Say {language}."\n')
    assert load_prompt(str(path), PROMPT_NAMES) == PromptTemplate("Say {language}.", version=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('user = "Say {tongue}."', "{tongue} is none of hints, language"),
        ('user = "Say."\ncolour = 1', "colour"),
        ("user = ", "Invalid value"),
        ("version = 1", "user"),
        ('user = "Say {hints}."\n[[examples]]\nanswer = "x"', "an example has answer, not hints, answer"),
        ('user = "Say."\n[[examples]]\nhints = "a"\nanswer = "x"', "an example has hints, answer, not answer"),
    ],
)
def test_a_faulty_template_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        load_prompt(str(path), PROMPT_NAMES)
    assert str(path) in str(caught.value)


def test_an_unknown_template_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'nosuch': neither a file nor one of caption, caption-builtin"):
        load_prompt("nosuch", PROMPT_NAMES)


def test_a_chat_has_a_system_line_only_if_there_is_one() -> None:
    assert chat("", "hello", video=True) == [
        {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "hello"}]}
    ]
    roles = [message["role"] for message in chat("be plain", "hello", video=False)]
    assert roles == ["system", "user"]


def test_worked_examples_are_earlier_turns_filled_in_as_the_question_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('user = "Say: {prompt}"\n[[examples]]\nprompt = "a dog"\nanswer = "A dog runs."\n')
    template = load_prompt(str(path), EXPAND_NAMES)
    assert template.turns == (("Say: a dog", "A dog runs."),)
    assert template.shown == "\nSay: {prompt}\nA dog runs."
    messages = chat(template.system, template.fill(prompt="a cat"), template.turns, video=True)
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert [message["content"][-1]["text"] for message in messages] == ["Say: a dog", "A dog runs.", "Say: a cat"]
    assert [len(message["content"]) for message in messages] == [1, 1, 2]


def test_a_fingerprint_counts_examples_and_sentences_where_there_are_any() -> None:
    plain = PromptTemplate("Say.", "Be plain.")
    assert plain.counted() == {"user": "Say.", "system": "Be plain.", "version": 1}
    changed = [replace(plain, sentences=2), replace(plain, examples=({"answer": "A dog."},))]
    changed += [replace(plain, examples=({"answer": "A cat."},))]
    assert len({str(template.counted()) for template in (plain, *changed)}) == 4


def test_the_first_sentences_of_an_answer() -> None:
    text = 'It is 3.5 m high. "Look!" A dog\nruns… It'
    assert [first_sentences(text, count) for count in range(5)] == [
        "",
        "It is 3.5 m high.",
        'It is 3.5 m high. "Look!"',
        'It is 3.5 m high. "Look!" A dog runs…',
        'It is 3.5 m high. "Look!" A dog runs…',
    ]
    assert first_sentences("狗在跑。天很蓝。有云。", 2) == "狗在跑。天很蓝。"
    assert first_sentences("no end", 2) == ""
