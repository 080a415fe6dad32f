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
from jobs.encode import encoders_of, missing
from jobs.training.samples import Encoding, ReleaseSamples
from model.codec.causal import load_autoencoder
from model.codec.spec import codec_spec
from model.readers.text_encoder import load_text_encoder
from pipeline.caption.source_text import title_of
from pipeline.decode.clip_frames import VideoClips, read_clips
from pipeline.encode import damage
from pipeline.encode.arrays import StoredArrays
from pipeline.encode.latents import LatentEncoder, clip_transform, plan_clip
from pipeline.encode.outcome import outcome
from pipeline.encode.wanted import wanted_clips
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from pipeline.store.newest import STAMPS
from pipeline.store.pending import bounded
from pipeline.store.retrying import Retrying
from schemas import LATENTS, TEXT
from schemas.errors import UsageError
from schemas.identity import bytes_digest
from schemas.recipe import Recipe, load_recipe
from schemas.recipe.encode import EncodeConfig
from schemas.recipe.train import TextMix
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
    assert StoredArrays.of_table(dataset, texts, pa.table({"text_id": [text["text_id"]]})).corrupt() == []
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


def encoding_of(recipe: Recipe) -> Encoding:
    encoders = encoders_of(recipe.encode)
    return Encoding(encoders.transform, encoders.autoencoder, encoders.text_encoder, recipe.encode.fps, 4)


def damaged(encoded_dataset: Dataset, folder: Path) -> tuple[Dataset, Path]:
    """A copy of the data set of which one part file of latents cannot be read."""
    dataset = Dataset(str(shutil.copytree(encoded_dataset.location, folder / "copy")))
    (path,) = map(Path, dataset.part_files(LATENTS.folder))
    path.write_bytes(path.read_bytes()[:-20])
    return dataset, path


def test_a_part_file_that_cannot_be_read_is_named(
    encoded_dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, path = damaged(encoded_dataset, tmp_path)
    assert main(["encode", dataset.location, "--release", "drawn"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"reelmill encode: {path} cannot be read: ")
    assert error.endswith("; `reelmill encode --verify` makes its rows again\n")
    assert error.count("\n") == 1
    with pytest.raises(UsageError, match=f"{path.name} cannot be read: .*`reelmill encode --verify`"):
        ReleaseSamples(dataset, "drawn", encoding_of(Recipe()), TextMix())


def test_a_part_file_that_cannot_be_read_is_set_aside_and_its_rows_are_missing(
    encoded_dataset: Dataset, tmp_path: Path
) -> None:
    dataset, path = damaged(encoded_dataset, tmp_path)
    assert damage.set_aside(dataset) == [f"{path}.damaged"]
    assert damage.set_aside(dataset) == []
    recipe = Recipe()
    released = releases.scanner(dataset, "drawn")
    retrying = Retrying.of(recipe.limits, "run")
    clips, _ = missing(dataset, released, encoders_of(recipe.encode), retrying, verify=True)
    assert len(clips) == 12
    assert Path(f"{path}.damaged").exists()


def test_a_dry_run_says_what_it_would_cost_and_writes_nothing(
    encoded_dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["encode", encoded_dataset.location, "--release", "drawn", "--dry-run", "--set", "encode.fps=4.0"]
    before = {path: path.stat().st_mtime_ns for path in Path(encoded_dataset.location).rglob("*")}
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    config, clips = EncodeConfig(fps=4.0), releases.read(encoded_dataset, "drawn").clips.to_pylist()
    plans = [plan_clip(clip, config, codec_spec()).codec for clip in clips]
    assert (found["clips"], found["texts"], found["frames"]) == (12, 1, sum(plan.valid[0] for plan in plans))
    assert found["latent_bytes"] == sum(2 * int(np.prod(plan.latent_shape)) for plan in plans)
    assert 0 < found["seconds"] < 600
    assert found["latent_peak_bytes"] > 200 << 20 < found["text_peak_bytes"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "to encode 12 clips of 12 videos, 1 texts" in printed
    assert {path: path.stat().st_mtime_ns for path in Path(encoded_dataset.location).rglob("*")} == before
    assert main([*command[:-2], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == 0


def test_failed_clips_are_counted_and_the_first_are_told(encoded_dataset: Dataset, tmp_path: Path) -> None:
    dataset = Dataset(str(shutil.copytree(encoded_dataset.location, tmp_path / "copy")), "later")
    codec, transform = codec_spec().fingerprint, EncodeConfig(fps=5.0).transform
    released = releases.scanner(dataset, "drawn")
    rows = [
        dict.fromkeys(LATENTS.schema.names) | {name: clip[name] for name in ("clip_id", "transform")}
        for clip in wanted_clips(released, transform).read_all().to_pylist()
    ]
    facts = {"encoder": codec, "status": "failed", "reason": "gone"}
    dataset.write_part(LATENTS.within(codec), [row | facts | {"status": "ok"} for row in rows[:4]])
    dataset.write_part(LATENTS.within(codec), [row | facts for row in rows[4:9]])
    found = outcome(bounded(dataset), wanted_clips(released, transform), codec, max_shown=2)
    assert (found.num_ok, found.num_frames, found.num_failed) == (4, 0, 5)
    assert found.failed == [(row["clip_id"], "gone") for row in rows[4:6]]
    frames = [row for row in wanted_clips(released, transform, ["last"]).read_all().to_pylist() if row["frame"]]
    made = [
        dict.fromkeys(LATENTS.schema.names) | {name: row[name] for name in ("clip_id", "transform", "frame")}
        for row in frames
    ]
    dataset.write_part(LATENTS.within(codec), [row | facts | {"status": "ok"} for row in made[:3]])
    dataset.write_part(LATENTS.within(codec), [row | facts for row in made[3:4]])
    found = outcome(bounded(dataset), wanted_clips(released, transform, ["last"]), codec)
    assert (found.num_ok, found.num_frames, found.num_failed) == (4, 3, 6)
    assert (f"{made[3]['clip_id']} (last frame)", "gone") in found.failed
    assert outcome(bounded(dataset), wanted_clips(released, transform), codec).num_frames == 0
