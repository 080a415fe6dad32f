"""What a transformer is made of: sizes, and a choice on each axis."""

from __future__ import annotations

from dataclasses import dataclass

from model.packing.packs import CONDITIONS
from model.packing.patches import Patch
from model.transformer.layouts import FRAMES, is_layout
from model.transformer.positions import axis_dims

CHOICES: dict[str, tuple[str, ...]] = {
    "conditioning": ("adaln_zero", "adaln", "cross", "in_context"),
    "modulation": ("block", "shared"),
    "text": ("cross", "in_context", "joint", "none"),
    "text_projection": ("linear", "mlp"),
    "qk_norm": ("head", "width", "none"),
    "positions": ("seconds", "frames", "sincos", "sincos_time", "none"),
    "final": ("linear", "table"),
    "null_text": ("learned", "zeros"),
    "timesteps": ("thousandths", "steps"),
}


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes and choices.

    Raises:
        ValueError: `num_heads` does not divide `width`, or leaves heads too small for three axes of position; or
            settings that are unknown or do not go together.
    """

    width: int = 192
    depth: int = 6
    num_heads: int = 6
    patch: Patch = (1, 2, 2)
    mlp_ratio: float = 4.0
    latent_channels: int = 8
    text_dim: int = 64
    layouts: tuple[str, ...] = ("joint",)
    """Attention layouts of the blocks, repeated over the depth."""
    time_attention: bool = False
    """Each block begins with attention over time at each place (VDT, Lu et al. 2024; TimeSformer, Bertasius et al.
    2021)."""
    conditioning: str = "adaln_zero"
    """How blocks are told the noise level (DiT, Peebles & Xie 2023): `adaln_zero` shifts, scales and gates; `adaln`
    shifts and scales; `cross` attends to it beside the text; `in_context` has it as a token of the sequence."""
    modulation: str = "block"
    """`block`: each block makes its shifts, scales and gates of the conditioning. `shared`: they are made once for all
    blocks, each of which adds a vector of its own (adaLN-single, PixArt-alpha)."""
    text: str = "cross"
    """`cross`: cross-attention; `in_context`: in the sequence; `joint`: in the sequence, with weights of its own
    (MM-DiT, Esser et al. 2024); `none`."""
    text_projection: str = "linear"
    """`linear`: normalised and projected; `mlp`: two layers without a norm (PixArt-alpha, Wan)."""
    pooled_text: bool = True
    """Whether the mean of the text is part of the conditioning."""
    null_text: str = "learned"
    """What a document without text reads: a learned token, or one embedding of zeros, as other programs can give it
    too."""
    text_refiner: int = 0
    """Blocks by which the tokens of a text attend to each other first (HunyuanVideo, Kong et al. 2024)."""
    conditions: tuple[str, ...] = ()
    """What else is part of the conditioning: some of `model.packing.packs.CONDITIONS` but `label`."""
    num_labels: int = 0
    """Classes of the condition `label`; there is one more row, for none."""
    timesteps: str = "thousandths"
    """How the noise level is told: from 0 to 1000 at the frequencies of the paper; or as the steps 0 to 999 at those of
    diffusers' DiT, which are spread a little wider."""
    qk_norm: str = "head"
    """Root-mean-square norm of queries and keys over the channels of a head, over all, or none."""
    positions: str = "seconds"
    """Rotary in time by seconds or by frames; or sines and cosines added to the tokens, of row and column (DiT), and of
    the frame too."""
    rotary_dims: tuple[int, int, int] | None = None
    """Channels of a head for time, rows and columns; a quarter for time and the rest in halves by default."""
    registers: int = 0
    """Learned tokens without content of each document (Darcet et al. 2024)."""
    lone_frames: bool = False
    """Whether frames that were encoded on their own may be given."""
    long_skips: bool = False
    """The second half of the blocks also reads what went into the first (U-ViT, Bao et al. 2023)."""
    final: str = "linear"
    """How the last shift and scale are made: by a layer of the conditioning, or by adding a table to it (Wan)."""
    answer_factor: int = 1
    """Values that are answered to each one of a patch."""

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} = {getattr(self, name)!r}: none of {', '.join(known)}")
        for name in self.conditions:
            if name not in CONDITIONS or name == "label":
                raise ValueError(f"conditions: {name!r} is none of {', '.join(n for n in CONDITIONS if n != 'label')}")
        for layout in self.layouts:
            if not is_layout(layout):
                raise ValueError(f"layouts: {layout!r} is not known")
            if self.num_heads % (layout.count("+") + 1):
                raise ValueError(f"layouts: {layout!r} does not divide {self.num_heads} heads evenly")
        self._require_joint()
        if self.width % self.num_heads:
            raise ValueError(f"num_heads = {self.num_heads} does not divide width = {self.width}")
        if self.conditioning == "cross" and self.text not in ("cross", "none"):
            raise ValueError(f"conditioning = 'cross' goes with text = 'cross' or 'none', not {self.text!r}")
        if not self.is_modulated and (self.modulation != "block" or self.final != "linear"):
            raise ValueError(f"conditioning = {self.conditioning!r} has no modulation that could be shared")
        if self.is_rotary:
            dims = self.rotary_dims or axis_dims(self.head_dim)
            if len(dims) != 3 or sum(dims) != self.head_dim or any(dim % 2 for dim in dims):
                raise ValueError(f"rotary_dims = {dims}: not 3 even numbers that sum to the {self.head_dim} of a head")
        elif self.positions != "none" and self.width % 4:
            raise ValueError(f"positions = {self.positions!r} needs a width that is a multiple of 4")

    def _require_joint(self) -> None:
        """Tokens that are at no place are in no group but the whole document."""
        nowhere = {
            "text = 'in_context'": self.text == "in_context",
            "text = 'joint'": self.text == "joint",
            "conditioning = 'in_context'": self.conditioning == "in_context",
            "registers": self.registers > 0,
        }
        for setting, is_set in nowhere.items():
            if is_set and (set(self.layouts) != {"joint"} or self.time_attention):
                raise ValueError(f"{setting} needs the layout 'joint' in all blocks: it is in no frame or window")
        if FRAMES in self.layouts and self.long_skips:
            raise ValueError("long_skips does not go with the layout 'frames'")

    def layout(self, block: int) -> str:
        """The layout of a block, counted from 0."""
        return self.layouts[block % len(self.layouts)]

    @property
    def head_dim(self) -> int:
        return self.width // self.num_heads

    @property
    def hidden(self) -> int:
        """Channels inside an MLP."""
        return round(self.width * self.mlp_ratio)

    @property
    def is_modulated(self) -> bool:
        return self.conditioning in ("adaln_zero", "adaln")

    @property
    def is_rotary(self) -> bool:
        return self.positions in ("seconds", "frames")

    @property
    def text_in_sequence(self) -> bool:
        return self.text in ("in_context", "joint")

    @property
    def attends_to_text(self) -> bool:
        """Whether blocks have cross-attention, to the text or to the conditioning."""
        return self.text == "cross" or self.conditioning == "cross"

    @property
    def patch_values(self) -> int:
        return self.latent_channels * self.patch[0] * self.patch[1] * self.patch[2]
