"""What was drawn for the samples of a step, as one number: equal numbers mean the same samples with the same noise."""

from __future__ import annotations

from collections.abc import Iterable

from model.training.examples import Example
from schemas.identity import bytes_digest, digest

BITS = 64


def draw_of(sample_id: str, epoch: int, example: Example) -> int:
    """Of one sample: a hash of its id, epoch, timestep, noisy latent, what is given of it, its text and its target."""
    document = example.document
    tensors = (document.latent_CTHW, document.given_THW, document.text_LE, example.target_CTHW)
    hashes = [None if tensor is None else bytes_digest(tensor.contiguous().numpy().tobytes()) for tensor in tensors]
    return int(digest(sample_id, epoch, document.timestep, *hashes), 16)


def total(draws: Iterable[int]) -> int:
    """Their sum modulo 2^64, as a signed number, so that neither order nor workers matter."""
    half = 1 << (BITS - 1)
    return (sum(draws) + half) % (1 << BITS) - half


def as_text(draws: int) -> str:
    """16 hexadecimal digits."""
    return f"{draws % (1 << BITS):016x}"
