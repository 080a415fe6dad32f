"""Curation submitted to a cluster of two nodes through Ray Jobs, as a person would: submitted to, watched, queried."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pipeline.store.dataset import Dataset
from pipeline.store.views import funnel
from schemas import CLIPS, VIDEOS
from tests.ray_cluster import ROOT, RayCluster

JOB_TIMEOUT_S = 400


def submit(cluster: RayCluster, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.submit", "--address", cluster.dashboard, "--", *words]
    return subprocess.run(
        command,
        env=cluster.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=JOB_TIMEOUT_S,
        check=False,
    )


def test_a_submitted_job_runs_on_the_cluster(ray_cluster: RayCluster, drawn_corpus: Path, tmp_path: Path) -> None:
    dataset = Dataset(str(tmp_path / "ds"))
    inputs = [str(drawn_corpus / "videos" / name) for name in ("02_fade.mkv", "12_single.webm", "empty.mp4")]
    settings = ["--set", "caption.backend=none", "--set", "embedding.model=none"]
    done = submit(ray_cluster, "curate", *inputs, "--out", dataset.location, "--recipe", "demo", *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 inputs, 0 of them done before" in done.stdout
    assert funnel(dataset)["videos in"] == dataset.read(VIDEOS).num_rows == 3
    assert len(dataset.keys(CLIPS)) == 4
    (run,) = dataset.runs()
    assert run["stages"]["scan"]["rows"] == 3

    failed = submit(ray_cluster, "funnel", str(tmp_path / "nosuch"), "--json")
    assert failed.returncode == 1
    assert "no videos table here" in failed.stdout
