"""Data sets that jobs start from: one whose release is encoded, one whose clips are captioned, one of a single clip."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from jobs.cli import main
from jobs.sampling import clip
from jobs.steps.records import write_run
from model.codec.causal import load_autoencoder
from model.diffusion.sampling import Request
from model.readers.text_encoder import load_text_encoder
from pipeline.encode.latents import OK
from pipeline.release import releases
from pipeline.release.releases import METADATA_KEY
from pipeline.store.dataset import Dataset, to_parquet
from pipeline.synthetic.encode import Encoding, encode
from pipeline.synthetic.render import render
from pipeline.synthetic.world import detailed_caption, draw_scene, short_caption
from schemas import CAPTIONS, CLIPS, LATENTS, RELEASES, TEXT, VIDEOS
from schemas.identity import digest
from schemas.recipe import Recipe
from schemas.recipe.encode import EncodeConfig
from schemas.tables.latents import text_id
from tests.jobs.training.runs import SMALL
from tests.jobs.training.runs import write_run as write_training_run

MakeRow = Callable[..., dict[str, Any]]
SHAPES_THW = ((9, 64, 96), (5, 96, 64), (1, 64, 64), (9, 64, 96))
FPS = 8.0
NUM_CAPTIONED, NUM_FRAMES = 10, 16
CAPTIONED = """
name = "drawn"
[overlay_text]
enabled = false
[embedding]
model = "none"
[caption]
batch_clips = 2
[caption_rules.min_words]
column = "num_words"
min = 3
reason = "caption_too_short"
"""
"""The recipe of the captioned data set: several batches of captions, and nothing that takes long before them."""
DrawVideo = Callable[..., None]


@dataclass(frozen=True)
class Captioned:
    """A captioned data set, the videos that it was made of, and the command that made it."""

    dataset: Dataset
    videos: list[Path]
    curate: list[str]


def release_row(clip_id: str, seed: int) -> dict:
    scene = draw_scene(seed)
    T, H, W = SHAPES_THW[seed % len(SHAPES_THW)]
    return {
        "clip_id": clip_id,
        "video_id": f"video-{seed}",
        "uri": f"/nowhere/{seed}.mp4",
        "start_us": 0,
        "end_us": int(T / FPS * 1e6),
        "is_image": T == 1,
        "num_frames": T,
        "width": W,
        "height": H,
        "content_box": [0, 0, W, H],
        "captioner": "truth",
        "short": short_caption(scene),
        "medium": None,
        "detailed": detailed_caption(scene),
        "source": "{}",
    }


@pytest.fixture(scope="session")
def encoded_dataset(tmp_path_factory) -> Dataset:
    """Twelve clips under the release name `drawn`, keyed as `reelmill encode` would with the active recipe."""
    dataset = Dataset(str(tmp_path_factory.mktemp("encoded")))
    autoencoder, text_encoder = load_autoencoder(), load_text_encoder()
    rows = [release_row(f"clip-{seed:02d}", seed) for seed in range(12)]
    write_release(dataset, "drawn", rows)
    latents = [
        {
            "clip_id": row["clip_id"],
            "transform": EncodeConfig().transform,
            "encoder": autoencoder.fingerprint,
            "status": OK,
            "reason": None,
            "fps": FPS,
            **_stored(_latent(autoencoder, seed)),
        }
        for seed, row in enumerate(rows)
    ]
    dataset.write_part(LATENTS.within(autoencoder.fingerprint), latents)
    texts = sorted({row[name] for row in rows for name in ("short", "detailed")})
    embedded = [
        {"text_id": text_id(text), "encoder": text_encoder.fingerprint, "text": text, **_stored(array)}
        for text, array in zip(texts, text_encoder.encode(texts), strict=True)
    ]
    dataset.write_part(TEXT.within(text_encoder.fingerprint), embedded)
    write_run(dataset, "20260101T000000Z-curate", "curate", Recipe(name="drawn"), state="done")
    return dataset


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory) -> Path:
    """The folder of a run that can be sampled from."""
    return write_training_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def asked(monkeypatch) -> list[tuple[Request, dict[str, Any]]]:
    """What the transformer is asked for; it answers with ones."""
    requests = []

    def sample_latent(transformer, request: Request, **settings: Any) -> torch.Tensor:
        assert transformer.config == SMALL
        requests.append((request, settings))
        return torch.ones(request.latent_shape)

    monkeypatch.setattr(clip, "sample_latent", sample_latent)
    return requests


def write_release(dataset: Dataset, name: str, rows: list[dict]) -> None:
    """A release file as `reelmill release` freezes it, and the empty table that makes a folder a data set."""
    dataset.write_bytes("videos/part-none.parquet", to_parquet(VIDEOS.encode([])))
    clips = RELEASES.encode(rows)
    facts = json.dumps({"name": name, "hash": digest(*rows), "where": "true"}).encode()
    dataset.write_bytes(f"releases/{name}.parquet", to_parquet(clips.replace_schema_metadata({METADATA_KEY: facts})))


def _latent(autoencoder, seed: int):
    T, H, W = SHAPES_THW[seed % len(SHAPES_THW)]
    frames = torch.from_numpy(render(draw_scene(seed), W, H, T)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    return autoencoder.encode(frames)[0].half().numpy()


def _stored(array) -> dict:
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": array.tobytes()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one input file and some lists."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # submit would set it for the rest of this process
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    (tmp_path / "list.csv").write_text("url\na.mp4\n")
    (tmp_path / "bad.toml").write_text("[spilt]\n")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.fixture
def tiny_dataset(place: Path, video_row: MakeRow, clip_row: MakeRow, caption_row: MakeRow) -> Dataset:
    """A tiny data set with one captioned clip, in `ds`."""
    dataset = Dataset(str(place / "ds"))
    dataset.write_part(VIDEOS, [video_row("v0")])
    dataset.write_part(CLIPS, [clip_row("c0", "v0")])
    dataset.write_part(CAPTIONS, [caption_row("c0"), caption_row("c0", "cap1")])
    releases.freeze(dataset, "frozen", "captioner = 'cap0'")
    return dataset


@pytest.fixture(scope="session")
def draw_video() -> DrawVideo:
    """Writes a short synthetic video: `draw_video(path, seed)`, with `width` and `height` where others are wanted."""

    def draw(path: Path, seed: int, width: int = 160, height: int = 120) -> None:
        times_s = [Fraction(i, int(FPS)) for i in range(NUM_FRAMES + 1)]
        pictures = render(draw_scene(seed), width, height, NUM_FRAMES)
        encode(path, pictures, times_s, Fraction(int(FPS)), Encoding())

    return draw


@pytest.fixture(scope="session")
def captioned_once(two_cpus: str, draw_video: DrawVideo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `videos`, of one clip each, `recipe.toml`, and `ds`: what `reelmill curate` makes of them."""
    folder = tmp_path_factory.mktemp("captioned")
    (folder / "videos").mkdir()
    (folder / "recipe.toml").write_text(CAPTIONED)
    for seed in range(NUM_CAPTIONED):
        draw_video(folder / "videos" / f"{seed:02}.mp4", seed)
    assert main(_curate(folder, folder / "ds")) == 0
    return folder


@pytest.fixture
def captioned(captioned_once: Path, tmp_path: Path) -> Iterator[Captioned]:
    """A copy of the captioned data set for one test, which may change the videos too: they are put back afterwards."""
    videos, kept = captioned_once / "videos", tmp_path / "kept"
    shutil.copytree(videos, kept)
    shutil.copytree(captioned_once / "ds", tmp_path / "ds")
    yield Captioned(Dataset(str(tmp_path / "ds")), sorted(videos.iterdir()), _curate(captioned_once, tmp_path / "ds"))
    shutil.copytree(kept, videos, dirs_exist_ok=True)


def _curate(folder: Path, dataset: Path) -> list[str]:
    return ["curate", str(folder / "videos"), "--out", str(dataset), "--recipe", str(folder / "recipe.toml")]
