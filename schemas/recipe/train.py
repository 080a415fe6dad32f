"""[train]: the training run."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from schemas.strict import STRICT, Fraction


@dataclass(frozen=True, config=STRICT)
class ModelConfig:
    """Size of the diffusion transformer."""

    width: PositiveInt = 192
    """Channels of a token; a multiple of `num_heads`."""
    depth: PositiveInt = 6
    """Transformer blocks."""
    num_heads: PositiveInt = 6
    """Attention heads of each block."""
    patch: tuple[PositiveInt, PositiveInt, PositiveInt] = (1, 2, 2)
    """Latent frames, rows and columns that make one token (DiT's p = 2, Peebles & Xie 2023)."""
    mlp_ratio: PositiveFloat = 4.0
    """Channels of the hidden layer of a block's MLP, in units of `width`."""
    modulation: Literal["block", "shared"] = "block"
    """Whether each block makes its own shifts, scales and gates of noise level and text, or adds a vector of its own to
    those that are made once (PixArt-alpha), which saves a quarter of the parameters."""
    text: Literal["cross", "in_context"] = "cross"
    """How blocks read the text: by cross-attention, or with its tokens in the sequence."""


@dataclass(frozen=True, config=STRICT)
class ObjectiveConfig:
    """What the transformer predicts, how its error counts, and at which noise levels it is trained."""

    path: Literal["rectified_flow", "trigonometric", "ddpm_linear", "ddpm_cosine"] = "rectified_flow"
    """From data to noise: a straight line (Liu et al. 2023), a quarter of a circle, or a thousand steps (DDPM)."""
    prediction: Literal["x0", "noise", "v", "velocity"] = "velocity"
    """What the transformer answers: the data, the noise, alpha noise - sigma x_0, or dx/dt along the path."""
    weighting: Literal["own", "velocity", "min_snr", "sigmoid"] = "own"
    """Whose error counts: that of the prediction itself, or that of the velocity; or a weight by noise level."""
    weight_floor: PositiveFloat = 0.1
    """For `velocity`: the least deviation of noise that its error is divided by."""
    min_snr_gamma: PositiveFloat = 5.0
    """For `min_snr` (Hang et al. 2023)."""
    sigmoid_bias: float = -1.0
    """For `sigmoid` (Hoogeboom et al. 2024)."""
    timesteps: Literal["uniform", "logit_normal", "mode"] = "logit_normal"
    """How noise levels are drawn, before they are shifted by size (SD3, Esser et al. 2024)."""
    logit_mean: float = 0.0
    """For `logit_normal`: mean of the logit."""
    logit_std: PositiveFloat = 1.0
    """For `logit_normal`: its deviation."""
    mode_scale: float = 1.29
    """For `mode`."""
    uniform_share: Fraction = 0.1
    """Share of noise levels that are drawn uniformly, so that none is left out."""


@dataclass(frozen=True, config=STRICT)
class TextMix:
    """How often each text of a clip is drawn; shares of those that it has. DALL-E 3 trained on 95% synthetic captions
    and 5% texts that came with the source (Betker et al. 2023)."""

    detailed: NonNegativeFloat = 0.6
    """Share of the detailed caption."""
    medium: NonNegativeFloat = 0.15
    """Share of the medium caption."""
    short: NonNegativeFloat = 0.2
    """Share of the short caption."""
    original: NonNegativeFloat = 0.05
    """Share of the title or alt text that came with the source."""


@dataclass(frozen=True, config=STRICT)
class TaskMix:
    """How often each task is trained: which latent frames are given clean, as a condition. Shares of their sum."""

    text: NonNegativeFloat = 0.5
    """Share with no frame given."""
    first_frame: NonNegativeFloat = 0.25
    """Share with the first one given."""
    prefix: NonNegativeFloat = 0.15
    """Share with the first few given."""
    scattered: NonNegativeFloat = 0.1
    """Share with any few given, first and last among them."""

    def __post_init__(self) -> None:
        if not self.text + self.first_frame + self.prefix + self.scattered:
            raise ValueError("all tasks have a share of 0: give one of them more")


@dataclass(frozen=True, config=STRICT)
class TrainConfig:
    """The training run."""

    steps: PositiveInt = 200
    """Optimizer steps of the whole run; a larger number continues a finished run."""
    tokens_per_pack: PositiveInt = 2048
    """Latent tokens of a pack at most; the longest clip must fit. A run keeps to it."""
    packs_per_step: PositiveInt = 1
    """Packs of every step, of about the same cost, whatever the number of workers that share them; the loss is the mean
    over their samples. A run keeps to it."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """`muon`: Muon (Jordan et al. 2024) for the matrices of the blocks, and AdamW for the rest."""
    learning_rate: PositiveFloat = 1e-3
    """AdamW's learning rate after the warm-up."""
    matrix_learning_rate: PositiveFloat = 0.01
    """Muon's learning rate after the warm-up."""
    warmup_steps: NonNegativeInt = 20
    """Steps over which the learning rates rise from 0."""
    decay_share: Fraction = 0.0
    """Share of the steps, the last ones, over which the learning rates fall to 0 in a straight line."""
    weight_decay: NonNegativeFloat = 0.0
    """Of both optimizers, in units of their learning rates."""
    grad_clip: PositiveFloat = 1.0
    """Norm of all gradients together, above which they are scaled down to it."""
    ema_decay: Fraction = 0.99
    """Decay per step of the exponential moving average of the weights; the average is what samples."""
    text_drop: Fraction = 0.1
    """Share of samples whose text is dropped, for classifier-free guidance (Ho & Salimans 2022)."""
    text_mix: TextMix = field(default_factory=TextMix)
    tasks: TaskMix = field(default_factory=TaskMix)
    seed: int = 0
    """Seed of initial weights, order of samples, noise, timesteps and texts."""
    validate_every: PositiveInt = 50
    """Steps between two validation losses."""
    checkpoint_every: PositiveInt = 50
    """Steps between two checkpoints."""
    keep_checkpoints: PositiveInt = 2
    """Checkpoints kept; older ones are deleted."""
    num_workers: PositiveInt = 1
    """Ray Train workers that share a step's packs; the loss does not depend on their number."""
    use_gpu: bool = False
    """Whether each worker asks Ray for a GPU."""
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
