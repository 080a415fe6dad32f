"""What a codec makes of held-out clips, as a sheet: `python -m jobs.fits.autoencoder.pictures --out codec.png`.

Three rows a clip: as it is, encoded and decoded, and decoded from latents with noise on them. The clips are the first
ones of the held-out seeds, and then those of given videos; none is chosen.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from jobs.fits.autoencoder.clips import clips_of_videos, held_out_clips
from jobs.fits.autoencoder.measures import NOISE
from model.codec.causal import Autoencoder, load_autoencoder

NUM_FRAMES = 3
"""Of each clip: the first, the middle and the last one."""
GAP_PX = 6


@torch.no_grad()
def rows_of(autoencoder: Autoencoder, clip: Tensor, seed: int = 0) -> list[np.ndarray]:
    """The three rows of a clip, (1, 3, T, H, W) in [-1, 1], as (H, W', 3) uint8 RGB."""
    latent = autoencoder.encode(clip)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed))
    noised = autoencoder.unwhiten(autoencoder.whiten(latent) + NOISE * noise)
    return [row(video) for video in (clip, autoencoder.decode(latent), autoencoder.decode(noised))]


def row(video_BCTHW: Tensor) -> np.ndarray:
    """Frames of one video side by side."""
    places = torch.linspace(0, video_BCTHW.shape[2] - 1, NUM_FRAMES).round().long()
    levels = ((video_BCTHW[0, :, places].clamp(-1, 1) + 1) * 127.5).round().byte()
    return levels.permute(2, 1, 3, 0).flatten(1, 2).numpy()


def sheet(clips: Iterable[Sequence[np.ndarray]], columns: int) -> np.ndarray:
    """Clips in columns, each of rows of pictures, on white; (H, W, 3) uint8."""
    blocks = [np.concatenate([padded(row, GAP_PX // 3) for row in rows]) for rows in clips]
    lines = [blocks[start : start + columns] for start in range(0, len(blocks), columns)]
    joined = [np.concatenate([bottom_padded(block, line) for block in line], axis=1) for line in lines]
    width = max(line.shape[1] for line in joined)
    return np.concatenate([np.pad(x, ((0, 0), (0, width - x.shape[1]), (0, 0)), constant_values=255) for x in joined])


def padded(picture: np.ndarray, below_px: int) -> np.ndarray:
    return np.pad(picture, ((0, below_px), (0, GAP_PX), (0, 0)), constant_values=255)


def bottom_padded(block: np.ndarray, line: Sequence[np.ndarray]) -> np.ndarray:
    height = max(one.shape[0] for one in line) + GAP_PX
    return np.pad(block, ((0, height - len(block)), (0, 0), (0, 0)), constant_values=255)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--codec", default="builtin", help="builtin, or a folder")
    parser.add_argument("--clips", type=int, default=8, help="held-out synthetic clips")
    parser.add_argument("--videos", type=Path, default=None, help="folder of videos to show too")
    parser.add_argument("--columns", type=int, default=4)
    options = parser.parse_args()
    autoencoder = load_autoencoder(options.codec)
    clips = list(held_out_clips((17, 64, 96), options.clips))
    clips += clips_of_videos(options.videos).values() if options.videos else []
    picture = sheet((rows_of(autoencoder, clip) for clip in clips), options.columns)
    cv2.imwrite(str(options.out), picture[..., ::-1])


if __name__ == "__main__":
    main()
