"""Captioners that are killed, crash or hang: the job goes on to its end, no clip is lost, and none is there twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import psutil

from jobs.cli import main
from pipeline.store.dataset import Dataset
from schemas import CAPTIONS, CLIPS
from tests.jobs.breaking import DEADLY, ENDLESS, FINE, REFUSED, REPEATED, SILLY
from tests.jobs.conftest import NUM_CAPTIONED, Captioned, DrawVideo
from tests.ray_cluster import ROOT, RayCluster

SIZES = {1: SILLY, 3: DEADLY, 4: REFUSED, 6: ENDLESS, 7: REPEATED}
NUM_VIDEOS = 8
RECIPE = """
name = "drawn"
[overlay_text]
enabled = false
[embedding]
model = "none"
[caption]
batch_clips = 4
stall_s = 6
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
import sys, ray
ray.init(log_to_driver=False, runtime_env={"worker_process_setup_hook": "tests.jobs.breaking.break_engines"})
from jobs.cli import main
sys.exit(main(sys.argv[1:]))
"""
KILL_TIMEOUT_S = 120.0
JOB_TIMEOUT_S = 600.0


def captioner_pids(cluster: RayCluster) -> list[int]:
    """Processes of the cluster that hold a captioner."""
    found = []
    for process in psutil.Process(cluster.pid).children(recursive=True):
        try:
            title = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if title.startswith("ray::") and "CaptioningActor" in title:
            found.append(process.pid)
    return found


def kill_once(cluster: RayCluster, dataset: Dataset, killed: list[int]) -> None:
    """Kill the captioner after it has captioned some clips and while others wait."""
    deadline_s = time.monotonic() + KILL_TIMEOUT_S
    while time.monotonic() < deadline_s and not killed:
        if 0 < len(dataset.part_files(CAPTIONS.folder)) < NUM_CAPTIONED // 2:
            for pid in captioner_pids(cluster):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        time.sleep(0.01)


def test_a_captioner_killed_in_mid_job_is_replaced(captioned: Captioned, ray_cluster: RayCluster) -> None:
    dataset, killed = captioned.dataset, list[int]()
    for path in dataset.part_files(CAPTIONS.folder):
        Path(path).unlink()
    watcher = threading.Thread(target=kill_once, args=(ray_cluster, dataset, killed))
    watcher.start()
    assert main(captioned.curate) == 0
    watcher.join()
    assert killed
    captions = dataset.read(CAPTIONS).to_pylist()
    assert Counter(row["clip_id"] for row in captions) == Counter(clip_id for (clip_id,) in dataset.keys(CLIPS))
    assert len(captions) == NUM_CAPTIONED
    assert {row["status"] for row in captions} == {"ok"}


def test_an_engine_that_misbehaves_costs_no_clip_its_row_and_no_other_its_caption(
    draw_video: DrawVideo, tmp_path: Path, ray_cluster: RayCluster
) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "recipe.toml").write_text(RECIPE)
    for seed in range(NUM_VIDEOS):
        draw_video(tmp_path / "videos" / f"{seed:02}.mp4", seed, *SIZES.get(seed, FINE))
    dataset = Dataset(str(tmp_path / "ds"))
    arguments = ["curate", str(tmp_path / "videos"), "--out", dataset.location]
    done = subprocess.run(
        [sys.executable, "-c", ON_BREAKING_WORKERS, *arguments, "--recipe", str(tmp_path / "recipe.toml")],
        cwd=ROOT,
        env=ray_cluster.job_environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=JOB_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    assert dataset.read(CAPTIONS).num_rows == NUM_VIDEOS
    captions = {row["clip_id"]: row for row in dataset.read(CAPTIONS).to_pylist()}
    by_size: dict[tuple[int, int], list[tuple[str, ...]]] = defaultdict(list)
    for clip in dataset.read(CLIPS).to_pylist():
        caption = captions[clip["clip_id"]]
        by_size[clip["width"], clip["height"]].append((caption["status"], *caption["reasons"]))
    assert by_size == {
        FINE: [("ok",)] * (NUM_VIDEOS - len(SIZES)),
        SILLY: [("failed", "caption: no JSON object in the answer")],
        REFUSED: [("rejected", "caption_refuses")],
        REPEATED: [("rejected", "caption_repeats")],
        DEADLY: [("failed", "captioner_died")],
        ENDLESS: [("failed", "captioner_died")],
    }
