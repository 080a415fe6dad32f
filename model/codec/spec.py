"""What a video codec's files say of it: strides, channels, statistics, fingerprint; and the sizes that it encodes.

Neither torch is imported nor are weights loaded, so that a driver can plan what only its workers encode.

A codec takes the first frame alone and the following ones in groups of its stride in time (as in MAGVIT-v2, Yu et al.
2024; Wan 2025; LTX-Video, HaCohen et al. 2024): stride * k + 1 frames give k + 1 latent frames. A clip of any other
size is padded, and the plan says which part is the clip's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.checkpoint import CONFIG_FILE, read_config, require_weights
from model.codec.bottlenecks.config import bottleneck_config
from model.codec.folders import codec_folder
from model.codec.published.specs import CLASS_KEY, Facts, published_facts
from schemas.identity import folder_digest

CAUSAL_STRIDE_THW = (4, 8, 8)
"""Of the network in `model.codec.causal`, which takes it from here: its config files do not hold it."""


@dataclass(frozen=True)
class CodecPlan:
    """The sizes at which a clip is encoded.

    The valid part is the clip itself: the first frames, and the upper left of the picture. All else is padding.
    """

    encoded: tuple[int, int, int]
    """Frames, width and height in pixels."""
    valid: tuple[int, int, int]
    """Frames, width and height in pixels; none is above the encoded one."""
    latent_shape: tuple[int, int, int, int]
    """(C, T, H, W)."""


@dataclass(frozen=True)
class CodecSpec:
    """A codec's strides, its latents and its name."""

    stride_thw: tuple[int, int, int]
    """Frames, rows and columns of pixels to one latent; the first frame has a latent frame to itself."""
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Of each channel of raw latents, over the clips that the codec was fitted on."""
    fingerprint: str
    """`folder_digest` of the files."""
    causal: bool = True
    """A latent frame depends on no frame after its own, so the latents of a prefix are the prefix of the latents."""
    decodes_whole: bool = False
    """All frames are decoded at once, so memory grows with the length; otherwise it does not, nor does encoding's."""

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.std) == self.channels:
            lengths = f"{len(self.mean)} means and {len(self.std)} deviations"
            raise ValueError(f"a codec of {self.channels} latent channels cannot have {lengths}")
        _require_positive("stride", self.stride_thw)

    def plan(self, frames: int, width: int, height: int, patch_thw: tuple[int, int, int] = (1, 1, 1)) -> CodecPlan:
        """The least that holds a clip of this size in whole latents and whole patches of them.

        Args:
            frames: at least 1, as width and height in pixels.
            patch_thw: latent frames, rows and columns of a patch of the transformer.
        Raises:
            ValueError: something is below 1.
        """
        _require_positive("clip", (frames, width, height))
        _require_positive("patch", patch_thw)
        stride_t, stride_h, stride_w = self.stride_thw
        needed_THW = -(-(frames - 1) // stride_t) + 1, -(-height // stride_h), -(-width // stride_w)
        T, H, W = (-(-side // patch) * patch for side, patch in zip(needed_THW, patch_thw, strict=True))
        return CodecPlan(
            encoded=(num_frames(T, stride_t), W * stride_w, H * stride_h),
            valid=(frames, width, height),
            latent_shape=(self.channels, T, H, W),
        )


def codec_spec(name: str = "builtin") -> CodecSpec:
    """Read the spec of the codec that `load_codec` loads by this name.

    Raises:
        ValueError: no checkpoint there, or not one of a codec that is known.
    """
    folder = codec_folder(name)
    config = read_config(folder)
    try:
        facts = published_facts(folder, config) if CLASS_KEY in config else _causal_facts(folder, config)
    except KeyError as error:
        raise ValueError(f"{folder / CONFIG_FILE} is not that of a codec: it has no {error}") from error
    return CodecSpec(**facts._asdict(), fingerprint=folder_digest(folder))


def num_frames(latent_frames: int, stride_t: int) -> int:
    """Frames that so many latent frames stand for, the first of which stands for one frame."""
    return (latent_frames - 1) * stride_t + 1


def _causal_facts(folder: Path, config: Mapping[str, Any]) -> Facts:
    require_weights(folder)
    try:
        bottleneck_config(config.get("bottleneck"))
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG_FILE} is of no codec that is known: {error}") from error
    statistics = tuple(config["latent_mean"]), tuple(config["latent_std"])
    return Facts(CAUSAL_STRIDE_THW, config["latent_channels"], *statistics)


def _require_positive(what: str, sizes: Iterable[int]) -> None:
    sizes = tuple(sizes)
    if min(sizes) < 1:
        raise ValueError(f"{what} of {sizes}: each must be at least 1")
