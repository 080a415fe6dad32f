"""How far a run has come, and the plan of steps that its place is one of."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from model.packing.cost import document_costs
from model.packing.patches import num_tokens
from model.packing.plan import Plan
from model.training.checkpoints import Checkpoint
from model.training.samples import Shape
from schemas.identity import digest
from schemas.recipe.train import ModelConfig, TrainConfig

FREE = (
    "steps",
    "validate_every",
    "checkpoint_every",
    "keep_checkpoints",
    "snapshot_every",
    "tracker",
    "num_workers",
    "use_gpu",
    "parallel",
    "activation_checkpointing",
    "compile",
    "model",
)
"""What a resumed run may change, for losses do not depend on it; `model` has a check of its own. The number of steps
may change only where learning rates do not fall towards the last one."""

STEPS_LOOKED_AT = 64
"""Steps among whose packs the costliest is looked for: about as many are planned together."""


@dataclass(frozen=True)
class Progress:
    """Steps done, and the one place at which the next step starts."""

    step: int = 0
    epoch: int = 0
    cursor: int = 0
    """Packs of the epoch that are used up, by steps of which the first may have begun in an epoch before."""

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Progress:
        state = checkpoint.state()
        return cls(state["step"], state["epoch"], state["cursor"])


def sample_tokens(shape: Shape, model: ModelConfig) -> int:
    """Tokens of a sample at most: those of its latent, and of its last frame where that may be given.

    Raises:
        ValueError: the latent does not divide into patches.
    """
    C, _, H, W = shape
    of_frame = num_tokens((C, model.patch[0], H, W), model.patch) if model.lone_frames else 0
    return num_tokens(shape, model.patch) + of_frame


def token_counts(shapes: Collection[Shape], model: ModelConfig) -> np.ndarray:
    """`sample_tokens` of each shape, (n,) int64."""
    counted = lru_cache(lambda shape: sample_tokens(shape, model))
    return np.fromiter(map(counted, shapes), np.int64, len(shapes))


def plan_of(names: Sequence[str], counts: np.ndarray, config: TrainConfig, release_hash: str) -> Plan:
    """The steps of samples with so many tokens.

    Raises:
        ValueError: a sample has more tokens than a pack.
    """
    model = config.model
    return Plan(
        names,
        counts,
        config.tokens_per_pack,
        config.packs_per_step,
        partial(document_costs, width=model.width, depth=model.depth, mlp_ratio=model.mlp_ratio, text=model.text),
        lambda epoch: digest(release_hash, config.seed, epoch),
    )


def curve_settings(config: TrainConfig) -> dict[str, Any]:
    """What losses depend on, beside the model, by names in the recipe's section `train`; a run keeps to it."""
    settings = _flat({name: value for name, value in asdict(config).items() if name not in FREE})
    if config.decay_share > 0:
        settings["steps"] = config.steps
    return settings


def release_settings(release_hash: str, shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """The release, and a hash of the samples that it has: another `encode` may have added some."""
    state = hashlib.sha256()
    for name, shape in shapes.items():
        state.update(f"{name} {shape} ".encode())
    return {"release_hash": release_hash, "samples_hash": state.hexdigest()[:16]}


def require_same_curve(checkpoint: Checkpoint, settings: Mapping[str, Any]) -> None:
    """Raise ValueError, with the setting at fault, if the checkpoint is one of a run with others."""
    trained = checkpoint.state().get("settings", {})
    for name, now in settings.items():
        if trained.get(name) != now:
            raise ValueError(f"{name} = {now}: {checkpoint.folder} was trained with {trained.get(name)}")


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted names, as they come back from JSON."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = list(value) if isinstance(value, tuple) else value
    return found
