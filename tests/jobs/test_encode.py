"""The encode job: two released clips through its graphs are what the pure functions make of them, and are made once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.cli import main
from model.codec.causal import load_autoencoder
from model.readers.text_encoder import load_text_encoder
from pipeline.encode.latents import LatentEncoder, read_planned
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from schemas import LATENTS, TEXT
from schemas.recipe.encode import EncodeConfig
from tests.jobs.conftest import Captioned

NUM_RELEASED = 2
ROUNDING = 2e-2
"""Latents and token states are of the order of 1 and stored as float16; threads add up in another order."""


def stored(row: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(row["data"], row["dtype"]).reshape(row["shape"])


def test_released_clips_and_texts_are_encoded_as_by_the_pure_functions(
    captioned: Captioned, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, config = captioned.dataset, EncodeConfig()
    uris = ", ".join(f"'{path}'" for path in captioned.videos[:NUM_RELEASED])
    assert main(["release", dataset.location, "two", "--where", f"uri in ({uris})"]) == 0
    encode = ["encode", dataset.location, "--release", "two", "--json"]
    capsys.readouterr()
    assert main(encode) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["latents"], summary["encoded_now"], summary["failed"]) == (NUM_RELEASED, NUM_RELEASED, 0)
    _compare_latents(dataset, config.autoencoder)
    _compare_texts(dataset, config.text_encoder)

    before = {name: stage["rows"] for name, stage in summary["stages"].items()}
    assert before["latents"] == before["frames"] == NUM_RELEASED
    assert main(encode) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["encoded_now"], again["stages"]) == (0, {})


def _compare_latents(dataset: Dataset, autoencoder: str) -> None:
    config, encoder = EncodeConfig(), LatentEncoder(autoencoder)
    released = {row["clip_id"]: row for row in releases.read(dataset, "two").clips.to_pylist()}
    rows = dataset.read(LATENTS.within(load_autoencoder(autoencoder).fingerprint)).to_pylist()
    assert {row["clip_id"] for row in rows} == released.keys()
    for row in rows:
        sampled = read_planned(released[row["clip_id"]], config)
        assert sampled.failure is None
        assert (row["status"], row["transform"], row["fps"]) == ("ok", config.transform, config.fps)
        expected = encoder(sampled.frames)
        assert row["shape"] == list(expected.shape)
        assert np.abs(expected).max() > 0.5
        np.testing.assert_allclose(stored(row), expected, atol=ROUNDING)


def _compare_texts(dataset: Dataset, text_encoder: str) -> None:
    encoder = load_text_encoder(text_encoder)
    clips = releases.read(dataset, "two").clips.to_pylist()
    rows = {row["text"]: row for row in dataset.read(TEXT.within(encoder.fingerprint)).to_pylist()}
    assert rows.keys() == {"", *(row[name] for row in clips for name in ("short", "medium", "detailed"))}
    for text, expected in zip(rows, encoder.encode(list(rows)), strict=True):
        np.testing.assert_allclose(stored(rows[text]), expected, atol=ROUNDING)


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
