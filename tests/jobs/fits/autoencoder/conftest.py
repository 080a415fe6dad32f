"""A network of a few thousand weights, and clips of a few pixels, for fits of a few steps."""

from __future__ import annotations

import pytest
import torch

from jobs.fits.autoencoder import clips
from jobs.fits.autoencoder.__main__ import with_bottleneck
from jobs.fits.autoencoder.fit import Extras, Fit
from model.codec.bottlenecks.config import KINDS, BottleneckConfig, NoisedConfig, VectorConfig
from model.codec.causal import Autoencoder, AutoencoderConfig

SIZES = {"fine_channels": 8, "coarse_channels": 8, "detail_channels": 4}
TINY = AutoencoderConfig(**SIZES, encoder_blocks=(1, 1), decoder_blocks=(1, 1, 1))
BOTTLENECKS: dict[str, BottleneckConfig] = {kind: make() for kind, make in KINDS.items()} | {
    "vq": VectorConfig(num_codes=8)
}
NOISED, NOTHING_MORE = NoisedConfig(), Extras()


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(clips, "BATCH_PIXELS", {"cpu": 2 * 9 * 16 * 16})
    monkeypatch.setattr(clips, "SHAPES_THW", ((9, 16, 16), (5, 16, 24)))


@pytest.fixture
def fit_of():
    """Makes a fit of a tiny network: of a seed, a bottleneck and further losses."""

    def make(seed: int = 0, bottleneck: BottleneckConfig = NOISED, extras: Extras = NOTHING_MORE) -> Fit:
        torch.manual_seed(seed)
        return Fit(Autoencoder(with_bottleneck(TINY, bottleneck)).train(), seed=0, device="cpu", extras=extras)

    return make
