"""A stream of chunks of any lengths, cut into the pieces that a codec takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from torch import Tensor


def peeked(chunks: Iterable[Tensor], of: str) -> tuple[Iterator[Tensor], Tensor]:
    """The chunks, none of them empty and all alike, and the first of them.

    Args:
        of: what they are chunks of, for errors.
    Raises:
        ValueError: there are none, or one has not the 5 dimensions (B, C, T, H, W); later, from the iterator, at the
            first chunk that differs from the first in more than its length.
    """
    filled = (chunk for chunk in chunks if chunk.dim() != 5 or chunk.shape[2])
    first = next(filled, None)
    if first is None:
        raise ValueError(f"a video must have {of}, but there are none")
    if first.dim() != 5:
        raise ValueError(f"chunks of {of} must have 5 dimensions, got {tuple(first.shape)}")
    return _alike(chain([first], filled), of), first


def pieces(chunks: Iterable[Tensor], length: int, first_length: int | None = None) -> Iterator[tuple[Tensor, int]]:
    """Cut a stream into pieces of one length, in memory of their own and in one layout, for layouts change bits too.

    Args:
        first_length: of the first piece, where it is another.
    Yields:
        A piece, (B, C, length, H, W), the last one filled up with its last frame; and how many frames it had before.
    """
    piece, filled, size = None, 0, first_length or length
    for chunk in chunks:
        for part in chunk.split(1, dim=2):
            if piece is None:
                piece = part.new_empty((*part.shape[:2], size, *part.shape[3:]))
            piece[:, :, filled : filled + 1] = part
            filled += 1
            if filled == size:
                yield piece, filled
                piece, filled, size = None, 0, length
    if piece is not None:
        piece[:, :, filled:] = piece[:, :, filled - 1 : filled]
        yield piece, filled


def _alike(chunks: Iterable[Tensor], of: str) -> Iterator[Tensor]:
    """The chunks; ValueError at the first that differs from the first of all in more than its length."""
    expected = None
    for chunk in chunks:
        found = (*chunk.shape[:2], *chunk.shape[3:])
        expected = expected or found
        if found != expected:
            raise ValueError(f"chunks of {of} must differ in length only, got (B, C, H, W) {expected}, then {found}")
        yield chunk
