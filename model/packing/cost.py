"""What the transformer computes for documents, in floating-point operations (FLOPs), from the sizes of its blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def document_costs(
    lengths: Sequence[int] | np.ndarray, width: int, depth: int, mlp_ratio: float = 4.0, text: str = "cross"
) -> np.ndarray:
    """FLOPs of one forward pass for documents of these lengths in tokens, as int64 of the same shape.

    A matrix product of (n, a) and (a, b) is 2nab FLOPs. For a document of n tokens, width D and an MLP of rD hidden
    channels, a block computes

        query, key, value and output of self-attention    8 n D^2
        scores and weighted sum, within the document      4 n^2 D
        query and output of cross-attention to the text   4 n D^2, unless the text is in the sequence
        the MLP                                           4 r n D^2

    so that the cost is depth * (n D^2 (12 + 4r) + 4 n^2 D), or (8 + 4r) with the text in the sequence. All of a
    document is taken to attend to all of it, the most that a layout can cost. The backward pass is twice that. Left out
    are norms and modulation, the layers before and after the blocks, and what the text's own tokens cost, whose number
    depends on the caption that is drawn.

    Args:
        width: channels of a token.
        depth: number of blocks.
        mlp_ratio: hidden channels of the MLP, in units of `width`.
        text: `cross` or `in_context`, as in `ModelConfig`.
    """
    n = np.asarray(lengths, dtype=np.int64)
    hidden = int(width * mlp_ratio)
    linear = (12 if text == "cross" else 8) * width**2 + 4 * width * hidden
    return depth * (linear * n + 4 * width * n * n)


def pack_cost(
    lengths: Sequence[int] | np.ndarray, width: int, depth: int, mlp_ratio: float = 4.0, text: str = "cross"
) -> int:
    """FLOPs of one forward pass for a pack of documents: the sum of `document_costs`."""
    return int(document_costs(lengths, width, depth, mlp_ratio, text).sum())
