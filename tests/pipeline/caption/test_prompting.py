"""Prompt templates: those that come with Reelmill are whole, and a faulty one is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.caption.backends.engine_captioner import PROMPT_NAMES, REWRITE_NAMES
from pipeline.caption.expand import EXPAND_NAMES
from pipeline.caption.prompts.templates import FOLDER, PromptTemplate, chat, load_prompt

NAMES = {"caption": PROMPT_NAMES, "rewrite": REWRITE_NAMES, "expand": EXPAND_NAMES}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_template_can_be_filled(path: Path) -> None:
    known = NAMES[path.stem.removesuffix("-builtin")]
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
    assert chat(PromptTemplate("x"), "hello", video=True) == [
        {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "hello"}]}
    ]
    roles = [message["role"] for message in chat(PromptTemplate("x", "be plain"), "hello", video=False)]
    assert roles == ["system", "user"]
