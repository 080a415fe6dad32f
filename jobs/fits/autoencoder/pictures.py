"""What a codec makes of held-out clips, as a sheet: `python -m jobs.fits.autoencoder.pictures --out codec.png`.

Three rows a clip: as it is, encoded and decoded, and decoded from latents with noise on them. The clips are the first
ones of the held-out seeds, and then those of given videos; none is chosen.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from jobs.fits.autoencoder.clips import clips_of_videos, held_out_clips
from jobs.fits.autoencoder.measures import NOISE
from jobs.sheets import row, sheet
from model.codec.causal import Autoencoder, load_autoencoder


@torch.no_grad()
def rows_of(autoencoder: Autoencoder, clip: Tensor, seed: int = 0) -> list[np.ndarray]:
    """The three rows of a clip, (1, 3, T, H, W) in [-1, 1], as (H, W', 3) uint8 RGB."""
    latent = autoencoder.encode(clip)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed))
    noised = autoencoder.unwhiten(autoencoder.whiten(latent) + NOISE * noise)
    return [row(video) for video in (clip, autoencoder.decode(latent), autoencoder.decode(noised))]


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
