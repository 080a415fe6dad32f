"""The cost of documents is what PyTorch counts for the blocks of the transformer itself."""

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.packing.cost import document_costs, pack_cost
from model.packing.packs import Document, pack_documents
from model.transformer.transformer import Transformer, TransformerConfig

GRIDS = ((1, 4, 6), (3, 4, 6), (2, 5, 5))


def counted_flops(config: TransformerConfig, text_length: int) -> int:
    """FLOPs of the blocks for documents of GRIDS, as counted operation by operation."""
    documents = [
        Document(
            torch.zeros(4, T, 2 * H, 2 * W),
            torch.zeros(1, 1, 1, dtype=torch.bool),
            0.5,
            2.0,
            torch.zeros(text_length, 6),
        )
        for T, H, W in GRIDS
    ]
    pack = pack_documents(documents, config.patch, config.text_dim)
    counter = FlopCounterMode(display=False)
    model = Transformer(config)
    with torch.no_grad(), counter, sdpa_kernel(SDPBackend.MATH):  # in matrix products, which are counted
        model(pack)
    counts = counter.get_flop_counts()
    blocks = [name for name in counts if name.startswith("Transformer.blocks.") and name.count(".") == 2]
    assert len(blocks) == config.depth
    return sum(sum(counts[name].values()) for name in blocks)


@pytest.mark.parametrize("settings", [{}, {"mlp_ratio": 2.5}, {"depth": 1}, {"width": 48}])
def test_a_pack_costs_the_flops_of_its_blocks(settings):
    """All but the modulation, and the text: its keys and values, and scores and sums over it; a row more stands
    for the absence of text."""
    config = TransformerConfig(
        **{"width": 24, "depth": 2, "num_heads": 2, "latent_channels": 4, "text_dim": 6} | settings
    )
    D, num_text = config.width, 5
    tokens = sum(T * H * W for T, H, W in GRIDS)
    modulation = 2 * 2 * len(GRIDS) * D * 6 * D
    text = 4 * (num_text * len(GRIDS) + 1) * D**2 + 4 * tokens * num_text * D
    lengths = [T * H * W for T, H, W in GRIDS]
    cost = pack_cost(lengths, D, config.depth, config.mlp_ratio)
    assert cost + config.depth * (modulation + text) == counted_flops(config, num_text)


def test_text_in_the_sequence_saves_the_cross_attention():
    assert pack_cost([100], 64, 3) - pack_cost([100], 64, 3, text="in_context") == 3 * 4 * 100 * 64**2


def test_costs_are_of_each_document_and_do_not_overflow():
    lengths = np.array([[1, 200_000], [7, 7]], np.int32)
    costs = document_costs(lengths, 6144, 64)
    assert costs.tolist() == [[pack_cost([int(n)], 6144, 64) for n in row] for row in lengths]
    assert costs[0, 1] == 64 * (28 * 6144**2 * 200_000 + 4 * 6144 * 200_000**2)
