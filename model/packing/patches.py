"""Latents as tokens: a token is a patch of a few frames, rows and columns with all its channels (ViT, DiT).

Shapes: N tokens, P values of a patch, C T H W a latent.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

Patch = tuple[int, int, int]
"""Latent frames, rows and columns of a patch."""


def grid_shape(latent_shape: Sequence[int], patch: Patch) -> tuple[int, int, int]:
    """Tokens along time, height and width of a (C, T, H, W) latent.

    Raises:
        ValueError: a side is not a multiple of the patch.
    """
    _, *sides = latent_shape
    if any(side % p or side < p for side, p in zip(sides, patch, strict=True)):
        raise ValueError(f"latent of {tuple(sides)} frames, rows and columns does not divide into patches of {patch}")
    T, H, W = (side // p for side, p in zip(sides, patch, strict=True))
    return T, H, W


def num_tokens(latent_shape: Sequence[int], patch: Patch) -> int:
    T, H, W = grid_shape(latent_shape, patch)
    return T * H * W


def patchify(latent_CTHW: Tensor, patch: Patch) -> Tensor:
    """A latent as tokens in order of time, row, column: (N, P)."""
    T, H, W = grid_shape(latent_CTHW.shape, patch)
    pt, ph, pw = patch
    blocks = latent_CTHW.reshape(-1, T, pt, H, ph, W, pw)
    return blocks.permute(1, 3, 5, 0, 2, 4, 6).reshape(T * H * W, -1)


def unpatchify(tokens_NP: Tensor, latent_shape: Sequence[int], patch: Patch) -> Tensor:
    """The inverse of `patchify`."""
    T, H, W = grid_shape(latent_shape, patch)
    blocks = tokens_NP.reshape(T, H, W, -1, *patch)
    return blocks.permute(3, 0, 4, 1, 5, 2, 6).reshape(tuple(latent_shape))


def kept_tokens(kept_T: Tensor | None, latent_shape: Sequence[int], patch: Patch) -> Tensor | None:
    """Which tokens of a latent have a frame that is kept, (N,) bool; None if nothing is said of that."""
    T, H, W = grid_shape(latent_shape, patch)
    return None if kept_T is None else kept_T.view(T, patch[0]).any(dim=1).repeat_interleave(H * W)


def kept_shape(kept_T: Tensor | None, latent_shape: Sequence[int], patch: Patch) -> tuple[int, int, int, int]:
    """The shape of a latent that has as many tokens as there are of one of which some frames are kept."""
    C, T, H, W = latent_shape
    kept_frames = T if kept_T is None else int(kept_T.view(-1, patch[0]).any(dim=1).sum()) * patch[0]
    return C, kept_frames, H, W
