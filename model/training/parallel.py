"""The processes that train one model together, and the two ways in which they share its weights.

`ddp`: each has all weights, and gradients are added up in one flat message after the last pack of a step. PyTorch's
`DistributedDataParallel` would overlap messages with the pass back, but it means over workers where here a sum over
samples is wanted, and it needs to be told which of several packs is the last.
`fsdp`: each has a part of every weight, of its gradient, its average and its optimizer's state (FSDP2); a block's
weights are gathered as it is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, Replicate

from model.training.stops import TrainingStopped


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

    def stop_together(self, error: Exception | None, value: int = 0) -> int:
        """Raise an error of one worker on all of them; without any, the sum of a number that each has, modulo 2^64.

        Raises:
            TrainingStopped: another worker has an error; its own is raised as it is by a worker that is alone.
        """
        if self.num_workers == 1:
            if error is not None:
                raise error
            return value
        numbers = torch.tensor([int(error is not None), value], dtype=torch.int64, device=self.device)
        self.sum(numbers)
        num_errors, total = numbers.tolist()
        if num_errors:
            told: list[str | None] = [None] * self.num_workers
            torch.distributed.all_gather_object(told, None if error is None else str(error))
            raise TrainingStopped(next(line for line in told if line is not None)) from error
        return total


ALONE = Worker()


def shard(model: nn.Module, blocks: Iterable[nn.Module], worker: Worker) -> None:
    """Leave each worker its part of a model's weights, in place; gradients are sums over the workers.

    All is freed after use, the weights outside of the blocks too: after a validation, which has no pass back, nothing
    of the averaged weights is left.
    """
    mesh = init_device_mesh(worker.device.type, (worker.num_workers,))
    for module in (*blocks, model):
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def local(tensor: Tensor) -> Tensor:
    """What this worker holds of a tensor, in the same memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """A tensor of which workers hold parts, gathered by all of them."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def held_like(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor, which all workers have, as `other` is held."""
    if not isinstance(other, DTensor):
        return tensor
    replicated = DTensor.from_local(tensor, other.device_mesh, [Replicate()], run_check=False)
    return replicated.redistribute(placements=other.placements)


def clip_gradients(parameters: Iterable[Tensor], limit: float) -> float:
    """Scale gradients whose norm over all of them is above the limit down to it; returns the norm before."""
    return float(whole(nn.utils.clip_grad_norm_(parameters, limit)))
