"""One training run's model, optimizer and weight average, and one step of them.

With several workers each takes its share of a step's packs, and gradients are summed over all of them, so that the
number of workers, and how they share the weights, changes who computes and not what is learnt.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.checkpoint import with_tuples
from model.diffusion.objectives import Objective
from model.diffusion.timesteps import Density
from model.packing.packs import Pack
from model.packing.plan import PlannedPack
from model.training.additions import (
    checkpoint_weights,
    lora_state,
    require_same_lora,
    weights_fingerprint,
)
from model.training.averages import AVERAGE, averages_of
from model.training.blocks import compile_blocks, recompute_blocks
from model.training.checkpoints import Checkpoint
from model.training.draws import draw_of, total
from model.training.examples import LatentStatistics, Targets, document_losses, draw_example, pack_examples
from model.training.held_out import MAX_SAMPLES, Chosen, held_out_places
from model.training.masks import Masks, route_of
from model.training.optimizers import Optimizers, rate_share
from model.training.parallel import Worker, clip_gradients, held_like, shard
from model.training.progress import (
    STEPS_LOOKED_AT,
    Progress,
    curve_settings,
    plan_of,
    release_settings,
    require_same_curve,
    token_counts,
)
from model.training.samples import Samples
from model.training.speed import step_flops, utilisation
from model.training.stops import OutOfMemory, TrainingDiverged
from model.training.validation import Validation
from model.transformer.config import TransformerConfig
from model.transformer.lora import add_lora, additions
from model.transformer.routing import Route
from model.transformer.transformer import Transformer
from schemas.recipe.train import ModelConfig, TrainConfig

Metrics = dict[str, Any]
OF_OPTIMIZER = "optimizer."


@dataclass(frozen=True)
class Batch:
    """What a worker computes of a step."""

    packs: list[tuple[Pack, Targets]]
    """Its packs, and what should be answered to them."""
    sample_ids: tuple[str, ...]
    """Samples in the packs of all workers."""
    draws: int
    """Of this worker's samples: see `draws.py`."""


def transformer_config(
    model: ModelConfig, latent_channels: int, text_dim: int, answer_factor: int = 1
) -> TransformerConfig:
    """The recipe's model for these latents and texts, with as many answers as the objective asks for.

    Raises:
        ValueError: sizes that do not fit together.
    """
    if model.preset:
        raise ValueError(f"preset = {model.preset!r}: take its settings first")
    settings = asdict(model) | {"rotary_dims": model.rotary_dims or None}
    del settings["preset"]  # whose settings these are
    sizes = {"latent_channels": latent_channels, "text_dim": text_dim, "answer_factor": answer_factor}
    return TransformerConfig(**settings, **sizes)


def require_same_model(checkpoint: Checkpoint, config: TransformerConfig) -> None:
    """Raise ValueError if the checkpoint is one of another model."""
    trained = TransformerConfig(**with_tuples(checkpoint.state()["transformer"]))
    if trained != config:
        raise ValueError(f"{checkpoint.folder} was trained with another model")


class TrainState:
    """Model, optimizer and weight average of one run."""

    def __init__(
        self,
        samples: Samples,
        config: TrainConfig,
        statistics: LatentStatistics,
        text_dim: int,
        worker: Worker,
        release_hash: str = "",
    ) -> None:
        held_out = held_out_places(samples.videos)
        counts = token_counts(samples.shapes.values(), config.model)
        trained = np.setdiff1d(np.arange(len(counts)), held_out)
        self.samples = samples
        self.names = Chosen(samples.names, trained)
        self.config, self.statistics, self.text_dim, self.worker = config, statistics, text_dim, worker
        self.plan = plan_of(self.names, counts[trained], config, release_hash)
        self.settings = curve_settings(config) | release_settings(release_hash, samples.shapes)
        torch.manual_seed(config.seed)
        self.objective, self.density = Objective.of(config.objective), Density.of(config.objective)
        channels = next(iter(samples.shapes.values()))[0]
        shape = transformer_config(config.model, channels, text_dim, self.objective.answer_factor)
        self.masks, self.route = Masks.of(config), route_of(config)
        self.model = Transformer(shape).to(worker.device)
        self.base = ""
        """Fingerprint of the weights that additions are to."""
        if config.lora.rank:
            add_lora(self.model, config.lora)
        if config.compile:
            compile_blocks(self.model.blocks)
        if config.activation_checkpointing == "blocks":
            recompute_blocks(self.model.blocks)
        self.is_sharded = config.parallel == "fsdp" and worker.num_workers > 1
        if self.is_sharded:
            shard(self.model, self.model.blocks, worker)
        for parameter in self.model.parameters():  # so that a worker without a pack has gradients to add
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        self.averages = averages_of(self.model, config.average_lengths)
        self.optimizers = Optimizers.of(self.model, config)
        self.validation = Validation(
            samples.read(Chosen(samples.names, held_out if len(held_out) else trained)[:MAX_SAMPLES]),
            statistics,
            self.objective,
            patch=shape.patch,
            text_dim=text_dim,
            capacity=config.tokens_per_pack,
            device=worker.device,
            tasks=config.tasks,
            lone_frames=config.model.lone_frames,
        )

    def steps_from(self, progress: Progress) -> Iterator[tuple[Progress, list[PlannedPack]]]:
        """The steps still to do, each with the progress that it makes and the packs that it uses."""
        steps = self.plan.steps(progress.epoch, progress.cursor)
        for number in range(progress.step + 1, self.config.steps + 1):
            step = next(steps)
            yield Progress(number, step.epoch, step.cursor), step.packs

    def batch(self, packs: Sequence[PlannedPack]) -> Batch:
        """Read and noise the samples of this worker's share of a step; no state of the run is read or changed."""
        own = packs[self.worker.rank :: self.worker.num_workers]
        noised = [self._noised(pack) for pack in own]
        ids = tuple(i for pack in packs for i in pack.ids)
        return Batch([pack for pack, _ in noised], ids, total(draws for _, draws in noised))

    def costliest(self) -> list[PlannedPack]:
        """The costliest of the packs that come first, once for each worker."""
        places = self.plan.costliest(among=STEPS_LOOKED_AT * self.config.packs_per_step)
        return [PlannedPack(0, tuple(self.names[place] for place in places))] * self.worker.num_workers

    def rehearse(self, batch: Batch) -> None:
        """Compute packs forward and back, and keep nothing of it.

        Raises:
            OutOfMemory: memory does not suffice.
        """
        try:
            for _, _, losses in self._losses(batch):
                losses.sum().backward()
        except torch.OutOfMemoryError as error:
            raise OutOfMemory.of(max(len(pack.tokens_NP) for pack, _ in batch.packs)) from error
        self.optimizers.zero_grad()

    def step(self, progress: Progress, batch: Batch) -> Metrics:
        """One optimizer step on the mean loss of all samples of a batch.

        Raises:
            TrainingDiverged: loss or gradients are not finite, on every worker alike; no weight has changed.
        """
        start_s = time.monotonic()
        num_samples = len(batch.sample_ids)
        totals = torch.zeros(3, device=self.worker.device)
        self.optimizers.zero_grad()
        for pack, targets, losses in self._losses(batch):
            loss = losses.sum() / num_samples
            loss.backward()
            counts = [float(len(targets.answer_NP)), step_flops([pack.table.lengths], self.config.model)]
            totals += torch.cat([loss.detach()[None], torch.tensor(counts, device=loss.device)])
        if not self.is_sharded:
            self.worker.sum_all(p.grad for p in self.model.parameters() if p.grad is not None)
        self.worker.sum(totals)
        loss, tokens, flops = totals.tolist()
        grad_norm = clip_gradients(self.model.parameters(), self.config.grad_clip)
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise TrainingDiverged.at(progress.step, loss, grad_norm, batch.sample_ids)
        share = rate_share(progress.step, self.config)
        self.optimizers.step(share)
        for average in self.averages.values():
            average.update(self.model, progress.step)
        metrics = {
            "step": progress.step,
            "epoch": progress.epoch,
            "loss": loss,
            "lr": share * self.config.learning_rate,
        }
        metrics |= {"grad_norm": grad_norm, "samples": num_samples, "tokens": int(tokens)}
        seconds = time.monotonic() - start_s
        metrics |= {"flops": flops, "seconds": seconds}
        return metrics | utilisation(flops, seconds, self.worker.num_workers, self.worker.device)

    def validate(self) -> Metrics:
        """Validation losses of the first average of the weights; as `val_loss_raw` that of the last step's."""
        raw = self.validation.losses(self._answer)["val_loss"]
        with self.averages[AVERAGE].in_place_of(self.model):
            return self.validation.losses(self._answer) | {"val_loss_raw": raw}

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """All that a checkpoint holds, in the memory in which it is used; of what workers share, this one's part."""
        own = {"model": checkpoint_weights(self.model), "optimizer": self.optimizers.tensors()}
        return own | self.averaged()

    def averaged(self) -> dict[str, dict[str, Tensor]]:
        """The averages, as a snapshot holds them."""
        return {name: average.weights for name, average in self.averages.items()}

    def state(self, progress: Progress) -> dict[str, Any]:
        """A checkpoint's `state.json`."""
        lora = {"lora": lora_state(self.config.lora, self.base)} if self.config.lora.rank else {}
        return asdict(progress) | {"settings": self.settings, "transformer": asdict(self.model.config)} | lora

    def begin_from(self, weights: Mapping[str, Tensor]) -> None:
        """Start from whole weights of the same model; with additions, these are to them."""
        held = self.model.state_dict()
        assert held.keys() == weights.keys() | additions(self.model).keys(), "weights of another model"
        with torch.no_grad():
            for name, value in weights.items():
                held[name].copy_(held_like(value.to(held[name].device, held[name].dtype), held[name]))
        if self.config.lora.rank:
            self.base = weights_fingerprint(weights)

    def restore(self, checkpoint: Checkpoint | None) -> Progress:
        """Continue from a checkpoint, or start.

        Raises:
            ValueError: the checkpoint is one of another model, of other additions, or of a run with other settings or
                samples.
        """
        if checkpoint is None:
            return Progress()
        require_same_model(checkpoint, self.model.config)
        require_same_lora(checkpoint, self.config.lora, self.base)
        require_same_curve(checkpoint, self.settings)
        sizes = checkpoint.sizes().items()
        self.optimizers.make_room({k.removeprefix(OF_OPTIMIZER): v for k, v in sizes if k.startswith(OF_OPTIMIZER)})
        checkpoint.read_into(self.tensors())
        return Progress.of(checkpoint)

    def _noised(self, planned: PlannedPack) -> tuple[tuple[Pack, Targets], int]:
        patch = self.model.config.patch
        examples = [
            draw_example(
                sample,
                self.statistics,
                self.objective,
                self.density,
                patch=patch,
                seed=self.config.seed,
                epoch=planned.epoch,
                text_drop=self.config.text_drop,
                motion_drop=self.config.motion_drop,
                tasks=self.config.tasks,
                lone_frames=self.config.model.lone_frames,
                masks=self.masks,
            )
            for sample in self.samples.read(planned.ids)
        ]
        pack, targets = pack_examples(examples, patch, self.text_dim)
        self.model.prepare(pack.table, self.worker.device, self.route)
        draws = [draw_of(name, planned.epoch, e) for name, e in zip(planned.ids, examples, strict=True)]
        return (pack, targets), total(draws)

    def _losses(self, batch: Batch) -> Iterator[tuple[Pack, Targets, Tensor]]:
        """Each pack on the device, with the loss of each of its documents."""
        for pack, targets in batch.packs:
            pack, targets = pack.to(self.worker.device), targets.to(self.worker.device)
            yield pack, targets, document_losses(self._answer(pack, self.route), targets, pack, self.objective)

    def _answer(self, pack: Pack, route: Route | None = None) -> Tensor:
        kind = self.worker.device.type
        in_bfloat16 = self.config.precision == "bfloat16" or (self.config.precision == "auto" and kind == "cuda")
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=in_bfloat16):
            return self.model(pack, route)
