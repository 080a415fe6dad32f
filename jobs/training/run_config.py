"""The settings of a training run: `config.json` in its folder, with everything that resuming and sampling need."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from jobs.training.samples import Encoding
from model.checkpoint import with_tuples, write_json
from model.codec.spec import CodecSpec
from model.training.progress import curve_settings
from schemas.errors import UsageError
from schemas.recipe import decode_recipe
from schemas.recipe.train import ObjectiveConfig

FILE = "config.json"
FIXED = (
    "release_hash",
    "transform",
    "predicted",
    "autoencoder_fingerprint",
    "text_encoder_fingerprint",
)
"""What must stay the same when a run is resumed, beside settings of the section `train`."""


@dataclass(frozen=True)
class RunConfig:
    """A run's data, its encoders, and the size and length of its usual clip."""

    dataset: str
    release: str
    release_hash: str
    autoencoder: str
    autoencoder_fingerprint: str
    codec_dtype: str
    stride_thw: tuple[int, int, int]
    """Frames, rows and columns of pixels to one latent."""
    text_encoder: str
    text_dtype: str
    text_encoder_fingerprint: str
    text_dim: int
    latent_mean: tuple[float, ...]
    latent_std: tuple[float, ...]
    transform: str
    fps: float
    max_pixels_px: int
    seed: int
    num_clips: int
    usual_width_px: int
    usual_height_px: int
    usual_num_frames: int
    """The most frequent size of the clips, and the number of frames of the longest."""
    train: Mapping[str, Any]
    """The `train` section of the recipe."""

    @property
    def encoding(self) -> Encoding:
        encoders = self.autoencoder_fingerprint, self.text_encoder_fingerprint
        return Encoding(self.transform, *encoders, self.fps, self.stride_thw[0])

    @property
    def objective(self) -> ObjectiveConfig:
        """What the transformer is trained to answer."""
        return ObjectiveConfig(**self.train.get("objective", {}))

    @property
    def predicted(self) -> str:
        """What must not change of it: weights of one answer are of no use for another."""
        of_variance = " with a learned variance" if self.objective.variance == "learned" else ""
        return f"{self.objective.prediction} on {self.objective.path}{of_variance}"

    @property
    def fixed(self) -> dict[str, Any]:
        """What must stay the same when a run is resumed, for its losses depend on it."""
        train = decode_recipe({"train": dict(self.train)}).train
        settings = {f"train.{name}": value for name, value in curve_settings(train).items()}
        return {name: getattr(self, name) for name in FIXED} | settings

    @property
    def codec(self) -> CodecSpec:
        return CodecSpec(
            self.stride_thw, len(self.latent_mean), self.latent_mean, self.latent_std, self.autoencoder_fingerprint
        )


def usual_clip(sizes: Iterable[tuple[int, ...]]) -> dict[str, int]:
    """The `usual_` settings, from the frames, width and height in pixels of each clip.

    Sides are even numbers: of other sizes H.264 has no form that every player shows.
    """
    counts, longest = Counter[tuple[int, int]](), 0
    for frames, width, height in sizes:
        counts[width, height] += 1
        longest = max(longest, frames)
    (width, height), _ = counts.most_common(1)[0]
    even = {"usual_width_px": width // 2 * 2, "usual_height_px": height // 2 * 2}
    return even | {"usual_num_frames": longest}


def write_run_config(run_dir: Path, config: RunConfig) -> None:
    """Write a run's config. If the folder has a run, check first that it can be resumed with this config.

    Raises:
        UsageError: the folder cannot be written, or has a run on other data.
    """
    if (run_dir / FILE).exists():
        earlier = read_run_config(run_dir)
        started, wanted = earlier.fixed, config.fixed
        for name in started | wanted:
            before, now = started.get(name), wanted.get(name)
            if before != now:
                raise UsageError(f"run {run_dir}: started with {name} = {before}, not {now}; choose another --out")
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        write_json(run_dir / FILE, asdict(config))
    except OSError as error:
        raise UsageError(f"output {run_dir}: cannot be written: {error}") from error


def read_run_config(run_dir: Path) -> RunConfig:
    """Read a run's config.

    Raises:
        UsageError: the folder has no run, or one that another version wrote.
    """
    try:
        values = json.loads((run_dir / FILE).read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise UsageError(f"run {run_dir}: no readable {FILE}; is it the --out of `reelmill train`?") from error
    if not isinstance(values, dict) or values.keys() != {f.name for f in fields(RunConfig)}:
        raise UsageError(f"run {run_dir}: {FILE} was written by another version of Reelmill")
    return RunConfig(**with_tuples(values))
