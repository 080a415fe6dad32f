"""Tiles of a frame: large frames through the autoencoder a part at a time, equal to the whole up to float rounding.

Only the 3 x 3 convolutions and the patches mix places, so a latent depends on a known number of latents around it. A
tile is computed with that margin, of which nothing is kept: its outer places have seen zeros where the frame goes on.
At the edge of the frame there is no margin, for there the frame is padded with the same zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product

from torch import Tensor

from model.codec.causal import AutoencoderConfig
from model.codec.layers import TimeCache


def encoder_margin(config: AutoencoderConfig) -> int:
    """How many latents away the pixels can be, at most, that a latent depends on."""
    fine, coarse = config.encoder_blocks
    return coarse + _halved(fine)


def decoder_margin(config: AutoencoderConfig) -> int:
    """How many latents away the latents can be, at most, that the pixels of a latent depend on."""
    coarse, fine, detail = config.decoder_blocks
    return 1 + coarse + _halved(fine + _halved(detail + 1))


def _halved(positions: int) -> int:
    """A distance in positions of half the size, in whole positions."""
    return -(-positions // 2)


@dataclass(frozen=True)
class Span:
    """One side of a tile, in latents: from `start` to `stop` it is computed, from `keep` to `keep_stop` it is kept."""

    start: int
    keep: int
    keep_stop: int
    stop: int

    @property
    def computed(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Tile:
    """A part of the frame, and what it has seen of earlier pieces of the video."""

    rows: Span
    columns: Span
    cache: TimeCache = field(default_factory=dict)

    def cut(self, x_BCTHW: Tensor, scale: int) -> Tensor:
        """The tile with its margins, of frames that have `scale` x `scale` places a latent."""
        rows, columns = self.rows, self.columns
        return x_BCTHW[..., rows.start * scale : rows.stop * scale, columns.start * scale : columns.stop * scale]

    def paste(self, tile_BCTHW: Tensor, whole_BCTHW: Tensor, scale: int) -> None:
        """Write what is kept of the tile into the frames, both with `scale` x `scale` places a latent."""
        to, kept = zip(*(_slices(side, scale) for side in (self.rows, self.columns)), strict=True)
        whole_BCTHW[(..., *to)] = tile_BCTHW[(..., *kept)]


def tiles_of(height: int, width: int, margin: int, max_latents: int) -> list[Tile]:
    """Cut a frame into as few tiles as have at most `max_latents` with their margins; the frame itself if it has.

    Where margins alone are larger than that, a tile keeps one latent.

    Args:
        height: of the frame, in latents; `width` and `margin` likewise.
    """
    rows, columns = 1, 1
    while True:
        in_rows, in_columns = _spans(height, rows, margin), _spans(width, columns, margin)
        largest = max(span.computed for span in in_rows) * max(span.computed for span in in_columns)
        if largest <= max_latents or (rows, columns) == (height, width):
            return [Tile(*sides) for sides in product(in_rows, in_columns)]
        if rows == height or (columns < width and width * rows >= height * columns):
            columns += 1
        else:
            rows += 1


def over_tiles(
    network: Callable[[Tensor, TimeCache], Tensor],
    tiles: Sequence[Tile],
    x_BCTHW: Tensor,
    scale_in: int,
    scale_out: int,
) -> Tensor:
    """Take each tile of a piece of video through a network, and put what is kept of them together.

    Args:
        scale_in: places a latent in each direction, of `x_BCTHW`; `scale_out`: of what the network gives.
    """
    if len(tiles) == 1:
        return network(x_BCTHW, tiles[0].cache)
    height, width = (side // scale_in * scale_out for side in x_BCTHW.shape[3:])
    whole = None
    for tile in tiles:
        done = network(tile.cut(x_BCTHW, scale_in), tile.cache)
        if whole is None:
            whole = done.new_empty((*done.shape[:3], height, width))
        tile.paste(done, whole, scale_out)
    assert whole is not None
    return whole


def _spans(length: int, count: int, margin: int) -> list[Span]:
    """Divide a side evenly; margins end with the frame."""
    bounds = [length * i // count for i in range(count + 1)]
    return [Span(max(0, keep - margin), keep, stop, min(length, stop + margin)) for keep, stop in pairwise(bounds)]


def _slices(span: Span, scale: int) -> tuple[slice, slice]:
    """What is kept: where it lies in the frame, and in the tile."""
    keep, stop, start = span.keep * scale, span.keep_stop * scale, span.start * scale
    return slice(keep, stop), slice(keep - start, stop - start)
