"""Prompt templates: TOML files with a version. A template is part of the captioner's fingerprint."""

from __future__ import annotations

import json
import string
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
MAX_FIELD_CHARS = 60
"""Longest field of an answer from which a text is composed: a short phrase."""
ANSWER = "answer"
"""What a worked example has besides the names that it fills in."""

Turn = tuple[str, str]
"""A question of the user, and the answer to it."""


@dataclass(frozen=True)
class PromptTemplate:
    """What a model is asked, and what is made of its answer. `system` may be empty; `{names}` in `user` are filled in.

    examples: worked examples, which a model is shown as earlier turns of the chat: the names in `user` with a value
        each, and `answer`.
    text: empty where the answer is the text. Else the text is composed: the names that are not filled in beforehand
        are fields, short phrases that a grammar makes the model answer with, as JSON.
    """

    user: str
    system: str = ""
    version: int = 1
    examples: Sequence[Mapping[str, str]] = ()
    text: str = ""

    def fill(self, **values: str) -> str:
        """The user's turn.

        Raises:
            KeyError: the template wants a value that is not given.
        """
        return self.user.strip().format_map(values).strip()

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The worked examples as turns of a chat."""
        return tuple((self.fill(**example), example[ANSWER]) for example in self.examples)

    def answer_fields(self, given: Iterable[str]) -> tuple[str, ...]:
        """The names in `text` that the model answers with, in order; `given` are filled in beforehand."""
        return tuple(name for name in _names(self.text) if name not in set(given))

    def counted(self) -> dict[str, Any]:
        """What a fingerprint counts. The parts that most templates lack are left out where they are empty."""
        extras = {"examples": list(map(dict, self.examples)), "text": self.text}
        always = {"user": self.user, "system": self.system, "version": self.version}
        return always | {name: value for name, value in extras.items() if value}


def load_prompt(name_or_path: str, known: Iterable[str], *, composes: bool = False) -> PromptTemplate:
    """Read a template of `prompts/`, by name, or of any other file.

    Args:
        known: the names that may stand in braces.
        composes: whether the template may have a `text`, with other names too.
    Raises:
        ValueError: no such template, or it is malformed; names it in one line.
    """
    path = FOLDER / f"{name_or_path}.toml"
    if not path.is_file():
        path = Path(name_or_path)
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in FOLDER.glob("*.toml")))
        raise ValueError(f"no prompt {name_or_path!r}: neither a file nor one of {names}")
    try:
        template = PromptTemplate(**tomllib.loads(path.read_text()))
        wanted = _names(template.user)
        if unknown := [name for name in wanted if name not in set(known)]:
            raise ValueError(f"{{{min(unknown)}}} is none of {', '.join(sorted(known)) or 'no names'}")
        if template.text and not composes:
            raise ValueError("'text' is for prompts that expand")
        _check_examples(template, wanted, template.answer_fields(known))
    except (tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise ValueError(f"prompt {path}: {error}") from error
    return template


def _names(text: str) -> list[str]:
    """The names in braces, each once, in order."""
    return list(dict.fromkeys(name for _, name, _, _ in string.Formatter().parse(text) if name is not None))


def _check_examples(template: PromptTemplate, wanted: Sequence[str], answered: Sequence[str]) -> None:
    """Raises:
    ValueError: an example lacks a name or has another, or its answer lacks a field.
    """
    for example in template.examples:
        if set(example) != {*wanted, ANSWER}:
            raise ValueError(f"an example has {', '.join(example)}, not {', '.join([*wanted, ANSWER])}")
        if answered and list(json.loads(example[ANSWER])) != list(answered):
            raise ValueError(f"an example's answer has other fields than {', '.join(answered)}")


def chat(system: str, user: str, turns: Sequence[Turn] = (), *, video: bool) -> list[dict]:
    """Chat messages for a checkpoint's own template: the system's line if there is one, earlier turns, the question.

    A part of type "video" stands before the question if it has frames.
    """
    messages: list[dict] = [{"role": "system", "content": system}] if system else []
    for question, answer in turns:
        messages += [{"role": "user", "content": [_part(question)]}, {"role": "assistant", "content": [_part(answer)]}]
    content = [*([{"type": "video"}] if video else []), _part(user)]
    return [*messages, {"role": "user", "content": content}]


def _part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
