"""Helper heads that teach the captioner's vision tokens what to carry; used in the fit only, then dropped.

With caption loss alone a small network learns colours at once and sits on a plateau before shapes and directions:
one word in forty rewards them, through the whole language model. Here every visual token is asked directly, by one
linear map: is an object over you, which, where is its centre from you, and what is the place like.

Shape suffixes: B clips, S time slices, M visual tokens of a slice, E width, O objects.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

NO_LABEL = -100


class TokenHeads(nn.Module):
    """One linear map from visual tokens to the scores of all words of all questions, and an offset in pixels.

    Args:
        num_classes: question -> number of possible answers. "object" (0 none, 1 some) must be among them.
        width: E, the width of a visual token.
    """

    def __init__(self, num_classes: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.num_classes = dict(num_classes)
        self.norm = nn.LayerNorm(width)
        self.to_scores = nn.Linear(width, sum(self.num_classes.values()) + 2)

    def forward(self, tokens_BSME: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Scores (B, S, M, classes) for each question, and offsets (B, S, M, 2) in token sides."""
        scores = self.to_scores(self.norm(tokens_BSME))
        *parts, offset_BSM2 = scores.split([*self.num_classes.values(), 2], dim=-1)
        return dict(zip(self.num_classes, parts, strict=True)), offset_BSM2


def covering_object(
    centres_BSO2: torch.Tensor, radii_BO: torch.Tensor, grid_hw: tuple[int, int], token_px: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which object lies over each visual token: the nearest whose disc reaches the token's inner half.

    Args:
        centres_BSO2: x, y in pixels; NaN for an object that is not.
        radii_BO: pixels.
    Returns:
        object index (B, S, M), -1 for none, and the offset from token centre to object centre (B, S, M, 2) in tokens.
    """
    rows, columns = grid_hw
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    tokens_M2 = (torch.stack([x.flatten(), y.flatten()], dim=-1) + 0.5) * token_px
    away_BSMO2 = centres_BSO2[:, :, None] - tokens_M2[:, None]
    distance_BSMO = away_BSMO2.norm(dim=-1).nan_to_num(nan=torch.inf)
    reach_BSMO = (radii_BO + token_px / 4)[:, None, None]
    nearest_BSM = (distance_BSMO - reach_BSMO).argmin(dim=-1)
    index = nearest_BSM[..., None]
    covered_BSM = (distance_BSMO - reach_BSMO).gather(-1, index)[..., 0] < 0
    offset_BSM2 = away_BSMO2.gather(-2, index[..., None].expand(*index.shape, 2))[..., 0, :] / token_px
    return torch.where(covered_BSM, nearest_BSM, -1), offset_BSM2


def heads_loss(
    answers: tuple[dict[str, torch.Tensor], torch.Tensor],
    labels: Mapping[str, torch.Tensor],
    offset_BSM2: torch.Tensor,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Mean cross-entropy over questions plus the offset error, and the share of right answers by question asked.

    Args:
        labels: question -> (B, S, M) class index, NO_LABEL where the question has no answer.
        offset_BSM2: true offsets, in token sides; counted where "object" is 1.
    """
    scores, guess_BSM2 = answers
    losses, accuracy = [], {}
    for question, label_BSM in labels.items():
        asked = label_BSM != NO_LABEL
        if not asked.any():
            continue
        score, label = scores[question][asked], label_BSM[asked]
        losses.append(F.cross_entropy(score, label))
        accuracy[question] = (score.argmax(-1) == label).float().mean().item()
    here = labels["object"] == 1
    losses.append(F.smooth_l1_loss(guess_BSM2[here], offset_BSM2[here]))
    return torch.stack(losses).mean(), accuracy
