"""Every choice of the transformer and of the objective, fitted to one clip: `python -m tests.bench.overfit`.

Each is trained from the same seed to the same clip and its text, at any noise level, and then samples the clip from
noise. A choice that cannot learn even that is broken. Networks are tiny, and no setting is tuned, so the figures say
nothing on which choice is better.

Errors are mean squares of whitened latents, whose variance is 1: of the data that the network sees at noise levels
.1, .3, .5, .7 and .9, and of the sampled clip, 20 steps of Euler's method.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from model.diffusion.objectives import PREDICTIONS, Objective
from model.diffusion.paths import PATHS
from model.diffusion.requests import Request
from model.diffusion.sampling import sample_latent
from model.diffusion.timesteps import Density
from model.training.examples import Example, document_losses, noised_example, pack_examples
from model.training.masks import NO_MASKS, Masks
from model.transformer.config import TransformerConfig
from model.transformer.routing import Route
from model.transformer.transformer import Transformer

CONFIG = TransformerConfig(width=48, depth=4, num_heads=4, text_dim=8, latent_channels=4)
CHOICES: dict[str, dict[str, Any]] = {
    "joint, adaLN-Zero, cross-attention": {},
    "spatial and temporal in turn": {"layouts": ("spatial", "temporal")},
    "half of the heads each": {"layouts": ("spatial+temporal",)},
    "spatial, then means of frames": {"layouts": ("spatial", "spatial", "spatial", "frames")},
    "windows, shifted in turn": {"layouts": ("window", "shifted_window")},
    "neighbourhood": {"layouts": ("neighbourhood",)},
    "time attention in each block": {"layouts": ("spatial",), "time_attention": True},
    "adaLN": {"conditioning": "adaln"},
    "noise level by cross-attention": {"conditioning": "cross"},
    "noise level in the sequence": {"conditioning": "in_context", "text": "in_context"},
    "shared modulation": {"modulation": "shared"},
    "text in the sequence": {"text": "in_context"},
    "joint text and video": {"text": "joint"},
    "long skips": {"long_skips": True},
    "sines and cosines": {"positions": "sincos_time", "qk_norm": "none"},
    "registers": {"registers": 4, "text": "in_context"},
    "facts told": {"conditions": ("height", "width", "frame_rate", "duration", "motion")},
}
MASKS: dict[str, tuple[Masks, Route | None]] = {
    "half of the tokens left out": (Masks(dropped=0.5), None),
    "half of the tokens past two blocks": (Masks(routed=0.5), Route(1, 2)),
    "both": (Masks(dropped=0.25, routed=0.5), Route(1, 2)),
}
PLACED = replace(CONFIG, positions="sincos_time")
"""For masks: by rotary positions alone a token knows its place in one clip only from the others, half of which lack."""
TOLD = {"motion": 5.0}
SHAPE = (4, 3, 8, 8)
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
BATCH = 8
RATE = 3e-3


@dataclass(frozen=True)
class Case:
    """What is fitted, and how."""

    network: str
    config: TransformerConfig = CONFIG
    objective: Objective = Objective(prediction="x0", weighting="velocity")
    masks: Masks = NO_MASKS
    route: Route | None = None


def cases() -> Iterator[Case]:
    """Every choice of the network with one objective, every one of masks, and every objective with one network."""
    for name, changed in CHOICES.items():
        yield Case(name, replace(CONFIG, **changed))
    for name, (masks, route) in MASKS.items():
        yield Case(name, PLACED, masks=masks, route=route)
    for path in PATHS:
        for prediction in PREDICTIONS:
            weighting = "velocity" if prediction == "x0" else "own"
            yield Case("joint, adaLN-Zero, cross-attention", objective=Objective(path, prediction, weighting))


def fitted(case: Case, steps: int) -> tuple[float, float]:
    """Errors after so many steps: of the data seen through noise, and of the sampled clip, both of all tokens."""
    config, objective = case.config, case.objective
    torch.manual_seed(0)
    transformer = Transformer(config)
    data, text = torch.randn(SHAPE), torch.randn(5, config.text_dim)
    nothing, density = torch.zeros(1, 1, 1, dtype=torch.bool), Density()
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(transformer.parameters(), RATE, weight_decay=0.0)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, steps)

    def examples(levels: list[float], masks: Masks = NO_MASKS) -> list[Example]:
        noised = [noised_example(objective, data, 2.0, text, nothing, level, generator) for level in levels]
        told = [replace(one, document=replace(one.document, told=TOLD)) for one in noised]
        return [replace(one, document=masks.over(one.document, config.patch, generator)) for one in told]

    for _ in range(steps):
        drawn = examples([density.draw(generator, 1.0) for _ in range(BATCH)], case.masks)
        pack, targets = pack_examples(drawn, config.patch, config.text_dim)
        optimizer.zero_grad()
        document_losses(transformer(pack, case.route), targets, pack).mean().backward()
        torch.nn.utils.clip_grad_norm_(transformer.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
    transformer.eval().requires_grad_(False)
    pack, _ = pack_examples(examples(list(LEVELS)), config.patch, config.text_dim)
    level_N1 = pack.timestep_B[pack.table.document_N][:, None]
    seen, _ = objective.solve(transformer(pack), pack.tokens_NP, level_N1)
    clean, _ = pack_examples(examples([0.0]), config.patch, config.text_dim)
    of_seen = (seen - clean.tokens_NP.repeat(len(LEVELS), 1)).square().mean()
    request = Request(text, SHAPE, 2.0, seed=1, told=TOLD)
    sampled = sample_latent(transformer, request, objective, num_steps=20, guidance=1.0)
    return float(of_seen), float((sampled - data).square().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--only", default="", help="networks or objectives whose names hold this")
    options = parser.parse_args()
    title = f"one clip of {SHAPE}, {options.steps} steps"
    table = Table("network", "objective", "seen", "sampled", title=title, title_justify="left")
    for case in cases():
        objective = f"{case.objective.path_name}, {case.objective.prediction}"
        if options.only not in f"{case.network}; {objective}":
            continue
        seen, sampled = fitted(case, options.steps)
        table.add_row(case.network, objective, f"{seen:.4f}", f"{sampled:.4f}")
    Console(width=110, highlight=False).print(table)


if __name__ == "__main__":
    main()
