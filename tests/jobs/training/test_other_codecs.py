"""Clips through codecs with other strides, from their files to a training example: nothing assumes one codec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jobs.encode import encoders_of, missing
from jobs.training.run import prepare
from jobs.training.samples import Encoding, ReleaseSamples
from model.codec.loading import load_codec
from model.codec.padding import padded
from model.codec.video_codec import encode_frames, whiten
from model.diffusion.objectives import Objective
from model.diffusion.timesteps import Density
from model.readers.text_encoder import load_text_encoder
from model.training.examples import LatentStatistics, draw_example, pack_examples
from pipeline.decode.clip_frames import VideoClips, read_clips
from pipeline.encode.latents import one_frame, plan_clip
from pipeline.encode.stage import LatentWriting
from pipeline.encode.text_stage import TextWriting
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from pipeline.store.retrying import Retrying
from schemas import LATENTS
from schemas.recipe import Recipe, change_recipe, decode_recipe
from schemas.recipe.train import TextMix
from tests.jobs.conftest import DrawVideo, release_row, write_release
from tests.model.codec.tiny_codecs import save_tiny

SIZE, FPS, NUM_FRAMES = (128, 64), 8.0, 13
KINDS = {"ours": (4, 13), "wan 2.2": (4, 13), "ltx": (8, 17), "cogvideox": (4, 13)}
"""Of each codec: stride in time, and to how many frames 13 are padded."""


def report(stage: str, rows: int, seconds: float, num_bytes: int, counts: dict[str, int]) -> None:
    assert counts.get("latents failed", 0) == 0


def encode_with(dataset: Dataset, recipe: Recipe) -> None:
    """What the graphs of `reelmill encode` call, without Ray."""
    encoders = encoders_of(recipe.encode)
    clips, _ = missing(dataset, releases.scanner(dataset, "drawn"), encoders, Retrying("now"))
    videos = (rows for piece in range(clips.num_pieces) for rows in clips.videos(piece))
    LatentWriting(dataset, recipe.encode, encoders.codec, recipe.limits, report).write(videos)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, draw_video: DrawVideo) -> Dataset:
    """A release of two clips of one video, 13 frames and an image, without latents; its texts are embedded."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_video(folder / "0.mp4", 0, *SIZE)
    dataset = Dataset(str(folder / "ds"))
    size = {"width": SIZE[0], "height": SIZE[1], "content_box": [0, 0, *SIZE], "uri": str(folder / "0.mp4")}
    span = {"start_us": 0, "end_us": round(NUM_FRAMES / FPS * 1e6), "num_frames": NUM_FRAMES, "is_image": False}
    rows: list[dict[str, Any]] = [
        release_row("clip", 0) | size | span,
        release_row("image", 0) | size | span | {"is_image": True, "num_frames": 1},
    ]
    write_release(dataset, "drawn", rows)
    texts = ["", *(row[name] for row in rows for name in ("short", "detailed"))]
    TextWriting(dataset, Recipe().encode, report).write([sorted(set(texts))])
    return dataset


def recipe_of(codec: str) -> Recipe:
    return decode_recipe({"encode": {"autoencoder": codec, "max_pixels_px": SIZE[0] * SIZE[1]}})


@pytest.mark.parametrize("kind", KINDS)
def test_latents_of_any_codec_are_written_found_and_trained_on(drawn: Dataset, tmp_path: Path, kind: str) -> None:
    recipe = recipe_of(save_tiny(kind, tmp_path / "codec"))
    codec = load_codec(recipe.encode.autoencoder)
    stride_t, num_padded = KINDS[kind]
    encode_with(drawn, recipe)
    config, transformer, _ = prepare(drawn, "drawn", recipe)
    assert (config.stride_thw, config.latent_mean, config.latent_std) == (
        codec.spec.stride_thw,
        codec.spec.mean,
        codec.spec.std,
    )
    release = releases.read(drawn, "drawn")
    plans = {row["clip_id"]: plan_clip(row, recipe.encode, codec.spec).codec for row in release.clips.to_pylist()}
    assert [plans[name].valid for name in ("clip", "image")] == [(NUM_FRAMES, *SIZE), (1, *SIZE)]
    assert [plans[name].encoded for name in ("clip", "image")] == [(num_padded, *SIZE), (1, *SIZE)]
    samples = ReleaseSamples(drawn, "drawn", config.encoding, TextMix())
    assert samples.shapes == {name: plan.latent_shape for name, plan in plans.items()}
    assert (config.usual_num_frames, transformer.latent_channels) == (NUM_FRAMES, codec.spec.channels)
    clip, image = samples.read(["clip", "image"])
    _compare_single_frames(drawn, recipe, config.encoding)
    assert clip.latent_fps == image.latent_fps == FPS / stride_t
    _compare_with_the_codec(drawn, recipe, clip.latent_CTHW)
    statistics = LatentStatistics(config.latent_mean, config.latent_std)
    torch.testing.assert_close(
        statistics.whiten(clip.latent_CTHW), whiten(torch.from_numpy(clip.latent_CTHW).float()[None], codec.spec)[0]
    )
    settings: dict[str, Any] = {"patch": transformer.patch, "seed": 0, "epoch": 0, "text_drop": 0.0}
    examples = [draw_example(sample, statistics, Objective(), Density(), **settings) for sample in (clip, image)]
    pack, targets = pack_examples(examples, transformer.patch, load_text_encoder().dim)
    assert targets.answer_NP.shape == (len(pack.clean_N), codec.spec.channels * 4)


def _compare_with_the_codec(dataset: Dataset, recipe: Recipe, latent: np.ndarray) -> None:
    """What is stored is what the codec makes of the frames."""
    codec = load_codec(recipe.encode.autoencoder)
    (row, _) = releases.read(dataset, "drawn").clips.to_pylist()
    plan = plan_clip(row, recipe.encode, codec.spec)
    ((_, (frames,)),) = read_clips(VideoClips.of([row], lambda clip: [plan.sampling]))
    expected = encode_frames(codec, torch.from_numpy(padded(frames, plan.codec).copy()))
    np.testing.assert_allclose(latent, expected, atol=2e-3)
    assert latent.std() > 0.01


def _compare_single_frames(dataset: Dataset, recipe: Recipe, encoding: Encoding) -> None:
    """The last frame, which is missing alone now that the clips are encoded, is what the codec makes of it alone."""
    before = dataset.read(LATENTS.within(encoding.autoencoder)).num_rows
    with_frames = change_recipe(recipe, ['encode.single_frames=["last"]'])
    encode_with(dataset, with_frames)
    assert dataset.read(LATENTS.within(encoding.autoencoder)).num_rows == before + 1
    samples = ReleaseSamples(dataset, "drawn", encoding, TextMix(), ["last"])
    clip, image = samples.read(["clip", "image"])
    codec = load_codec(recipe.encode.autoencoder)
    (row, _) = releases.read(dataset, "drawn").clips.to_pylist()
    plan = plan_clip(row, recipe.encode, codec.spec)
    ((_, (frames,)),) = read_clips(VideoClips.of([row], lambda clip: [plan.sampling]))
    alone = padded(frames[-1:], one_frame(plan.codec, codec.spec)).copy()
    ((at_s, latent),) = clip.frame_latents.items()
    assert at_s == (NUM_FRAMES - 1) / FPS
    np.testing.assert_allclose(latent, encode_frames(codec, torch.from_numpy(alone)), atol=2e-3)
    assert not image.frame_latents


def test_two_codecs_are_side_by_side(drawn: Dataset, tmp_path: Path) -> None:
    names = [save_tiny(kind, tmp_path / kind) for kind in ("wan", "wan 2.2")]
    recipes = [recipe_of(name) for name in names]
    for recipe in recipes:
        encode_with(drawn, recipe)
    fingerprints = [encoders_of(recipe.encode).autoencoder for recipe in recipes]
    assert len(set(fingerprints)) == 2
    stored = [drawn.read(LATENTS.within(fingerprint)).to_pylist() for fingerprint in fingerprints]
    assert [{row["encoder"] for row in rows} for rows in stored] == [{fingerprint} for fingerprint in fingerprints]
    shapes = [{row["clip_id"]: row["shape"] for row in rows if row["frame"] is None} for rows in stored]
    assert shapes[0]["clip"] == [4, 4, SIZE[1] // 8, SIZE[0] // 8]
    assert shapes[1]["clip"] == [4, 4, SIZE[1] // 16, SIZE[0] // 16]
