"""Prompt templates: files with a version, by name or by path."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class PromptTemplate:
    """What a model is asked. `system` may be empty; `{names}` in `user` are filled in."""

    user: str
    system: str = ""
    version: int = 1

    def fill(self, **values: str) -> str:
        """The user's turn.

        Raises:
            KeyError: the template wants a value that is not given.
        """
        return self.user.strip().format_map(values).strip()


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
    except (tomllib.TOMLDecodeError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"prompt {path}: {error}") from error
    wanted = {name for _, name, _, _ in string.Formatter().parse(template.user) if name is not None}
    if unknown := wanted - set(known):
        raise ValueError(f"prompt {path}: {{{sorted(unknown)[0]}}} is none of {', '.join(sorted(known)) or 'no names'}")
    return template


def chat(template: PromptTemplate, user: str, *, video: bool) -> list[dict]:
    """Chat messages for a checkpoint's own template: the system's line if there is one, and the user's turn."""
    messages: list[dict] = [{"role": "system", "content": template.system}] if template.system else []
    content = [*([{"type": "video"}] if video else []), {"type": "text", "text": user}]
    return [*messages, {"role": "user", "content": content}]
