"""The bottleneck that a config describes."""

from __future__ import annotations

from model.codec.bottlenecks.bottleneck import Bottleneck
from model.codec.bottlenecks.config import (
    BottleneckConfig,
    GaussianConfig,
    LookupFreeConfig,
    NoisedConfig,
    PlainConfig,
    ScalarConfig,
    VectorConfig,
)
from model.codec.bottlenecks.continuous import Gaussian, Noised, Plain
from model.codec.bottlenecks.lookup_free import LookupFree
from model.codec.bottlenecks.scalar import FiniteScalar
from model.codec.bottlenecks.vector import VectorQuantised


def make_bottleneck(config: BottleneckConfig, channels: int) -> Bottleneck:
    """Make a bottleneck for latents of so many channels.

    Raises:
        ValueError: it cannot have so many.
    """
    match config:
        case PlainConfig():
            return Plain(config, channels)
        case NoisedConfig():
            return Noised(config, channels)
        case GaussianConfig():
            return Gaussian(config, channels)
        case VectorConfig():
            return VectorQuantised(config, channels)
        case ScalarConfig():
            return FiniteScalar(config, channels)
        case LookupFreeConfig():
            return LookupFree(config, channels)
