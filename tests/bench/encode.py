"""How fast released clips become latents, as a share of the bare codec's speed on the same clips.

    python -m tests.bench.encode [--dataset DATASET --release NAME] [--set KEY=VALUE ...] [--repeats 3]

In one run, the same clips are taken through the codec alone, their frames in memory, one after another and then those
of equal size together, as many as `encode` takes; and encoded as an actor of `reelmill encode` does it, which reads the
videos, pads, encodes, hashes and writes. None includes the start of a process or the loading of weights. Without a data
set, videos of the synthetic world are drawn.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from model.codec.padding import padded
from model.codec.spec import CodecPlan, CodecSpec, codec_spec
from model.codec.video_codec import encode_batch, encode_frames
from pipeline.decode.clip_frames import VideoClips, by_video, sample_video
from pipeline.encode.latents import LatentEncoder, plan_clip
from pipeline.encode.stage import LatentWriting
from pipeline.encode.wanted import wanted_clips
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from pipeline.store.run_statistics import peak_bytes
from pipeline.synthetic.corpus import draw_video
from schemas.identity import digest
from schemas.recipe import Recipe, change_recipe

NUM_VIDEOS, CLIPS_A_VIDEO, CLIP_S = 4, 8, 2.5
SIZE = (320, 240)

Clip = dict[str, Any]


def drawn_clips(folder: Path) -> list[Clip]:
    """Clips one after another of videos that are drawn now."""
    clips = []
    for number in range(NUM_VIDEOS):
        path = folder / f"{number}.mp4"
        draw_video(path, seed=number, width=SIZE[0], height=SIZE[1], duration_s=CLIPS_A_VIDEO * CLIP_S)
        for start in range(CLIPS_A_VIDEO):
            span = {"start_us": int(start * CLIP_S * 1e6), "end_us": int((start + 1) * CLIP_S * 1e6)}
            size = {"width": SIZE[0], "height": SIZE[1], "content_box": [0, 0, *SIZE], "is_image": False}
            clips.append({"clip_id": digest(number, start), "uri": str(path), "regular": True, **span, **size})
    return clips


def released_clips(location: str, release: str, recipe: Recipe) -> list[Clip]:
    released = releases.scanner(Dataset(location), release)
    return wanted_clips(released, recipe.encode.transform).read_all().to_pylist()


def bare_seconds(frames: Sequence[torch.Tensor], encoder: LatentEncoder) -> float:
    """The codec alone, clip by clip, on frames that are padded already."""
    start_s = time.perf_counter()
    for clip in frames:
        encode_frames(encoder.codec, clip)
    return time.perf_counter() - start_s


def together_seconds(frames: Sequence[torch.Tensor], encoder: LatentEncoder) -> float:
    """The codec alone, on clips of equal size together."""
    by_shape: dict[torch.Size, list[torch.Tensor]] = {}
    for clip in frames:
        by_shape.setdefault(clip.shape, []).append(clip)
    start_s = time.perf_counter()
    for shape, clips in by_shape.items():
        T, H, W, _ = shape
        at_once = encoder.clips_at_once(CodecPlan((T, W, H), (T, W, H), (0, 0, 0, 0)))
        for start in range(0, len(clips), at_once):
            encode_batch(encoder.codec, torch.stack(clips[start : start + at_once]))
    return time.perf_counter() - start_s


def encode_seconds(videos: Sequence[Sequence[Clip]], writing: LatentWriting) -> float:
    start_s = time.perf_counter()
    writing.write(videos)
    return time.perf_counter() - start_s


def frames_of(videos: Sequence[Sequence[Clip]], recipe: Recipe, codec: CodecSpec) -> list[torch.Tensor]:
    frames = []
    for clips in videos:
        plans = [plan_clip(clip, recipe.encode, codec) for clip in clips]
        video = VideoClips(clips[0]["uri"], True, clips, [[plan.sampling] for plan in plans])
        for number, (sampled,) in sample_video(recipe.limits, video):
            if sampled.failure is None:
                frames.append(torch.from_numpy(np.array(padded(sampled.frames, plans[number].codec))))
    return frames


def no_report(*counts: object) -> None:
    """Nothing is counted here."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset")
    parser.add_argument("--release", default="demo")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    recipe = change_recipe(Recipe(), asked.set)
    codec = codec_spec(recipe.encode.autoencoder)
    device = "cuda" if recipe.encode.device != "cpu" and torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        clips = released_clips(asked.dataset, asked.release, recipe) if asked.dataset else drawn_clips(Path(folder))
        videos = by_video([clip | {"transform": "t", "failures": 0} for clip in clips])
        writing = LatentWriting(
            Dataset(str(Path(folder, "ds"))), recipe.encode, codec, recipe.limits, no_report, device
        )
        frames = frames_of(videos, recipe, codec)
        bare_seconds(frames[:2], writing.encoder)
        rounds = [
            (
                bare_seconds(frames, writing.encoder),
                together_seconds(frames, writing.encoder),
                encode_seconds(videos, writing),
            )
            for _ in range(asked.repeats)
        ]
    print_rounds(rounds, frames)


def print_rounds(rounds: Sequence[tuple[float, float, float]], frames: Sequence[torch.Tensor]) -> None:
    sizes = sorted({tuple(clip.shape[:3]) for clip in frames})
    title = f"{len(frames)} clips, frames x height x width from {sizes[0]} to {sizes[-1]}; "
    table = Table(
        "codec, one by one, s",
        "codec, together, s",
        "encode, s",
        "ratio to the faster",
        title=title + f"{torch.get_num_threads()} threads",
    )
    ratios = [min(bare) / encode_s for *bare, encode_s in rounds]
    for seconds, ratio in zip(rounds, ratios, strict=True):
        table.add_row(*(f"{value:.2f}" for value in seconds), f"{ratio:.2f}")
    Console().print(table)
    print(f"median ratio {statistics.median(ratios):.2f} (1 is the codec alone); peak {peak_bytes() >> 20} MiB")


if __name__ == "__main__":
    main()
