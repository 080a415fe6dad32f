"""What a run starts from: weights of another run, of the built-in model, or of a folder of diffusers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from jobs.console.naming import naming
from jobs.training.run_config import FILE, RunConfig, read_run_config
from model.builtin import run_folder
from model.training.exported import Base, base_at, config_in, load_transformer, read_base, write_base
from model.training.model_settings import whole_model, with_preset
from model.transformer.config import TransformerConfig
from model.transformer.published.folders import PublishedFolder, published_folder
from schemas.errors import UsageError
from schemas.recipe.train import TrainConfig


@dataclass(frozen=True)
class Start:
    """What a run starts from."""

    folder: Path | None = None
    """Of the weights; None for random ones."""
    base: Base | None = None
    """The same weights, where low-rank additions to them are trained."""

    def write(self, run_dir: Path) -> None:
        """Note in a run's folder what its additions are to."""
        if self.base is not None:
            write_base(run_dir, self.base)


def with_whole_model(train: TrainConfig, init: Path | None) -> TrainConfig:
    """The settings with a model that is said in full: that of its preset, or of the folder of diffusers to start from.

    Raises:
        UsageError: there is no such preset.
    """
    model = train.model
    with naming("train.model"):
        if init and published_folder(init):
            model = with_preset(model, str(init))
        return replace(train, model=whole_model(model))


def start_of(
    init: Path | None, run_dir: Path, config: RunConfig, transformer: TransformerConfig, train: TrainConfig
) -> Start:
    """What a run starts from, checked before anything is written.

    Args:
        init: what is asked for. A run with additions that has begun keeps to the weights that it adds to.
    Raises:
        UsageError: no weights there, or those of another model, or of one with other encoders or another objective; or
            additions to nothing, or to other weights than before.
    """
    begun = read_base(run_dir) if train.lora.rank else None
    if init is None and begun is not None:
        init = run_folder(begun.folder)
    if init is None and train.lora.rank:
        raise UsageError(f"train.lora.rank = {train.lora.rank}: name the weights that are added to with --init")
    if init is None:
        return Start()
    _require_fitting(init, config, transformer)
    with naming("--init"):
        weights = load_transformer(init).state_dict()
    if not train.lora.rank:
        return Start(init)
    base = base_at(init, weights)
    if begun is not None and begun.fingerprint != base.fingerprint:
        raise UsageError(f"--init {init}: the run in {run_dir} adds to other weights, which lay in {begun.folder}")
    return Start(init, base)


def _require_fitting(folder: Path, config: RunConfig, transformer: TransformerConfig) -> None:
    with naming("--init"):
        has, published = config_in(folder), published_folder(folder)
    if published is None or _has_run_config(published, folder):
        _require_same_data(folder, config)
    elif (predicted := published.module.predicted(has)) != config.predicted:
        raise UsageError(f"--init {folder}: answers {predicted}, and train.objective asks for {config.predicted}")
    if has.latent_channels != transformer.latent_channels:
        ours = f"encode.autoencoder gives {transformer.latent_channels}"
        raise UsageError(f"--init {folder}: its model takes latents of {has.latent_channels} channels, and {ours}")
    if has.text_dim != transformer.text_dim and has.text != "none":
        ours = f"encode.text_encoder gives {transformer.text_dim}"
        raise UsageError(f"--init {folder}: its model reads texts of width {has.text_dim}, and {ours}")
    both = asdict(has).items(), asdict(replace(transformer, text_dim=has.text_dim)).items()
    others = [f"{name} = {there}, not {here}" for (name, there), (_, here) in zip(*both, strict=True) if there != here]
    if others:
        raise UsageError(f"--init {folder}: its model has {'; '.join(others)}: set train.model to that")


def _has_run_config(published: PublishedFolder, folder: Path) -> bool:
    """Whether a folder of diffusers is one that `reelmill export` wrote."""
    return published.folder != folder and (folder / FILE).is_file()


def _require_same_data(folder: Path, config: RunConfig) -> None:
    of_init = read_run_config(folder)
    for name in ("autoencoder_fingerprint", "text_encoder_fingerprint", "predicted"):
        there, here = getattr(of_init, name), getattr(config, name)
        if there != here:
            raise UsageError(f"--init {folder}: was trained with {name} = {there}, not {here}")
