"""A recipe: the complete, typed configuration of every job, as a tree of frozen dataclasses.

The resolved recipe is stored with every run.
"""

from __future__ import annotations

from dataclasses import asdict, field
from typing import Any

from pydantic.dataclasses import dataclass

from schemas.errors import UsageError
from schemas.recipe.aesthetic import AestheticConfig
from schemas.recipe.caption import CaptionConfig
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.recipe.embedding import EmbeddingConfig
from schemas.recipe.encode import EncodeConfig
from schemas.recipe.expand import ExpandConfig
from schemas.recipe.frames import FramesConfig
from schemas.recipe.limits import LimitsConfig
from schemas.recipe.measure import MeasureConfig
from schemas.recipe.overlay_text import OverlayTextConfig
from schemas.recipe.safety import SafetyConfig
from schemas.recipe.split import SplitConfig
from schemas.recipe.train import TrainConfig
from schemas.rules import Rule
from schemas.strict import STRICT
from schemas.tables.measures import CLIP_MEASURES


class RecipeError(UsageError):
    """A recipe that cannot be used; the message is one line and names the key."""


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """Everything that the jobs read."""

    name: str = "default"
    """What the records of runs call the recipe."""
    split: SplitConfig = field(default_factory=SplitConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    duplicates: DuplicatesConfig = field(default_factory=DuplicatesConfig)
    overlay_text: OverlayTextConfig = field(default_factory=OverlayTextConfig)
    aesthetic: AestheticConfig = field(default_factory=AestheticConfig)
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    rules: dict[str, Rule] = field(default_factory=dict)
    frames: FramesConfig = field(default_factory=FramesConfig)
    caption: CaptionConfig = field(default_factory=CaptionConfig)
    caption_rules: dict[str, Rule] = field(default_factory=dict)
    expand: ExpandConfig = field(default_factory=ExpandConfig)
    embedding: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def clip_measures(self) -> tuple[str, ...]:
        """The clip measures that are on, in order: by `enabled` of the section of their name, always without one."""
        sections = {name: getattr(self, name, None) for name in CLIP_MEASURES}
        return tuple(name for name, section in sections.items() if section is None or section.enabled)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
