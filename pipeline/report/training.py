"""The training section of a report: the loss curve of a run, and a sampled video or image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from pipeline.report.plots import curve_svg, smoothed
from pipeline.report.thumbnails import data_uri
from schemas.errors import UsageError

MAX_RAW_POINTS, NUM_SMOOTH_POINTS = 600, 40
MIME_TYPES = {".mp4": "video/mp4", ".webm": "video/webm", ".png": "image/png", ".jpg": "image/jpeg"}


@dataclass(frozen=True)
class LossCurve:
    """A run's losses: the plot, and the first and last values."""

    run: str
    num_steps: int
    first_loss: float
    last_loss: float
    first_val_loss: float | None
    last_val_loss: float | None
    svg: Markup


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
        val_losses = [(float(line["step"]), float(line["val_loss"])) for line in lines if "val_loss" in line]
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
