"""[train]: the training run."""

from __future__ import annotations

from dataclasses import field

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from schemas.recipe.strict import STRICT, Fraction


@dataclass(frozen=True, config=STRICT)
class ModelConfig:
    """Size of the diffusion transformer."""

    width: PositiveInt = 192
    depth: PositiveInt = 6
    num_heads: PositiveInt = 6
    patch: tuple[PositiveInt, PositiveInt, PositiveInt] = (1, 2, 2)
    mlp_ratio: PositiveFloat = 4.0


@dataclass(frozen=True, config=STRICT)
class TextMix:
    """How often each text of a clip is drawn; shares of those that it has. DALL-E 3 trained on 95% synthetic captions
    and 5% texts that came with the source (Betker et al. 2023)."""

    detailed: NonNegativeFloat = 0.6
    medium: NonNegativeFloat = 0.15
    short: NonNegativeFloat = 0.2
    original: NonNegativeFloat = 0.05


@dataclass(frozen=True, config=STRICT)
class TrainConfig:
    """The training run."""

    steps: PositiveInt = 200
    tokens_per_pack: PositiveInt = 2048
    packs_per_step: PositiveInt = 1
    """Packs whose mean loss makes a step, whatever the number of workers that share them."""
    learning_rate: PositiveFloat = 1e-3
    warmup_steps: NonNegativeInt = 20
    weight_decay: NonNegativeFloat = 0.0
    grad_clip: PositiveFloat = 1.0
    ema_decay: Fraction = 0.99
    text_drop: Fraction = 0.1
    """Share of samples whose text is dropped, for classifier-free guidance (Ho & Salimans 2022)."""
    text_mix: TextMix = field(default_factory=TextMix)
    seed: int = 0
    validate_every: PositiveInt = 50
    checkpoint_every: PositiveInt = 50
    keep_checkpoints: PositiveInt = 2
    num_workers: PositiveInt = 1
    use_gpu: bool = False
    model: ModelConfig = field(default_factory=ModelConfig)
