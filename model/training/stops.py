"""Why a run ends before its last step, where all its workers know and stop together."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.errors import JobError


class TrainingStopped(JobError):
    """The run cannot go on, and would not if it were tried again; what it has saved is good."""


class OutOfMemory(TrainingStopped):
    """A GPU has too little memory for a pack."""

    @classmethod
    def of(cls, num_tokens: int) -> OutOfMemory:
        return cls(
            f"out of memory with a pack of {num_tokens} tokens, the costliest of the first ones: lower "
            "train.tokens_per_pack, set train.activation_checkpointing to blocks, or share the weights with "
            "train.parallel = fsdp; `reelmill train --dry-run` says what is needed"
        )


class TrainingDiverged(TrainingStopped):
    """The loss or the gradients of a step are not finite; nothing of the step has been kept."""

    @classmethod
    def at(cls, step: int, loss: float, grad_norm: float, sample_ids: Sequence[str]) -> TrainingDiverged:
        return cls(
            f"step {step}: the loss is {loss} and the norm of the gradients {grad_norm}, so nothing of it is kept; "
            f"its samples are {', '.join(sample_ids)}: check their latents with `reelmill encode --verify`, or lower "
            "the learning rate"
        )
