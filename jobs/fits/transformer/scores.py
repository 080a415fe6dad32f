"""How well a transformer follows prompts, as a program reads it: `python -m jobs.fits.transformer.scores RUN`.

The prompts are texts of held-out scenes: their combinations of shape, colour, direction and background were never
trained on. `jobs/fits/worlds.py` says who reads clips of the plain world (default) and of the whole one; what is read
rightly of true clips and of their reconstructions by the codec bounds what a sample can show. `--task` gives parts of
the true clips beside the prompts. `--pictures FILE` draws the first samples with their prompts, none of them chosen.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch

from jobs.fits.transformer.clips import scenes, texts_of
from jobs.fits.worlds import WORLDS
from jobs.sheets import labels, row, sheet
from jobs.training.run_config import RunConfig, read_run_config
from model.builtin import BUILTIN, run_folder
from model.codec.causal import Autoencoder, load_autoencoder
from model.codec.quality import psnr_db
from model.diffusion.objectives import Objective
from model.diffusion.requests import Given, Request
from model.diffusion.sampling import sample_latents
from model.readers.text_encoder import TextEncoder, load_text_encoder
from model.training.exported import load_transformer
from model.transformer.transformer import Transformer
from pipeline.synthetic.render import render
from pipeline.synthetic.world import Scene

BATCH = 32
Shape = tuple[int, int, int]
"""Frames, height, width."""
Task = Callable[[torch.Tensor], tuple[Given, ...]]
"""What is given of the whitened latent of a true clip, (C, T, H, W)."""
TASKS: dict[str, Task] = {
    "text": lambda latent: (),
    "first_frame": lambda latent: (Given(latent[:, :1]),),
    "prefix": lambda latent: (Given(latent[:, :-1]),),
    "backwards": lambda latent: (_end(latent),),
    "interpolation": lambda latent: (Given(latent[:, :1]), _end(latent)),
}


@dataclass(frozen=True)
class Sampler:
    """A run with its codec and text encoder, asked for many clips of a shape at a time."""

    transformer: Transformer
    config: RunConfig
    autoencoder: Autoencoder
    texts: TextEncoder
    shape_thw: Shape

    @torch.no_grad()
    def clips(
        self,
        prompts: Sequence[str],
        steps: int,
        guidance: float,
        task: Task = TASKS["text"],
        truth: np.ndarray | None = None,
        period: int | None = None,
    ) -> np.ndarray:
        """Samples of prompts, (B, T, H, W, 3) uint8, each with its place for a seed.

        Args:
            truth: the clips that parts are given of, of the same form; for tasks that give any.
            period: of loops, in latent frames.
        """
        T, H, W = self.shape_thw
        shape = self.config.codec.plan(T, W, H, self.transformer.config.patch).latent_shape
        rate = self.config.fps / self.config.stride_thw[0]
        given = [()] * len(prompts) if truth is None else [task(latent) for latent in self._whitened(truth)]
        states = self.texts.encode(list(prompts))
        requests = [
            Request(torch.from_numpy(text), shape, rate, seed, parts, period=period)
            for seed, (text, parts) in enumerate(zip(states, given, strict=True))
        ]
        objective = Objective.of(self.config.objective)
        parts = []
        for start in range(0, len(requests), BATCH):
            latents = sample_latents(
                self.transformer, requests[start : start + BATCH], objective, num_steps=steps, guidance=guidance
            )
            parts.append(self._decoded(torch.stack(latents)))
        return np.concatenate(parts)

    @torch.no_grad()
    def reconstructions(self, clips: np.ndarray) -> np.ndarray:
        parts = np.split(clips, range(BATCH, len(clips), BATCH))
        return np.concatenate([self._decoded(torch.stack(self._whitened(part))) for part in parts])

    def _whitened(self, clips: np.ndarray) -> list[torch.Tensor]:
        video = torch.from_numpy(clips).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        return [*self.autoencoder.whiten(self.autoencoder.encode(video))]

    def _decoded(self, whitened_BCTHW: torch.Tensor) -> np.ndarray:
        video = self.autoencoder.decode(self.autoencoder.unwhiten(whitened_BCTHW)).clamp(-1, 1)
        return ((video + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy()


def load_sampler(run: str, shape_thw: Shape) -> Sampler:
    folder = run_folder(run)
    autoencoder = load_autoencoder(BUILTIN)
    return Sampler(load_transformer(folder), read_run_config(folder), autoencoder, load_text_encoder(), shape_thw)


def true_clips(drawn: Sequence[Scene], shape_thw: Shape) -> np.ndarray:
    T, H, W = shape_thw
    return np.stack([render(scene, W, H, T) for scene in drawn])


def given_psnr_db(clips: np.ndarray, truth: np.ndarray, task: Task, stride_t: int) -> float:
    """Mean over clips, (B, T, H, W, 3) uint8, of the PSNR of the frames that a task gives."""
    T = clips.shape[1]
    parts = task(torch.zeros(1, (T - 1) // stride_t + 1, 1, 1))
    frames = [t for t in range(T) if any(part.start <= -(-t // stride_t) < part.end for part in parts)]
    given, true = (torch.from_numpy(of[:, frames]) / 127.5 - 1 for of in (clips, truth))
    return sum(map(psnr_db, given, true)) / len(clips)


def _end(latent_CTHW: torch.Tensor) -> Given:
    """The last latent frame, as noisy as the rest."""
    return Given(latent_CTHW[:, -1:], latent_CTHW.shape[1] - 1, shown="noisy")


def labelled(clips: np.ndarray, prompts: Sequence[str], columns: int) -> np.ndarray:
    """Three frames of each clip over its prompt, (H, W, 3) uint8."""
    blocks = []
    for clip, prompt in zip(clips, prompts, strict=True):
        frames = row(torch.from_numpy(clip).permute(3, 0, 1, 2)[None] / 127.5 - 1)
        blocks.append([frames, *labels(prompt, frames.shape[1])])
    return sheet(blocks, columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a run, or builtin")
    parser.add_argument("--world", choices=WORLDS, default="plain")
    parser.add_argument("--prompts", type=int, default=300)
    parser.add_argument("--steps", type=int, nargs="+", default=[25])
    parser.add_argument("--guidance", type=float, nargs="+", default=[2.5])
    parser.add_argument("--shape", type=int, nargs=3, default=(9, 64, 64), metavar=("FRAMES", "WIDTH", "HEIGHT"))
    parser.add_argument("--task", choices=TASKS, nargs="+", default=["text"], help="what is given of the true clips")
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    T, W, H = options.shape
    shape = T, H, W
    sampler = load_sampler(options.run, shape)
    world = WORLDS[options.world]
    drawn = scenes(options.world, held_out=True, number=options.prompts)
    prompts = [texts_of(scene)[world.prompt] for scene in drawn]
    truth = true_clips(drawn, shape)
    rows = {
        "true clips": world.shares_right(truth, drawn),
        "reconstructions": world.shares_right(sampler.reconstructions(truth), drawn),
    }
    for task, steps, guidance in product(options.task, options.steps, options.guidance):
        start_s = time.perf_counter()
        clips = sampler.clips(prompts, steps, guidance, TASKS[task], truth)
        name = f"{task}, {steps} steps, guidance {guidance:g}"
        rows[name] = world.shares_right(clips, drawn) | {"seconds": time.perf_counter() - start_s}
        print(name, json.dumps(rows[name]), flush=True)
        if task != "text":
            given_db = given_psnr_db(clips, truth, TASKS[task], sampler.config.stride_thw[0])
            print(f"{name}: frames that are given, PSNR {given_db:.1f} dB")
        if options.pictures and len(rows) == 3:
            cv2.imwrite(str(options.pictures), labelled(clips[:24], prompts[:24], columns=4)[..., ::-1])
    print_table([*world.names, "all"], rows)


def print_table(names: Sequence[str], rows: dict[str, dict[str, float]]) -> None:
    """In Markdown, in per cent."""
    print(f"| | {' | '.join(names)} |\n{'|---' * (len(names) + 1)}|")
    for what, shares in rows.items():
        print(f"| {what} | " + " | ".join(f"{100 * shares[name]:.1f}" for name in names) + " |")


if __name__ == "__main__":
    main()
