"""[expand]: who expands short prompts."""

from __future__ import annotations

from pydantic import NonNegativeFloat, PositiveInt
from pydantic.dataclasses import dataclass

from schemas.recipe.engine import EngineSettings
from schemas.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class ExpandConfig(EngineSettings):
    """Who expands short prompts."""

    prompt: str = "expand-builtin"
    """A template of `pipeline/caption/prompts`, or a file. `expand` is for models other than the built-in one."""
    num_examples: PositiveInt = 6
    """Captions of the release that a template with `{examples}` shows."""
    max_new_tokens: PositiveInt = 256
    """Tokens of an answer at most."""
    temperature: NonNegativeFloat = 0.0
    """0 fills in the likeliest; above 0, what the prompt leaves open differs by seed."""
