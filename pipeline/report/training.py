"""The training section of a report: losses and speed of a run, and a sampled video or image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipeline.report.plots import curve_svg, smoothed
from pipeline.report.thumbnails import data_uri
from schemas.errors import UsageError

MAX_RAW_POINTS, NUM_SMOOTH_POINTS = 600, 40
MIME_TYPES = {".mp4": "video/mp4", ".webm": "video/webm", ".png": "image/png", ".jpg": "image/jpeg"}


DIVISIONS = {
    "val_loss_by_timestep": "noise level",
    "val_loss_by_shape": "frames x width x height of the latent",
    "val_loss_by_task": "task",
}
"""By what a line of the metrics divides the validation loss."""


@dataclass(frozen=True)
class Change:
    """A part of the validation loss in the first and in the last validation."""

    name: str
    first: float
    last: float


@dataclass(frozen=True)
class Speed:
    """Of all steps together."""

    tokens_per_second: float
    loading_share: float
    """Of the time, what was waited for samples."""
    saving_share: float
    """Of the time, what was waited for checkpoints."""
    mfu: float | None
    """Mean utilisation of the GPUs; None where their peak is not known."""


@dataclass(frozen=True)
class LossCurve:
    """A run's losses: the plot, the first and last values, and those of the parts of the validation."""

    run: str
    num_steps: int
    first_loss: float
    last_loss: float
    first_val_loss: float | None
    last_val_loss: float | None
    svg: Markup
    parts: dict[str, list[Change]]
    speed: Speed


@dataclass(frozen=True)
class Sample:
    """A sampled video or image as a data URI."""

    name: str
    data_uri: str
    is_video: bool


def read_loss_curve(folder: str) -> LossCurve:
    """The loss curve of a training run's folder. First and last loss are means over a tenth of the steps each.

    Raises:
        UsageError: the folder holds no metrics, or they cannot be read.
    """
    from model.training.checkpoints import RunFolder

    try:
        lines = RunFolder(folder).metrics()
        losses = [(float(line["step"]), float(line["loss"])) for line in lines]
        validated = [line for line in lines if "val_loss" in line]
        val_losses = [(float(line["step"]), float(line["val_loss"])) for line in validated]
        parts, speed = _parts(validated), _speed(lines)
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(f"--train {folder}: metrics.jsonl cannot be read: {error}") from None
    if not losses:
        raise UsageError(f"--train {folder}: this folder has no metrics.jsonl with finished steps")
    tenths = smoothed(losses, 10)
    curves = [("raw", smoothed(losses, MAX_RAW_POINTS)), ("smooth", smoothed(losses, NUM_SMOOTH_POINTS))]
    return LossCurve(
        folder,
        int(losses[-1][0]),
        tenths[0][1],
        tenths[-1][1],
        val_losses[0][1] if val_losses else None,
        val_losses[-1][1] if val_losses else None,
        curve_svg([*curves, ("val", val_losses)]),
        parts,
        speed,
    )


def _parts(validated: Sequence[Mapping[str, Any]]) -> dict[str, list[Change]]:
    """By what the validation loss is divided, with more than one part, and the parts."""
    if not validated:
        return {}
    first, last = validated[0], validated[-1]
    changes = {
        title: [Change(part, first[name][part], value) for part, value in last.get(name, {}).items()]
        for name, title in DIVISIONS.items()
    }
    return {title: of_parts for title, of_parts in changes.items() if len(of_parts) > 1}


def _speed(lines: Sequence[Mapping[str, Any]]) -> Speed:
    def total(name: str) -> float:
        return sum(line.get(name, 0.0) for line in lines)

    loading, saving = total("load_seconds"), total("save_seconds")
    seconds = max(total("seconds") + loading + saving, 1e-9)
    used = [line["mfu"] for line in lines if "mfu" in line]
    return Speed(
        total("tokens") / seconds, loading / seconds, saving / seconds, sum(used) / len(used) if used else None
    )


def read_sample(file: str) -> Sample:
    """A sampled video or image.

    Raises:
        UsageError: there is no such file, or browsers do not show its format.
    """
    path = Path(file)
    mime_type = MIME_TYPES.get(path.suffix.lower())
    if mime_type is None:
        raise UsageError(f"--sample {file}: the file name must end in {', '.join(MIME_TYPES)}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--sample {file}: {error.strerror}") from None
    return Sample(path.name, data_uri(mime_type, data), mime_type.startswith("video/"))
