"""The kinds of bottleneck and their settings, as a codec's config.json holds them; read without torch.

`"bottleneck": {"kind": "fsq", "levels": [8, 5, 5, 5]}`. A config without the entry is that of a codec which was fitted
with noise on its latents, as the built-in one was. Weights of losses are beside a reconstruction loss that is a mean
over pixel values.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True)
class PlainConfig:
    """A plain autoencoder: the latent is the encoder's output."""

    KIND: ClassVar[str] = "none"
    scale_weight: float = 1e-3
    """Of the mean square of the latents, which would otherwise drift."""


@dataclass(frozen=True)
class NoisedConfig:
    """A denoising autoencoder: noise on what the encoder is shown (Vincent et al. 2008) or on the latents (Yang et al.
    2025, arXiv:2507.15856), so that the decoder stays right for latents that a generative model has nearly right."""

    KIND: ClassVar[str] = "noised"
    latent_noise: float = 0.3
    """Standard deviation of the noise on whitened latents, drawn for each clip from 0 to this."""
    input_noise: float = 0.0
    """Standard deviation of the noise on frames in [-1, 1]."""
    scale_weight: float = 1e-3
    """As for `PlainConfig`."""


@dataclass(frozen=True)
class GaussianConfig:
    """A variational autoencoder (Kingma & Welling 2013): a diagonal Gaussian, stored as its mean."""

    KIND: ClassVar[str] = "gaussian"
    kl_weight: float = 1e-3
    """Of the divergence from a standard normal, in nats, a mean over latent values. A choice: as `scale_weight`, whose
    term it holds."""


@dataclass(frozen=True)
class VectorConfig:
    """Vector quantisation (van den Oord et al. 2017), its codebook a moving average (appendix A.1 there)."""

    KIND: ClassVar[str] = "vq"
    num_codes: int = 1024
    commitment_weight: float = 0.25
    """Beta in equation 3."""
    decay: float = 0.99
    """Gamma in appendix A.1."""
    dead_share: float = 0.1
    """Of the uses a batch that all codes would have if used alike: a code with fewer is moved to an encoder's output of
    the batch. A choice near Jukebox (Dhariwal et al. 2020, section 3.1), which does so below about an eighth."""


@dataclass(frozen=True)
class ScalarConfig:
    """Finite scalar quantisation (Mentzer et al. 2023): each channel is rounded to one of a few levels."""

    KIND: ClassVar[str] = "fsq"
    levels: tuple[int, ...] = (8, 5, 5, 5)
    """Of each channel; table 1 there, for about 2**10 codes."""


@dataclass(frozen=True)
class LookupFreeConfig:
    """Lookup-free quantisation (MAGVIT-v2, Yu et al. 2023): each channel is one bit."""

    KIND: ClassVar[str] = "lfq"
    entropy_weight: float = 0.1
    """Of the mean entropy of a position less the entropy of all, in nats; as in Open-MAGVIT2 (Luo et al. 2024)."""
    commitment_weight: float = 0.25
    """Of the mean squared distance from -1 and 1; from there too."""
    temperature: float = 1.0
    """Of the soft assignment to codes whose entropies are taken."""


BottleneckConfig = PlainConfig | NoisedConfig | GaussianConfig | VectorConfig | ScalarConfig | LookupFreeConfig
KINDS: dict[str, type[BottleneckConfig]] = {
    kind.KIND: kind
    for kind in (PlainConfig, NoisedConfig, GaussianConfig, VectorConfig, ScalarConfig, LookupFreeConfig)
}
DISCRETE = (VectorConfig, ScalarConfig, LookupFreeConfig)


def bottleneck_config(entry: Mapping[str, Any] | None) -> BottleneckConfig:
    """The settings that an entry of config.json stands for; those it does not name have their defaults.

    Raises:
        ValueError: a kind or a setting that is not known, or a value out of range.
    """
    if entry is None:
        return NoisedConfig()
    settings = dict(entry)
    kind = settings.pop("kind", None)
    if kind not in KINDS:
        raise ValueError(f"bottleneck kind {kind!r} is none of {', '.join(KINDS)}{_nearest(str(kind), KINDS)}")
    known = [field.name for field in fields(KINDS[kind])]
    for name in settings:
        if name not in known:
            raise ValueError(f"bottleneck {kind!r} has no setting {name!r}; it has {', '.join(known) or 'none'}")
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}
    config = KINDS[kind](**values)
    _check(config)
    return config


def as_entry(config: BottleneckConfig) -> dict[str, Any]:
    """The inverse of `bottleneck_config`: every setting, with the kind first."""
    return {"kind": config.KIND} | {field.name: getattr(config, field.name) for field in fields(config)}


def _check(config: BottleneckConfig) -> None:
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name == "levels":
            in_range, meant = value and min(value) >= 2, "two or more for each channel"
        elif field.name == "num_codes":
            in_range, meant = value >= 2, "2 or more"
        elif field.name == "decay":
            in_range, meant = 0 <= value < 1, "in [0, 1)"
        elif field.name == "temperature":
            in_range, meant = value > 0, "above 0"
        else:
            in_range, meant = value >= 0, "0 or more"
        if not in_range:
            raise ValueError(f"bottleneck {config.KIND!r}: {field.name} must be {meant}, got {value}")


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""
