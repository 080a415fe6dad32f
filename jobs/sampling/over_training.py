"""What a run sampled for the same prompts, from the same noise, at each of its snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from jobs.sampling.clip import Settings, load_model
from jobs.sampling.task import Parts
from jobs.training.run_config import RunConfig
from model.codec.spec import CodecPlan
from model.readers.text_encoder import load_text_encoder
from model.training.additions import load_checkpoint_weights
from model.training.averages import AVERAGE
from model.training.checkpoints import Checkpoint, RunFolder
from model.training.exported import with_additions
from schemas.errors import UsageError


def chosen_snapshots(run: Path, most: int) -> list[Checkpoint]:
    """Snapshots of a run, the last one among them, about evenly spaced.

    Raises:
        UsageError: it has none.
    """
    found = RunFolder(run).snapshots()
    if not found:
        raise UsageError(f"run {run}: it has no snapshots; see train.snapshot_every")
    places = np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int)
    return [found[place] for place in places]


@torch.no_grad()
def samples_over_training(
    run: Path,
    snapshots: Sequence[Checkpoint],
    prompts: Sequence[str],
    config: RunConfig,
    plan: CodecPlan,
    settings: Settings,
) -> Iterator[list[np.ndarray]]:
    """For each snapshot, a clip of each prompt, (T, H, W, 3) uint8.

    Raises:
        UsageError: encoders that are not those of the run, or a snapshot that is damaged.
    """
    model = load_model(run, "", config, settings)
    text_encoder = load_text_encoder(config.text_encoder, dtype=config.text_dtype)
    texts = [torch.from_numpy(text) for text in text_encoder.encode(list(prompts))]
    transformer = with_additions(run).to(next(model.transformer.parameters()).device)
    for snapshot in snapshots:
        if (damage := snapshot.damage()) is not None:
            raise UsageError(damage)
        load_checkpoint_weights(transformer, snapshot.tensors(AVERAGE))
        of_texts = [replace(model, transformer=transformer, text_LE=text) for text in texts]
        yield [one.frames(plan, Parts(), settings) for one in of_texts]
