"""Blocks that are recomputed or compiled answer, and learn, as they do otherwise; and in bfloat16 nearly so."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from model.training.parallel import ALONE
from model.training.progress import Progress
from model.training.samples import HeldSamples
from model.training.step import TrainState
from tests.model.training.drawn import CONFIG, STATISTICS, TEXT_DIM, changed, colour_samples


def after_a_step(**settings: Any) -> tuple[float, dict[str, Tensor], TrainState]:
    """Loss and gradients of a step from weights that are nowhere zero."""
    state = TrainState(HeldSamples(colour_samples()), changed(**settings), STATISTICS, TEXT_DIM, ALONE)
    generator = torch.Generator().manual_seed(1)
    for parameter in state.model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    progress, packs = next(state.steps_from(Progress()))
    loss = state.step(progress, state.batch(packs))["loss"]
    return loss, {name: p.grad for name, p in state.model.named_parameters() if p.grad is not None}, state


def test_recomputed_blocks_have_the_same_gradients_and_keep_less():
    kept: dict[str, int] = {}

    def pack(of: str):
        def count(tensor: Tensor) -> Tensor:
            kept[of] = kept.get(of, 0) + tensor.numel()
            return tensor

        return count

    results = {}
    for of in ("none", "blocks"):
        with torch.autograd.graph.saved_tensors_hooks(pack(of), lambda tensor: tensor):
            results[of] = after_a_step(activation_checkpointing=of)
    (loss, gradients, _), (again, recomputed, _) = results["none"], results["blocks"]
    assert loss == again
    assert all(torch.equal(recomputed[name], gradient) for name, gradient in gradients.items())
    assert kept["blocks"] < 0.5 * kept["none"]


def test_bfloat16_is_of_the_computation_and_not_of_the_weights():
    loss, gradients, state = after_a_step(precision="bfloat16")
    exact, truth, _ = after_a_step()
    assert loss != exact
    assert loss == pytest.approx(exact, rel=0.02)
    assert all(value.dtype == torch.float32 for part in state.tensors().values() for value in part.values())
    norms = [float(torch.stack([g.norm() for g in found.values()]).norm()) for found in (gradients, truth)]
    assert norms[0] == pytest.approx(norms[1], rel=0.05)


@pytest.mark.filterwarnings("ignore")  # the compiler warns of its own parts
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for the CPU needs g++")
def test_compiled_blocks_have_the_same_gradients():
    settings = {"packs_per_step": 1, "model": replace(CONFIG.model, depth=1)}
    loss, gradients, _ = after_a_step(compile=True, **settings)
    exact, truth, _ = after_a_step(**settings)
    assert loss == pytest.approx(exact, rel=1e-5)
    for name, gradient in truth.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-3, atol=1e-5, msg=name)
