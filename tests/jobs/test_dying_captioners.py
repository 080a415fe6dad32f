"""Captioners that are killed, crash or hang: the job goes on to its end, no clip is lost, and none is there twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from jobs.cli import main
from pipeline.store.dataset import Dataset
from pipeline.synthetic.encode import Encoding, encode
from pipeline.synthetic.render import render
from pipeline.synthetic.world import draw_scene
from schemas import CAPTIONS, CLIPS
from tests.jobs.breaking import DEADLY, ENDLESS, FINE, REFUSED, REPEATED, SILLY

ROOT = Path(__file__).parents[2]
FPS, NUM_FRAMES, NUM_VIDEOS = 8, 16, 20
RECIPE = """
name = "drawn"
[overlay_text]
enabled = false
[embedding]
model = "none"
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
ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False,
         runtime_env={"worker_process_setup_hook": "tests.jobs.breaking.break_engines"})
from jobs.cli import main
sys.exit(main(sys.argv[1:]))
"""
KILL_TIMEOUT_S = 120.0
JOB_TIMEOUT_S = 600.0


def draw(path: Path, seed: int, size: tuple[int, int]) -> None:
    times_s = [Fraction(i, FPS) for i in range(NUM_FRAMES + 1)]
    encode(path, render(draw_scene(seed), *size, NUM_FRAMES), times_s, Fraction(FPS), Encoding())


@pytest.fixture
def command(tmp_path: Path) -> Callable[[dict[int, tuple[int, int]]], list[str]]:
    """Arguments that curate synthetic videos, some of other sizes, a few clips at a time."""

    def make(sizes: dict[int, tuple[int, int]]) -> list[str]:
        (tmp_path / "videos").mkdir()
        (tmp_path / "recipe.toml").write_text(RECIPE)
        for seed in range(NUM_VIDEOS):
            draw(tmp_path / "videos" / f"{seed:02}.mp4", seed, sizes.get(seed, FINE))
        arguments = ["curate", str(tmp_path / "videos"), "--out", str(tmp_path / "ds")]
        return [*arguments, "--recipe", str(tmp_path / "recipe.toml"), "--set", "caption.batch_clips=4"]

    return make


def captioner_pids() -> list[int]:
    """Processes of Ray that hold a captioner."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            title = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if entry.name.isdigit() and title.startswith(b"ray::") and b"CaptioningActor" in title:
            found.append(int(entry.name))
    return found


def kill_once(dataset: Dataset, killed: list[int]) -> None:
    """Kill the captioner after it has captioned some clips and while others wait."""
    deadline_s = time.monotonic() + KILL_TIMEOUT_S
    while time.monotonic() < deadline_s and not killed:
        if 0 < len(dataset.part_files(CAPTIONS.folder)) < NUM_VIDEOS // 4:
            for pid in captioner_pids():
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        time.sleep(0.01)


def test_a_captioner_killed_in_mid_job_is_replaced(
    command: Callable[[dict[int, tuple[int, int]]], list[str]], tmp_path: Path, two_cpus: str
) -> None:
    dataset, killed = Dataset(str(tmp_path / "ds")), list[int]()
    arguments = command({})
    watcher = threading.Thread(target=kill_once, args=(dataset, killed))
    watcher.start()
    assert main(arguments) == 0
    watcher.join()
    assert killed
    captions = dataset.read(CAPTIONS).to_pylist()
    assert Counter(row["clip_id"] for row in captions) == Counter(clip_id for (clip_id,) in dataset.keys(CLIPS))
    assert len(captions) == NUM_VIDEOS
    assert {row["status"] for row in captions} == {"ok"}


def test_an_engine_that_misbehaves_costs_no_clip_its_row_and_no_other_its_caption(
    command: Callable[[dict[int, tuple[int, int]]], list[str]], tmp_path: Path
) -> None:
    sizes = {3: SILLY, 5: DEADLY, 8: REFUSED, 13: ENDLESS, 17: REPEATED}
    arguments = [*command(sizes), "--set", "caption.stall_s=6"]
    done = subprocess.run(
        [sys.executable, "-c", ON_BREAKING_WORKERS, *arguments],
        cwd=ROOT,
        env=os.environ | {"RAY_ADDRESS": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=JOB_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    dataset = Dataset(str(tmp_path / "ds"))
    assert dataset.read(CAPTIONS).num_rows == NUM_VIDEOS
    captions = {row["clip_id"]: row for row in dataset.read(CAPTIONS).to_pylist()}
    by_size: dict[tuple[int, int], list[tuple[str, ...]]] = defaultdict(list)
    for clip in dataset.read(CLIPS).to_pylist():
        caption = captions[clip["clip_id"]]
        by_size[clip["width"], clip["height"]].append((caption["status"], *caption["reasons"]))
    assert by_size == {
        FINE: [("ok",)] * (NUM_VIDEOS - len(sizes)),
        SILLY: [("failed", "caption: no JSON object in the answer")],
        REFUSED: [("rejected", "caption_refuses")],
        REPEATED: [("rejected", "caption_repeats")],
        DEADLY: [("failed", "captioner_died")],
        ENDLESS: [("failed", "captioner_died")],
    }
