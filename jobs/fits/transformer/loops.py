"""Whether loops are loops: `python -m jobs.fits.transformer.loops RUN`.

A clip is a loop if the step from its last frame to its first is no larger than those within it. A step is the mean
difference of two frames, in grey levels. Clips that are sampled without being tied to their beginning stand beside.
"""

from __future__ import annotations

import argparse

import numpy as np

from jobs.fits.transformer.clips import scenes, texts_of
from jobs.fits.transformer.scores import load_sampler
from jobs.fits.worlds import WORLDS
from jobs.training.run_config import read_run_config
from model.builtin import run_folder
from model.codec.spec import num_frames


def steps_of(clips: np.ndarray) -> np.ndarray:
    """From each frame of clips, (B, T, H, W, 3) uint8, to the next, and from the last to the first: (B, T)."""
    frames = clips.astype(np.float32)
    return np.abs(np.roll(frames, -1, axis=1) - frames).mean(axis=(2, 3, 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a run, or builtin")
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=2.5)
    parser.add_argument("--period", type=int, default=3, help="latent frames of the loop")
    parser.add_argument("--size", type=int, nargs=2, default=(96, 64), metavar=("WIDTH", "HEIGHT"))
    options = parser.parse_args()
    world, (width, height) = WORLDS["plain"], options.size
    drawn = scenes("plain", held_out=True, number=options.prompts)
    prompts = [texts_of(scene)[world.prompt] for scene in drawn]
    stride_t = read_run_config(run_folder(options.run)).stride_thw[0]
    sampler = load_sampler(options.run, (num_frames(options.period + 2, stride_t), height, width))
    print("| | mean step | largest step | last to first | no larger than within |\n|---|---|---|---|---|")
    for name, period in (("loops", options.period), ("not tied", None)):
        clips = sampler.clips(prompts, options.steps, options.guidance, period=period)
        steps = steps_of(clips[:, num_frames(2, stride_t) :])
        within, closing = steps[:, :-1], steps[:, -1]
        share = (closing <= within.max(axis=1)).mean()
        figures = (within.mean(), within.max(axis=1).mean(), closing.mean())
        print(f"| {name} | {' | '.join(f'{figure:.1f}' for figure in figures)} | {share:.0%} |", flush=True)


if __name__ == "__main__":
    main()
