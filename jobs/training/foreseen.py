"""What `reelmill train --dry-run` says."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from model.training.devices import PEAK_FLOPS, USUAL_UTILISATION
from model.training.forecast import Forecast
from schemas.errors import UsageError
from schemas.recipe.train import TrainConfig

GIB = 1 << 30
HOUR_S = 3600


def require_gpu(name: str) -> str:
    """Raise UsageError if a GPU's peak is not known."""
    if name.lower() not in PEAK_FLOPS:
        raise UsageError(f"--gpu {name}: must be one of {', '.join(PEAK_FLOPS)}")
    return name.lower()


def foreseen(forecast: Forecast, train: TrainConfig, gpu: str | None) -> dict[str, Any]:
    """The forecast of a run of `train.steps`, with hours on this machine, or on GPUs of a name."""
    flops = train.steps * forecast.step_flops
    facts = asdict(forecast) | {
        "steps": train.steps,
        "epochs": train.steps / forecast.epoch_steps,
        "flops": flops,
        "workers": train.num_workers,
    }
    if gpu is not None:
        rate = PEAK_FLOPS[gpu] * USUAL_UTILISATION * train.num_workers
        return facts | {"gpu": gpu, "utilisation": USUAL_UTILISATION, "hours": flops / rate / HOUR_S}
    seconds = forecast.seconds(train.steps, train.packs_per_step, train.num_workers)
    return facts | {"gpu": None, "hours": None if seconds is None else seconds / HOUR_S}


def print_foreseen(facts: dict[str, Any]) -> None:
    """Print it for people."""
    print(
        f"transformer of {facts['parameters']:,} parameters\n"
        f"{facts['samples']:,} clips to train on, {facts['held_out']:,} held out; {facts['epoch_tokens']:,} tokens and "
        f"{facts['epoch_steps']:.3g} steps an epoch, packs {100 * facts['fill']:.1f}% full\n"
        f"{facts['steps']:,} steps: {facts['epochs']:.3g} epochs, {facts['flops']:.2g} FLOPs in forward and backward "
        f"passes, {facts['step_flops']:.2g} a step\n"
        f"memory of each of {facts['workers']} workers: weights, gradients, averages and optimizer "
        f"{facts['weight_bytes'] / GIB:.2f} GiB; kept for the backward pass of the costliest pack "
        f"{facts['activation_bytes'] / GIB:.2f} GiB in float32, half of it in bfloat16"
    )
    if facts["gpu"]:
        where = f"on {facts['workers']} {facts['gpu']} at {100 * facts['utilisation']:.0f}% of the peak"
    else:
        where = f"with {facts['workers']} workers that each compute as fast as this machine"
    if facts["hours"] is None:
        print(f"a pack of {facts['pack_flops']:.2g} FLOPs is not tried here: for the time on GPUs add --gpu NAME")
    else:
        print(f"time {where}: {facts['hours']:.3g} hours")
