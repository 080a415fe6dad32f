"""What a run will cost before any of it is spent: its plan, and a step on tensors that have shapes and no values."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.packing.packs import Document, Pack, pack_documents
from model.training.activations import kept_bytes
from model.training.held_out import Chosen, held_out_places
from model.training.optimizers import Optimizers
from model.training.progress import STEPS_LOOKED_AT, plan_of, token_counts
from model.training.samples import Samples, Shape
from model.transformer.config import TransformerConfig
from model.transformer.lora import add_lora
from model.transformer.transformer import Transformer, count_parameters
from schemas.recipe.train import TrainConfig

TEXT_TOKENS = 32
"""Taken to be a text's length: captions are read from disk only when they are trained on."""
FLOAT_BYTES = 4
MOST_FLOPS_TO_TRY = 5e11
"""Of a pack that is tried on a CPU: some ten seconds."""


@dataclass(frozen=True)
class Forecast:
    """What a run is expected to take."""

    parameters: int
    samples: int
    held_out: int
    epoch_tokens: int
    epoch_steps: float
    fill: float
    """Tokens of a pack, of those it has room for."""
    step_flops: float
    """Forward and backward pass of all packs of a step, on the mean."""
    weight_bytes: int
    """Of a worker: weights, gradients, averages and what the optimizers keep, or its part of them."""
    activation_bytes: int
    """Of a worker: what the costliest pack keeps for its backward pass, in float32."""
    pack_seconds: float | None
    """Forward and backward pass of that pack on this machine; None if it is too large to be tried."""
    pack_flops: float

    def seconds(self, steps: int, packs_per_step: int, num_workers: int) -> float | None:
        """Time of steps on workers that are each like this machine."""
        if self.pack_seconds is None:
            return None
        return steps * self.step_flops / self.pack_flops * self.pack_seconds / min(num_workers, packs_per_step)


def foresee(samples: Samples, config: TrainConfig, network: TransformerConfig, release_hash: str = "") -> Forecast:
    """What training on these samples takes.

    Raises:
        ValueError: a sample has more tokens than a pack.
    """
    counts = token_counts(samples.shapes.values(), config.model)
    held_out = held_out_places(samples.videos)
    trained = np.setdiff1d(np.arange(len(counts)), held_out)
    plan = plan_of(Chosen(samples.names, trained), counts[trained], config, release_hash)
    packs = plan.first_packs(STEPS_LOOKED_AT * config.packs_per_step)
    costs = [int(plan.costs[pack].sum()) for pack in packs]
    names = [plan.ids[place] for place in packs[int(np.argmax(costs))]]
    shapes = [samples.shapes[name] for name in names]
    pack = pack_of(shapes, network)
    flops = step_flops(network, pack)
    saved = step_bytes(network, shapes, recomputed=config.activation_checkpointing == "blocks")
    of_epoch = float(plan.costs.sum()) / max(costs) * flops
    steps = int(plan.counts.sum()) / fill_of(packs, plan.counts, config) / config.tokens_per_pack
    steps /= config.packs_per_step
    return Forecast(
        parameters=count_parameters(network),
        samples=len(trained),
        held_out=len(held_out),
        epoch_tokens=int(plan.counts.sum()),
        epoch_steps=steps,
        fill=fill_of(packs, plan.counts, config),
        step_flops=of_epoch / steps,
        weight_bytes=weight_bytes(network, config),
        activation_bytes=saved,
        pack_seconds=seconds_of(Transformer(network), pack) if flops <= MOST_FLOPS_TO_TRY else None,
        pack_flops=flops,
    )


def fill_of(packs: Sequence[Sequence[int]], counts: np.ndarray, config: TrainConfig) -> float:
    return float(np.mean([counts[pack].sum() for pack in packs])) / config.tokens_per_pack


def pack_of(shapes: Sequence[Shape], network: TransformerConfig) -> Pack:
    """A pack of latents of these shapes, with a text each, that show nothing."""
    nothing = torch.zeros(1, 1, 1, dtype=torch.bool)
    text = None if network.text == "none" else torch.zeros(TEXT_TOKENS, network.text_dim)
    documents = [Document(torch.zeros(shape), nothing, 0.5, 1.0, text) for shape in shapes]
    return pack_documents(documents, network.patch, network.text_dim)


def step_flops(network: TransformerConfig, pack: Pack) -> int:
    """FLOPs of a forward and a backward pass, by the shapes of its matrix products alone."""
    with torch.device("meta"):
        transformer = Transformer(network)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        transformer(pack.to("meta")).sum().backward()
    return counter.get_total_flops()


def step_bytes(network: TransformerConfig, shapes: Sequence[Shape], *, recomputed: bool = False) -> int:
    """Bytes that a forward pass keeps for the backward pass, by the shapes of its tensors alone.

    Args:
        recomputed: whether blocks are computed again in the backward pass, one at a time.
    """
    pack = pack_of(shapes, network)  # of its own, as what is worked out for it has no values either
    with FakeTensorMode(allow_non_fake_inputs=True):
        return kept_bytes(Transformer(network), pack, recomputed=recomputed)


def weight_bytes(network: TransformerConfig, config: TrainConfig) -> int:
    """Bytes of all weights; and of those that are trained, of gradients, two averages and moments: two of AdamW's, one
    of Muon's. Where workers share them, a part of all, and the weights and gradients of the largest block."""
    with torch.device("meta"):
        transformer = Transformer(network)
        if config.lora.rank:
            add_lora(transformer, config.lora)
    moments = 0
    for optimizer, _, parameters in Optimizers.of(transformer, config).parts:
        per_weight = 2 if isinstance(optimizer, torch.optim.AdamW) else 1
        moments += per_weight * sum(parameter.numel() for parameter in parameters.values())
    trained = sum(parameter.numel() for parameter in transformer.parameters() if parameter.requires_grad)
    held = sum(parameter.numel() for parameter in transformer.parameters())
    total = held + 3 * trained + moments
    if config.parallel == "fsdp" and config.num_workers > 1:
        of_blocks = [sum(parameter.numel() for parameter in block.parameters()) for block in transformer.blocks]
        total = total // config.num_workers + 2 * max(*of_blocks, held - sum(of_blocks))
    return FLOAT_BYTES * total


def seconds_of(transformer: Transformer, pack: Pack, clock: Callable[[], float] = time.perf_counter) -> float:
    """Time of a forward and a backward pass, the shortest of three."""
    took = []
    for _ in range(3):
        start = clock()
        transformer(pack).sum().backward()
        took.append(clock() - start)
    return min(took)
