"""Which tokens of a sample are left out of the network in training, and which go past some of its blocks.

A token that is left out is no row of the pack: nothing is computed for it, and the loss is the mean over those that
remained (MAE, He et al. 2022; MaskDiT, Zheng et al. 2024; NaViT, Dehghani et al. 2023). What is given as a condition
always remains, so that training sees only such conditions as a sampler gives. Tokens that go past blocks are answered
like all others (TREAD, Krause et al. 2025, `model.transformer.routing`).

Shapes: N patches of the clip, P values of each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from model.packing.packs import Document
from model.packing.patches import Patch, patchify
from model.transformer.routing import Route
from schemas.recipe.train import TrainConfig


@dataclass(frozen=True)
class Masks:
    """Shares of the tokens of each clip, both below 1."""

    dropped: float = 0.0
    """Left out, of those in which nothing is given; rounded, and one at least remains."""
    routed: float = 0.0
    """Past some of the blocks, of those that remain; rounded, and one at least goes through all blocks."""

    @classmethod
    def of(cls, config: TrainConfig) -> Masks:
        return cls(config.token_drop, config.routing.share)

    def over(self, document: Document, patch: Patch, generator: torch.Generator) -> Document:
        """A document with its masks."""
        if not self.dropped and not self.routed:
            return document
        given_NP = patchify(document.given_THW.expand(document.latent_CTHW.shape), patch)
        there_N = torch.ones(len(given_NP), dtype=torch.bool) if document.kept_N is None else document.kept_N
        kept_N = there_N & ~_some_of(there_N & ~given_NP.any(dim=1), self.dropped, generator)
        return replace(document, kept_N=kept_N, routed_N=_some_of(kept_N, self.routed, generator))


NO_MASKS = Masks()


def route_of(config: TrainConfig) -> Route | None:
    """The blocks that some tokens go past; None if none does.

    Raises:
        ValueError: the model has no such blocks; the message starts with the field of the config.
    """
    if not config.routing.share:
        return None
    route = Route(config.routing.first_block, config.routing.last_block)
    try:
        route.require_fit(config.model.depth, long_skips=config.model.long_skips)
    except ValueError as error:
        raise ValueError(f"routing.{error}") from None
    return route


def _some_of(candidates_N: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A random share of those that may be chosen, all but one at most, (N,) bool."""
    places = candidates_N.nonzero().flatten()
    count = min(round(share * len(places)), max(len(places) - 1, 0))
    chosen_N = torch.zeros_like(candidates_N)
    chosen_N[places[torch.randperm(len(places), generator=generator)[:count]]] = True
    return chosen_N
