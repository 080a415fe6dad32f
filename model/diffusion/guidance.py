"""Classifier-free guidance (Ho & Salimans 2022): away from what would be predicted without the text."""

from __future__ import annotations

from torch import Tensor


def guide(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """The guided velocity; scale 1 is the conditional one, 0 the unconditional one."""
    return unconditional + scale * (conditional - unconditional)
