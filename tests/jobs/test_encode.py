"""`reelmill encode`: what is wrong with its recipe is one line, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.cli import main
from pipeline.store.dataset import Dataset


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
