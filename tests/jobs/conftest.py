"""Data sets that jobs start from: a demo's, one that is captioned, one that is encoded, one of a single clip."""

import contextlib
import io
import json
import math
import shutil
import signal
import subprocess
import sys
import time
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
from model.diffusion.objectives import Objective
from model.diffusion.requests import Request
from model.readers.text_encoder import load_text_encoder
from pipeline.encode.latents import OK, clip_transform
from pipeline.release import releases
from pipeline.release.releases import METADATA_KEY
from pipeline.store.dataset import Dataset, to_parquet
from pipeline.synthetic.encode import Encoding, encode
from pipeline.synthetic.render import render
from pipeline.synthetic.world import detailed_caption, draw_scene, short_caption
from schemas import LATENTS, RELEASES, TEXT, VIDEOS
from schemas.identity import bytes_digest, digest
from schemas.recipe import Recipe
from schemas.recipe.encode import EncodeConfig
from schemas.structured_caption import StructuredCaption, to_json
from schemas.tables.latents import text_id
from tests.conftest import write_captions, write_clips
from tests.jobs.training.runs import SMALL
from tests.jobs.training.runs import write_run as write_training_run
from tests.pipeline.caption.serving import ScriptedServer, completion
from tests.ray_cluster import ROOT, RayCluster

MakeRow = Callable[..., dict[str, Any]]
SHAPES_THW = ((9, 64, 96), (5, 96, 64), (1, 64, 64), (9, 64, 96))
FPS = 8.0
NUM_CAPTIONED, NUM_FRAMES = 10, 16
FIRST_PART_TIMEOUT_S = 240.0
DEMO_STEPS = 3
SUBMIT_TIMEOUT_S = 400.0
SCRIPTED = """
name = "drawn"
[overlay_text]
enabled = false
[embedding]
model = "none"
[caption]
backend = "openai"
checkpoint = "scripted"
url = "{url}"
"""
"""A recipe of which nothing takes long; captions come from a server in the test. Its last section is [caption]."""
FEW_FILES = ("00_cuts.mp4", "05_blink.mp4", "07_rotated.mp4", "copy_exact.mp4", "empty.mp4", "image.png")
"""Of the synthetic corpus: one of each kind that ends otherwise."""
CAPTIONED = f"""{SCRIPTED}batch_clips = 2
[caption_rules.min_words]
column = "num_words"
min = 3
reason = "caption_too_short"
"""
"""The recipe of the captioned data set: several batches of captions, and nothing that takes long."""
DrawVideo = Callable[..., None]


@dataclass(frozen=True)
class DemoRun:
    """What `reelmill demo` has made of the synthetic corpus, after a first run that was killed."""

    out: Path
    printed: str
    num_before_kill: int
    """Videos that the killed run had written."""

    @property
    def dataset(self) -> Dataset:
        return Dataset(str(self.out / "dataset"))

    @property
    def curate(self) -> list[str]:
        """The command that made the data set."""
        inputs = self.out / "corpus" / "inputs.jsonl"
        return ["curate", str(inputs), "--out", self.dataset.location, "--recipe", "demo"]


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
        "motion_px_s": None if T == 1 else float(seed),
        "captioner": "truth",
        "short": short_caption(scene),
        "medium": None,
        "detailed": detailed_caption(scene),
        "source": "{}",
    }


@pytest.fixture(scope="session")
def encoded_dataset(tmp_path_factory) -> Dataset:
    """Twelve clips under the release name `drawn`, keyed as `reelmill encode` would with the active recipe."""
    return write_encoded(Dataset(str(tmp_path_factory.mktemp("encoded"))))


def write_encoded(dataset: Dataset) -> Dataset:
    """Write the twelve clips."""
    autoencoder, text_encoder = load_autoencoder(), load_text_encoder()
    rows = [release_row(f"clip-{seed:02d}", seed) for seed in range(12)]
    write_release(dataset, "drawn", rows)
    latents = [
        {
            "clip_id": row["clip_id"],
            "transform": clip_transform(row, EncodeConfig().transform),
            "encoder": autoencoder.fingerprint,
            "frame": None,
            "status": OK,
            "reason": None,
            "transient": None,
            "num_failures": None,
            "num_positions": math.prod(latent.shape[1:]),
            "valid": [row["num_frames"], row["width"], row["height"]],
            "times_us": [int((i + 0.5) * 1e6 / FPS) for i in range(row["num_frames"])],
            "fps": FPS,
            **_stored(latent),
        }
        for row, latent in ((row, _latent(autoencoder, seed)) for seed, row in enumerate(rows))
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

    def sample_latent(transformer, request: Request, objective: Objective, **settings: Any) -> torch.Tensor:
        assert transformer.config == SMALL
        assert objective == Objective()
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
    data = array.tobytes()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data_hash": bytes_digest(data), "data": data}


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
    write_clips(dataset, [clip_row("c0", "v0")])
    write_captions(dataset, [caption_row("c0"), caption_row("c0", "cap1")])
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
def demo_run(
    two_cpus: str, ray_cluster: RayCluster, drawn_corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> DemoRun:
    """The whole chain over the synthetic corpus, which is there already: curation killed halfway, then the demo."""
    run = DemoRun(tmp_path_factory.mktemp("demo"), "", 0)
    (run.out / "corpus").symlink_to(drawn_corpus)
    num_before_kill = _killed_after_the_first_part(run, ray_cluster)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["demo", "--out", str(run.out), "--steps", str(DEMO_STEPS)]) == 0
    return DemoRun(run.out, printed.getvalue(), num_before_kill)


def _killed_after_the_first_part(run: DemoRun, cluster: RayCluster) -> int:
    """Curate until the first videos are written; returns how many are when the job has been killed."""
    command = [sys.executable, "-m", "jobs.cli", *run.curate]
    job = subprocess.Popen(command, cwd=ROOT, env=cluster.job_environment)
    deadline_s = time.monotonic() + FIRST_PART_TIMEOUT_S
    while not run.dataset.exists():
        assert job.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    job.wait()
    time.sleep(1)  # the cluster ends the dead job's tasks
    return run.dataset.read(VIDEOS).num_rows


@pytest.fixture(scope="session")
def captioned_once(
    ray_cluster: RayCluster, draw_video: DrawVideo, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, str]]:
    """A folder with `videos`, of one clip each, `recipe.toml`, and `ds`: what a submitted `reelmill curate` makes of
    them; and what the submission printed.

    Captions come from a server that says of each clip what only its frames decide.
    """
    folder = tmp_path_factory.mktemp("captioned")
    (folder / "videos").mkdir()
    for seed in range(NUM_CAPTIONED):
        draw_video(folder / "videos" / f"{seed:02}.mp4", seed)
    with ScriptedServer(lambda asked, before: (200, completion(said_of(asked)))).listening() as url:
        (folder / "recipe.toml").write_text(CAPTIONED.format(url=url))
        # As from another machine, so that the cluster has no such file.
        done = submit(ray_cluster, *_curate(folder, folder / "ds")[:-1], "recipe.toml", cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        yield folder, done.stdout


def said_of(asked: str) -> str:
    """A caption that only the frames decide."""
    return to_json(StructuredCaption(subject=f"Ring number {asked[:12]}", action="moves to the left"))


def submit(cluster: RayCluster, *words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command on the cluster as a person would who sits elsewhere."""
    return submission(cluster, "--", *words, cwd=cwd)


def submission(cluster: RayCluster, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run `reelmill submit` with these arguments."""
    return subprocess.run(
        submission_command(cluster.dashboard, *arguments),
        env=cluster.environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=SUBMIT_TIMEOUT_S,
        check=False,
    )


def submission_command(url: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "jobs.submit", "--address", url, *arguments]


@pytest.fixture
def captioned(captioned_once: tuple[Path, str], two_cpus: str, tmp_path: Path) -> Iterator[Captioned]:
    """A copy of the captioned data set for one test, which may change the videos too: they are put back afterwards."""
    folder, _ = captioned_once
    videos, kept = folder / "videos", tmp_path / "kept"
    shutil.copytree(videos, kept)
    shutil.copytree(folder / "ds", tmp_path / "ds")
    yield Captioned(Dataset(str(tmp_path / "ds")), sorted(videos.iterdir()), _curate(folder, tmp_path / "ds"))
    shutil.copytree(kept, videos, dirs_exist_ok=True)


def _curate(folder: Path, dataset: Path) -> list[str]:
    return ["curate", str(folder / "videos"), "--out", str(dataset), "--recipe", str(folder / "recipe.toml")]
