"""A step's gradients as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

WARM_UP_CALLS = 3
"""Before a capture, as PyTorch asks for."""


class CapturedBackward:
    """A loss and its gradients on clips of one shape: its thousand kernels start at once, which takes the interpreter
    longer than the GPU needs to run them."""

    def __init__(
        self, backward: Callable[[Tensor], dict[str, Tensor]], parameters: Sequence[nn.Parameter], clips: Tensor
    ) -> None:
        """Args:
        backward: gives the terms of the loss, and adds its gradients to those of the parameters.
        """
        self._parameters, self._clips = parameters, clips.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_CALLS):
                backward(self._clips)
        torch.cuda.current_stream().wait_stream(side)
        for parameter in parameters:
            parameter.grad = None
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._terms = backward(self._clips)
        self._gradients = [parameter.grad for parameter in parameters]

    def replay(self, clips: Tensor) -> dict[str, Tensor]:
        self._clips.copy_(clips)
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return self._terms
