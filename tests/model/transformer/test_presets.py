"""Presets against published numbers of parameters and of multiply-adds, without making a weight."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.packing.packs import Document, pack_documents
from model.transformer.config import TransformerConfig
from model.transformer.presets import PRESETS
from model.transformer.transformer import Transformer, count_parameters

PLACES, FRAMES = 256, 16
"""Rows of the tables of positions that they keep: 16 x 16 patches, and frames."""
PARAMETERS = {
    "dit-s/2": (32_963_360, PLACES),
    "dit-b/2": (130_512_416, PLACES),
    "dit-l/2": (458_102_816, PLACES),
    "dit-xl/2": (675_129_632, PLACES),
    **{f"latte-s/2-{variant}": (32_585_120, PLACES + FRAMES) for variant in (1, 2, 4)},
    **{f"latte-b/2-{variant}": (129_755_936, PLACES + FRAMES) for variant in (1, 2, 4)},
    **{f"latte-l/2-{variant}": (457_094_176, PLACES + FRAMES) for variant in (1, 2, 4)},
    **{f"latte-xl/2-{variant}": (673_994_912, PLACES + FRAMES) for variant in (1, 2, 4)},
    "vdt-s/2": (41_849_120, PLACES + FRAMES),
    "vdt-l/2": (861_168_416, PLACES + FRAMES),
}
GIGA_MULTIPLY_ADDS = {"dit-s/2": 6.06, "dit-b/2": 23.01, "dit-l/2": 80.70, "dit-xl/2": 118.62}
"""Of a latent of 32 x 32 (DiT, Peebles & Xie 2023, table 4, whose Gflops are these)."""


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_as_many_as_published(name: str) -> None:
    published, table_rows = PARAMETERS[name]
    config = TransformerConfig(**PRESETS[name])
    assert count_parameters(config) + table_rows * config.width == published


@pytest.mark.parametrize("name", GIGA_MULTIPLY_ADDS)
def test_multiply_adds_are_as_many_as_published(name: str) -> None:
    config = TransformerConfig(**PRESETS[name])
    nothing = torch.zeros(1, 1, 1, dtype=torch.bool)
    pack = pack_documents([Document(torch.zeros(4, 1, 32, 32), nothing, 0.5, 1.0, None)], config.patch, 64).to("meta")
    with torch.device("meta"):
        transformer = Transformer(config)
    with FlopCounterMode(display=False) as counter:
        transformer(pack)
    D = config.width
    of_clean_tokens = (
        6 * config.depth * D * D + 2 * D * D + 256 * D + D * D
    )  # their row of conditioning, which DiT lacks
    counted = counter.get_total_flops() / 2 - of_clean_tokens
    assert counted / 1e9 == pytest.approx(GIGA_MULTIPLY_ADDS[name], abs=0.007)


def test_every_preset_can_be_made() -> None:
    for settings in PRESETS.values():
        count_parameters(TransformerConfig(**settings))
    assert [PRESETS["latte-s/2-2"]["layouts"].count(layout) for layout in ("spatial", "temporal")] == [6, 6]
