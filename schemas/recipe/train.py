"""[train]: the training run."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from schemas.strict import STRICT, Fraction, FractionBelow1


@dataclass(frozen=True, config=STRICT)
class ModelConfig:
    """Size of the diffusion transformer."""

    preset: str = ""
    """A published transformer by name, as `dit-s/2`, or a folder with one: of diffusers (Wan, DiT), or of a run. All
    keys below are taken from it, but for those that are set to something else than their default."""
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
    layouts: tuple[str, ...] = ("joint",)
    """Who attends to whom in each block, repeated over the depth: `joint`, `spatial`, `temporal`, `window`,
    `shifted_window`, `neighbourhood`; `spatial+temporal` for half of the heads each; `frames` for means of frames."""
    time_attention: bool = False
    """Each block begins with attention over time at each place (VDT)."""
    conditioning: Literal["adaln_zero", "adaln", "cross", "in_context"] = "adaln_zero"
    """How blocks are told the noise level: DiT's four ways (Peebles & Xie 2023)."""
    modulation: Literal["block", "shared"] = "block"
    """Whether each block makes its own shifts, scales and gates of noise level and text, or adds a vector of its own to
    those that are made once (PixArt-alpha), which saves a quarter of the parameters."""
    text: Literal["cross", "in_context", "joint", "none"] = "cross"
    """How blocks read the text: by cross-attention, with its tokens in the sequence, or there with weights of their own
    (MM-DiT); or not at all."""
    text_projection: Literal["linear", "mlp"] = "linear"
    """How text embeddings come to the model's width: normalised and projected, or by two layers."""
    pooled_text: bool = True
    """Whether the mean of the text is told with the noise level."""
    null_text: Literal["learned", "zeros"] = "learned"
    """What a clip without text reads: a learned token, or an embedding of zeros (Wan)."""
    text_refiner: NonNegativeInt = 0
    """Blocks in which the tokens of a text attend to each other first (HunyuanVideo)."""
    conditions: tuple[Literal["height", "width", "frame_rate", "duration", "motion"], ...] = ()
    """What else is told with the noise level: rows and columns of patches, latent frames a second, seconds; and the
    measured `motion_px_s` of the clip, which a release has."""
    num_labels: NonNegativeInt = 0
    """Classes that a published DiT knows; clips are trained on as of none of them."""
    timesteps: Literal["thousandths", "steps"] = "thousandths"
    """How the noise level is told: in thousandths, or as the steps of diffusers' DiT."""
    qk_norm: Literal["head", "width", "none"] = "head"
    """Norm of queries and keys, over the channels of a head or over all."""
    positions: Literal["seconds", "frames", "sincos", "sincos_time", "none"] = "seconds"
    """Rotary, with time in seconds or in latent frames; or sines and cosines of row and column, and of the frame too,
    added to the tokens (DiT, Latte)."""
    rotary_dims: tuple[PositiveInt, ...] = ()
    """Channels of a head for time, rows and columns, where they turn; by default a quarter for time, and the rest in
    halves."""
    registers: NonNegativeInt = 0
    """Learned tokens without content of each clip."""
    lone_frames: bool = False
    """Whether frames that were encoded on their own may be given: a last frame, to interpolate."""
    long_skips: bool = False
    """The second half of the blocks also reads what went into the first (U-ViT)."""
    final: Literal["linear", "table"] = "linear"
    """How the last shift and scale are made: by a layer of the conditioning, or by adding a table to it (Wan)."""


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
    variance: Literal["fixed", "learned"] = "fixed"
    """`learned`: the transformer also answers the variances of the steps, for the sampler `ddpm` with few steps (Nichol
    & Dhariwal 2021); for paths of a thousand steps."""
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
    """How often each task is trained: what of a clip is given clean, as a condition. Shares of their sum."""

    text: NonNegativeFloat = 0.5
    """Share with no frame given."""
    first_frame: NonNegativeFloat = 0.25
    """Share with the first one given."""
    prefix: NonNegativeFloat = 0.15
    """Share with the first few given."""
    region: NonNegativeFloat = 0.1
    """Share with all given but a region of the frames, which stays in place: inpainting."""
    last_frame: NonNegativeFloat = 0.0
    """Share with the last frame given, encoded on its own; needs `model.lone_frames` and `encode.single_frames`."""
    first_last: NonNegativeFloat = 0.0
    """Share with the first and the last frame given: interpolation; needs the same."""
    past: NonNegativeFloat = 0.0
    """Share with a few frames wanted, those just before them and some of the further past given, and the rest left out:
    a long video is continued from its past (FDM), as `sample --context fdm` and `anchor` do."""

    def __post_init__(self) -> None:
        if not any(vars(self).values()):
            raise ValueError("all tasks have a share of 0: give one of them more")


@dataclass(frozen=True, config=STRICT)
class RoutingConfig:
    """Tokens that go past some of the blocks in training (TREAD, Krause et al. 2025); in sampling none does."""

    share: FractionBelow1 = 0.0
    """Share of the tokens of each clip that do, drawn anew in each epoch; the loss is over all."""
    first_block: NonNegativeInt = 1
    """The first block that they go past, counted from 0."""
    last_block: NonNegativeInt = 4
    """The last one, which must not be the last of all."""


@dataclass(frozen=True, config=STRICT)
class LoraConfig:
    """Low-rank additions to weights that stay as they are (LoRA, Hu et al. 2022); `train --init` says to which."""

    rank: NonNegativeInt = 0
    """Rank of each addition; 0 trains all weights."""
    alpha: PositiveFloat = 16.0
    """What is learned is added times alpha / rank."""
    targets: tuple[str, ...] = ("attention",)
    """Linear layers of the blocks that have one: by a part of their names, or its end. `attention` is all attention,
    `text_attention` that to the text; `to_qkv`, `to_out`, `mlp`."""


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
    average_lengths: tuple[PositiveFloat, PositiveFloat] = (0.05, 0.10)
    """Of the two averages of the weights that are kept, in shares of the steps so far: the deviation of how much each
    step counts, below .288 (EDM2, Karras et al. 2024). The first is what is validated and sampled."""
    snapshot_every: PositiveInt = 500
    """Steps between two copies of both averages, and one at the end, none of which is removed: of them
    `reelmill export --average` makes an average of any length."""
    text_drop: Fraction = 0.1
    """Share of samples whose text is dropped, for classifier-free guidance (Ho & Salimans 2022)."""
    motion_drop: Fraction = 0.1
    """With the condition `motion`: share of samples to which it is not told, so that it need not be in sampling."""
    token_drop: FractionBelow1 = 0.0
    """Share of the tokens of each clip that are left out (MaskDiT, Zheng et al. 2024); the loss is over the others, and
    what is given as a condition stays. To end on all tokens, as they do, start another run from this one (`--init`)."""
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
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """What workers hold of the model: all of it, or each a part (FSDP2), for models that one GPU cannot hold. A run may
    change it."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the computation: bfloat16 on GPUs and float32 on CPUs, or the one that is named. Weights, averages and the
    optimizer's state are float32."""
    activation_checkpointing: Literal["none", "blocks"] = "none"
    """`blocks`: what is inside of a block is computed again in the pass back and not kept, which saves memory and costs
    a third more time."""
    tracker: Literal["none", "trackio"] = "none"
    """Where metrics are written beside `metrics.jsonl`: to files of trackio, which `trackio show --project reelmill`
    draws; TRACKIO_DIR names their folder."""
    compile: bool = False
    """Whether the blocks are compiled (torch.compile), which takes minutes at the start."""
    routing: RoutingConfig = field(default_factory=RoutingConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
