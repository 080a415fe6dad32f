"""The encode job: what its graphs store is what the pure functions make of a clip and a text, and is made once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs.cli import main
from jobs.demo import RELEASE
from model.codec.causal import load_autoencoder
from model.codec.spec import codec_spec
from model.readers.text_encoder import load_text_encoder
from pipeline.caption.source_text import title_of
from pipeline.decode.clip_frames import VideoClips, read_clips
from pipeline.encode.arrays import StoredArrays
from pipeline.encode.latents import LatentEncoder, clip_transform, plan_clip
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from pipeline.store.newest import STAMPS
from schemas import LATENTS, TEXT
from schemas.identity import bytes_digest
from schemas.recipe import load_recipe
from tests.jobs.conftest import DemoRun

NUM_COMPARED = 3
ROUNDING = 2e-2
"""Latents and token states are of the order of 1 and stored as float16; threads add up in another order."""


def stored(row: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(row["data"], row["dtype"]).reshape(row["shape"])


def test_released_clips_and_texts_are_encoded_as_by_the_pure_functions(demo_run: DemoRun) -> None:
    released = releases.read(demo_run.dataset, RELEASE).clips.to_pylist()
    _compare_latents(demo_run.dataset, released)
    _compare_texts(demo_run.dataset, released)


def test_what_is_encoded_is_not_encoded_again(demo_run: DemoRun, capsys: pytest.CaptureFixture[str]) -> None:
    (first,) = [run for run in demo_run.dataset.runs() if run["job"] == "encode"]
    num_released = releases.read(demo_run.dataset, RELEASE).clips.num_rows
    assert {name: first["stages"][name]["rows"] for name in ("latents", "frames")} == dict.fromkeys(
        ("latents", "frames"), num_released
    )
    capsys.readouterr()
    assert main(["encode", demo_run.dataset.location, "--release", RELEASE, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["latents"], again["encoded_now"], again["failed"], again["stages"]) == (num_released, 0, 0, {})


def test_a_damaged_latent_is_made_again_when_that_is_asked_for(
    demo_run: DemoRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = Dataset(str(shutil.copytree(demo_run.dataset.location, tmp_path / "copy")))
    table = LATENTS.within(codec_spec().fingerprint)
    (whole, *_) = dataset.read(table).drop_columns(list(STAMPS)).to_pylist()
    dataset.write_part(table, [whole | {"data": bytes(len(whole["data"]))}])
    texts = TEXT.within(load_text_encoder(load_recipe("demo").encode.text_encoder).fingerprint)
    text = max(dataset.read(texts).drop_columns(list(STAMPS)).to_pylist(), key=lambda row: row["text"])
    dataset.write_part(texts, [text | {"data": bytes(len(text["data"]))}])
    for options, encoded_now in (([], 0), (["--verify"], 1), (["--verify"], 0)):
        capsys.readouterr()
        assert main(["encode", dataset.location, "--release", RELEASE, "--json", *options]) == 0
        assert json.loads(capsys.readouterr().out)["encoded_now"] == encoded_now
    newest = max(
        (row for row in dataset.read(table).to_pylist() if row["clip_id"] == whole["clip_id"]),
        key=lambda row: row["written_us"],
    )
    assert bytes_digest(newest["data"]) == newest["data_hash"]
    assert StoredArrays(dataset, texts, pa.table({"text_id": [text["text_id"]]})).corrupt() == []
    np.testing.assert_allclose(stored(newest), stored(whole), atol=ROUNDING)


def _compare_latents(dataset: Dataset, released: list[dict[str, Any]]) -> None:
    config = load_recipe("demo").encode
    encoder = LatentEncoder(config)
    clips = {row["clip_id"]: row for row in released}
    rows = dataset.read(LATENTS.within(load_autoencoder(config.autoencoder).fingerprint)).to_pylist()
    assert {row["clip_id"] for row in rows} == clips.keys()
    for row in sorted(rows, key=lambda row: row["clip_id"])[:NUM_COMPARED]:
        video = VideoClips.of([clips[row["clip_id"]]], lambda clip: [plan_clip(clip, config, codec_spec()).sampling])
        ((_, (frames,)),) = read_clips(video)
        plan = plan_clip(clips[row["clip_id"]], config, codec_spec())
        assert (row["status"], row["transform"], row["fps"]) == (
            "ok",
            clip_transform(clips[row["clip_id"]], config.transform),
            config.fps,
        )
        (expected,) = encoder([frames], plan.codec)
        assert row["shape"] == list(expected.shape)
        assert row["num_positions"] == np.prod(expected.shape[1:])
        assert (row["valid"], row["times_us"]) == (list(plan.codec.valid), list(plan.sampling.times_us))
        assert row["data_hash"] == bytes_digest(row["data"])
        assert np.abs(expected).max() > 0.5
        np.testing.assert_allclose(stored(row), expected, atol=ROUNDING)


def _compare_texts(dataset: Dataset, released: list[dict[str, Any]]) -> None:
    encoder = load_text_encoder(load_recipe("demo").encode.text_encoder)
    rows = {row["text"]: row for row in dataset.read(TEXT.within(encoder.fingerprint)).to_pylist()}
    written = {"", *(row[name] for row in released for name in ("short", "medium", "detailed"))}
    assert rows.keys() == written | {title for row in released if (title := title_of(row["source"]))}
    texts = sorted(rows)[:: len(rows) // NUM_COMPARED]
    for text, expected in zip(texts, encoder.encode(texts), strict=True):
        np.testing.assert_allclose(stored(rows[text]), expected, atol=ROUNDING)


def test_the_driver_finds_what_is_missing_without_torch(encoded_dataset: Dataset) -> None:
    """All latents are there, and all texts but the empty one."""
    program = """
import sys
from jobs.encode import encoders_of, missing
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from pipeline.store.retrying import Retrying
from schemas.recipe import Recipe

dataset, recipe = Dataset(sys.argv[1]), Recipe()
retrying = Retrying.of(recipe.limits, "run")
clips, texts = missing(dataset, releases.scanner(dataset, "drawn"), encoders_of(recipe.encode), retrying)
heavy = [name for name in ("torch", "transformers", "open_clip") if name in sys.modules]
print(len(clips), [row["text"] for row in texts], heavy)
"""
    command = [sys.executable, "-c", program, encoded_dataset.location]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.stdout == "0 [''] []\n", found.stderr


@pytest.mark.parametrize("key", ["encode.autoencoder", "encode.text_encoder"])
def test_an_encoder_that_cannot_be_loaded_is_told_by_its_key(
    key: str, encoded_dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path(encoded_dataset.location).rglob("*"))
    assert main(["encode", encoded_dataset.location, "--release", "drawn", "--set", f"{key}=/nosuch"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"reelmill encode: {key} = '/nosuch': ")
    assert error.count("\n") == 1
    assert sorted(Path(encoded_dataset.location).rglob("*")) == before
