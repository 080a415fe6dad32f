"""The processes that train one model together, and the sums that they take over one another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor


@dataclass(frozen=True)
class Worker:
    """This process among those that train together, and where it computes."""

    rank: int = 0
    num_workers: int = 1
    device: torch.device = torch.device("cpu")

    def sum(self, tensor: Tensor) -> None:
        """Add up a tensor over the workers, in place."""
        if self.num_workers > 1:
            torch.distributed.all_reduce(tensor)

    def sum_all(self, tensors: Iterable[Tensor]) -> None:
        """Add up several tensors over the workers, in place and in one message."""
        if self.num_workers > 1:
            tensors = list(tensors)
            flat = torch.cat([t.flatten() for t in tensors])
            self.sum(flat)
            for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))


ALONE = Worker()
