"""Prompt templates: TOML files with a version. A template is part of the captioner's fingerprint."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ANSWER = "answer"
"""What a worked example has besides the names that it fills in."""

Turn = tuple[str, str]
"""A question of the user, and the answer to it."""


@dataclass(frozen=True)
class PromptTemplate:
    """What a model is asked, and what is made of its answer. `system` may be empty; `{names}` in `user` are filled in.

    examples: worked examples, which a model is shown as earlier turns of the chat: the names in `user` with a value
        each, and `answer`.
    sentences: how many sentences of an answer in plain text are used at most; 0 for all of it.
    """

    user: str
    system: str = ""
    version: int = 1
    examples: Sequence[Mapping[str, str]] = ()
    sentences: int = 0

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

    @property
    def shown(self) -> str:
        """All words that every question has, which an answer may not repeat at length."""
        return "\n".join([self.system, self.user, *(answer for _, answer in self.turns)])

    def counted(self) -> dict[str, Any]:
        """What a fingerprint counts. The parts that most templates lack are left out where they are empty."""
        extras = {"examples": list(map(dict, self.examples)), "sentences": self.sentences}
        always = {"user": self.user, "system": self.system, "version": self.version}
        return always | {name: value for name, value in extras.items() if value}


def load_prompt(name_or_path: str, known: Iterable[str]) -> PromptTemplate:
    """Read a template of `prompts/`, by name, or of any other file.

    Args:
        known: the names that may stand in braces.
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
        wanted = {name for _, name, _, _ in string.Formatter().parse(template.user) if name is not None}
        if unknown := wanted - set(known):
            raise ValueError(f"{{{min(unknown)}}} is none of {', '.join(sorted(known)) or 'no names'}")
        for example in template.examples:
            if set(example) != wanted | {ANSWER}:
                raise ValueError(f"an example has {', '.join(example)}, not {', '.join([*sorted(wanted), ANSWER])}")
    except (tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise ValueError(f"prompt {path}: {error}") from error
    return template


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
