"""A cluster that has less memory than the stages hold: everything runs, one after another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb

from tests.jobs.conftest import DrawVideo
from tests.ray_cluster import ROOT, two_nodes

NODE_BYTES = 400 << 20
JOB_TIMEOUT_S = 900


def test_every_stage_starts_on_nodes_with_little_memory(tmp_path: Path, draw_video: DrawVideo) -> None:
    for seed in range(2):
        draw_video(tmp_path / f"{seed}.mp4", seed)
    with two_nodes(NODE_BYTES) as cluster:

        def run(*words: str) -> None:
            subprocess.run(
                [sys.executable, "-m", "jobs.cli", *words],
                cwd=ROOT,
                env=cluster.job_environment,
                check=True,
                timeout=JOB_TIMEOUT_S,
                capture_output=True,
            )

        dataset = str(tmp_path / "ds")
        run("curate", str(tmp_path), "--out", dataset, "--set", "rules={}", "--set", "caption_rules={}")
        run("release", dataset, "all")
        run("encode", dataset, "--release", "all")
    made = ", ".join(f"count({name})" for name in ("clip_id", "encoder", "overlay_text_frac", "detailed"))
    assert duckdb.execute(f"select {made} from '{dataset}/manifest/clips.parquet'").fetchall() == [(2, 2, 2, 2)]
    assert duckdb.execute(f"select count(*) from '{dataset}/latents/**/*.parquet'").fetchall() == [(2,)]
