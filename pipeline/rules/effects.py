"""What rules do: each rule among the others, and a recipe to a whole data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.rules.captions import judge_captions
from pipeline.rules.clips import judge_clips
from pipeline.rules.judging import Verdicts
from pipeline.store.dataset import Dataset
from schemas.recipe import Recipe


@dataclass(frozen=True)
class RuleEffect:
    """What one rule does among the others: rows it rejects, those that no other rejects, and how many stay after it
    and all rules before it."""

    rejects: int
    alone: int
    stay: int


def rule_effects(verdicts: Verdicts) -> dict[str, RuleEffect]:
    """The effect of each rule, in the order of the recipe."""
    num_rows = len(verdicts.statuses)
    num_against = np.sum([np.zeros(num_rows, int), *verdicts.rejected_by.values()], axis=0)
    inside = np.ones(num_rows, bool)
    effects = {}
    for name, rejected in verdicts.rejected_by.items():
        inside &= ~rejected
        alone = int((rejected & (num_against == 1)).sum())
        effects[name] = RuleEffect(int(rejected.sum()), alone, int(inside.sum()))
    return effects


@dataclass(frozen=True)
class DatasetVerdicts:
    """What a recipe makes of a data set."""

    clips: Verdicts
    captions: Verdicts

    @property
    def num_trainable(self) -> int:
        """Accepted captions of kept clips."""
        kept = {clip_id for (clip_id,) in self.clips.accepted}
        return sum(clip_id in kept for clip_id, _ in self.captions.accepted)


def judge_dataset(dataset: Dataset, recipe: Recipe) -> DatasetVerdicts:
    """Judge all clips and captions by a recipe; nothing is written."""
    return DatasetVerdicts(judge_clips(dataset, recipe), judge_captions(dataset, recipe))
