"""Pictures from synthetic clips as the small CoCa sees them, for its fit: one or several of each clip.

Shape suffixes: B clips, T pictures of a clip, O objects.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from jobs.fits.captioner.batches import QUESTIONS, token_labels
from jobs.fits.captioner.clips import NUM_FRAMES, NUM_SLICES, ClipBatch
from jobs.fits.clip.network import normalised
from jobs.fits.clip.pairs import IMAGE_PX
from jobs.fits.coca.network import PATCH_PX

MOVING = ("direction", "speed", "spin", "camera")
"""Attributes that no still picture shows."""
SHOWN = {name: num_answers for name, num_answers in QUESTIONS.items() if name not in MOVING}
SHIFT_PX = 3
SHARPENING = (-0.4, 0.8)
"""Range of the sharpening of a batch, as a share of its fine detail (what a mean over 3 x 3 pixels removes)."""


def take_pictures(batch: ClipBatch, num_pictures: int, rng: random.Random) -> ClipBatch:
    """`num_pictures` different frames of each clip, squashed to squares as the checkpoint's transform does it.

    Returns:
        frames (B, T, IMAGE_PX, IMAGE_PX, 3) and centres (B, T, O, 2) in their pixels.
    """
    height, width = batch.frames.shape[2:4]
    scale = np.array([IMAGE_PX / width, IMAGE_PX / height], np.float32)
    frames, centres = [], []
    for clip, at in zip(batch.frames, batch.centres, strict=True):
        times = sorted(rng.sample(range(NUM_FRAMES), num_pictures))
        frames.append(np.stack([squashed(clip[t]) for t in times]))
        centres.append(at[[t * NUM_SLICES // NUM_FRAMES for t in times]] * scale)
    return replace(batch, frames=np.stack(frames), centres=np.stack(centres))


def squashed(frame: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 of any size to (IMAGE_PX, IMAGE_PX, 3)."""
    size = (IMAGE_PX, IMAGE_PX)
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))


def degraded(pixels: np.ndarray, rng: random.Random) -> Tensor:
    """(B, T, H, W, 3) uint8 normalised to (B * T, 3, H, W), moved by up to SHIFT_PX, blurred or sharpened, with noise.

    The fit's clips have few pixels; frames of larger clips are sharper after they were squashed.
    """
    padded = F.pad(normalised(pixels.reshape(-1, *pixels.shape[2:])), (SHIFT_PX,) * 4, mode="replicate")
    dy, dx = rng.randint(0, 2 * SHIFT_PX), rng.randint(0, 2 * SHIFT_PX)
    moved = padded[..., dy : dy + IMAGE_PX, dx : dx + IMAGE_PX]
    detail = moved - F.avg_pool2d(moved, 3, stride=1, padding=1, count_include_pad=False)
    return moved + rng.uniform(*SHARPENING) * detail + 0.05 * torch.randn(moved.shape)


def picture_labels(batch: ClipBatch) -> tuple[dict[str, Tensor], Tensor]:
    """True answers for the auxiliary heads at each patch of each picture: question -> (B, T, M), and offsets."""
    labels, offset = token_labels(batch, PATCH_PX)
    return {name: labels[name] for name in SHOWN}, offset
