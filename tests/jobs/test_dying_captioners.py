"""Captioners that are killed, crash or hang: the job goes on to its end, no clip is lost, and none is there twice."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from pipeline.store.dataset import Dataset
from pipeline.store.views import connect
from schemas import CAPTIONS, CLIPS
from tests.jobs.breaking import DEADLY, ENDLESS, FINE, KILLED, KILLED_ONCE, REFUSED, REPEATED, SILLY
from tests.jobs.conftest import DrawVideo
from tests.ray_cluster import ROOT, RayCluster

SIZES = {1: SILLY, 3: DEADLY, 4: REFUSED, 5: KILLED_ONCE, 6: REPEATED, 8: ENDLESS}
NUM_VIDEOS = 9
"""Two batches and a single clip."""
RECIPE = """
name = "drawn"
[overlay_text]
enabled = false
[embedding]
model = "none"
[caption]
batch_clips = 4
stall_s = 4
[caption_rules.refusal]
column = "refusal"
max = 0.5
reason = "caption_refuses"
[caption_rules.repetition]
column = "repetition_frac"
max = 0.6
reason = "caption_repeats"
"""
ON_BREAKING_WORKERS = """
import os, sys, ray
from tests.jobs.breaking import KILLED
ray.init(
    log_to_driver=False,
    runtime_env={
        "worker_process_setup_hook": "tests.jobs.breaking.break_engines",
        "env_vars": {KILLED: os.environ[KILLED]},
    },
)
from jobs.cli import main
sys.exit(main(sys.argv[1:]))
"""
JOB_TIMEOUT_S = 600.0


def test_an_engine_that_misbehaves_costs_no_clip_its_row_and_no_other_its_caption(
    draw_video: DrawVideo, tmp_path: Path, ray_cluster: RayCluster
) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "recipe.toml").write_text(RECIPE)
    for seed in range(NUM_VIDEOS):
        draw_video(tmp_path / "videos" / f"{seed:02}.mp4", seed, *SIZES.get(seed, FINE))
    dataset, killed = Dataset(str(tmp_path / "ds")), tmp_path / "killed"
    arguments = ["curate", str(tmp_path / "videos"), "--out", dataset.location]
    done = subprocess.run(
        [sys.executable, "-c", ON_BREAKING_WORKERS, *arguments, "--recipe", str(tmp_path / "recipe.toml")],
        cwd=ROOT,
        env=ray_cluster.job_environment | {KILLED: str(killed)},
        capture_output=True,
        text=True,
        check=False,
        timeout=JOB_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    assert killed.exists()
    assert dataset.read(CAPTIONS).num_rows == NUM_VIDEOS
    judged = connect(dataset).execute("select clip_id, status, reasons from captions").fetchall()
    captions = {clip_id: (status, *reasons) for clip_id, status, reasons in judged}
    by_size: dict[tuple[int, int], list[tuple[str, ...]]] = defaultdict(list)
    for clip in dataset.read(CLIPS).to_pylist():
        by_size[clip["width"], clip["height"]].append(captions[clip["clip_id"]])
    assert by_size == {
        FINE: [("ok",)] * (NUM_VIDEOS - len(SIZES)),
        SILLY: [("failed", "caption: no JSON object in the answer")],
        REFUSED: [("rejected", "caption_refuses")],
        REPEATED: [("rejected", "caption_repeats")],
        DEADLY: [("failed", "captioner_died")],
        ENDLESS: [("failed", "captioner_died")],
        KILLED_ONCE: [("ok",)],
    }
