"""Jobs submitted to a cluster of two nodes through Ray Jobs, as a person would."""

from __future__ import annotations

from pathlib import Path

from pipeline.store.dataset import Dataset
from pipeline.store.views import funnel
from schemas import CLIPS
from tests.jobs.conftest import NUM_CAPTIONED, submit
from tests.ray_cluster import RayCluster


def test_a_submitted_job_runs_on_the_cluster(captioned_once: tuple[Path, str]) -> None:
    folder, printed = captioned_once
    dataset = Dataset(str(folder / "ds"))
    assert f"{NUM_CAPTIONED} inputs, 0 of them done before" in printed
    counts = funnel(dataset)
    assert counts["videos in"] == counts["clips kept"] == counts["trainable"] == NUM_CAPTIONED
    assert len(dataset.keys(CLIPS)) == NUM_CAPTIONED
    (run,) = dataset.runs()
    assert {name: run["stages"][name]["rows"] for name in ("scan", "caption")} == dict.fromkeys(
        ("scan", "caption"), NUM_CAPTIONED
    )


def test_a_submission_ends_as_its_job_does(ray_cluster: RayCluster, tmp_path: Path) -> None:
    failed = submit(ray_cluster, "funnel", str(tmp_path / "nosuch"), "--json")
    assert failed.returncode == 1
    assert "no videos table here" in failed.stdout
