"""Real videos, scanned once for all tests of the decode pass."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pipeline.ingest.inputs import list_inputs
from pipeline.scan.scan import ScanConfig, ScannedVideo, scan
from schemas.recipe import load_recipe
from tests.conftest import MakeOnce

FOOTAGE = Path(__file__).parents[4] / "shared" / "videos"


@pytest.fixture(scope="session")
def scanned_footage(made_once: MakeOnce) -> dict[str, ScannedVideo]:
    """The videos of `../shared/videos` by the recipe `default`, by file name; skips where there are none."""
    if not (FOOTAGE / "manifest.json").is_file():
        pytest.skip(f"no videos in {FOOTAGE}")

    def scan_all(folder: Path) -> None:
        config = ScanConfig.of(load_recipe("default"))
        listed = list_inputs([str(FOOTAGE)]).inputs
        found = {Path(item.uri).name: scan(item, config) for item in listed}
        (folder / "scanned.pickle").write_bytes(pickle.dumps(found))

    return pickle.loads((made_once("footage", scan_all) / "scanned.pickle").read_bytes())
