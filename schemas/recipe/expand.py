"""[expand]: who expands short prompts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveInt
from pydantic.dataclasses import dataclass

from schemas.recipe.engine import EngineSettings
from schemas.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class ExpandConfig(EngineSettings):
    """Who expands short prompts."""

    prompt: str = ""
    """A template of `pipeline/caption/prompts`, or a file; empty for the one that suits the checkpoint:
    `expand-builtin` for `builtin`, `expand-small` for `smollm2-135m`, `expand` for all others."""
    num_examples: PositiveInt = 6
    """Captions of the release that a template with `{examples}` shows."""
    max_new_tokens: PositiveInt = 256
    """Tokens of an answer at most."""
    temperature: NonNegativeFloat = 0.0
    """0 fills in the likeliest; above 0, what the prompt leaves open differs by seed."""
    min_kept_frac: Annotated[float, Field(ge=0, le=1)] = 0.75
    """Share of the prompt's words that a text must have; one that has fewer, or that a caption rule rejects, is not
    used, and the prompt stands as it is. 0 for prompts in another language than the captions'."""
