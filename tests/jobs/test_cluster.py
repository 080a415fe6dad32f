"""Jobs submitted to a cluster of two nodes through Ray Jobs, as a person would."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from jobs.console.recipe_text import recipe_toml
from pipeline.store.dataset import Dataset
from pipeline.store.views import funnel
from schemas import CLIPS
from schemas.recipe import decode_recipe
from tests.jobs.conftest import NUM_CAPTIONED, SUBMIT_TIMEOUT_S, submission, submission_command, submit
from tests.jobs.submission.breaking_line import BreakingLine
from tests.ray_cluster import ROOT, RayCluster

OTHER_VERSIONS = """
import platform, sys
from jobs.submission.cluster import other_versions, reach
client = reach(sys.argv[1])
print(repr(other_versions(client)))
import ray
ray.__version__, platform.python_version = "9.9.9", lambda: "2.7.18"
print(other_versions(client))
"""


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
    assert failed.returncode == 2
    assert "no videos table here" in failed.stdout


def test_a_log_is_printed_once_over_a_line_that_breaks(ray_cluster: RayCluster) -> None:
    """The job prints a recipe that only its environment has; the line breaks twice on the way."""
    secret = f"TOKEN_OF_{os.getpid()}"
    text = f'name = "sent"\n# {secret}\n'
    there = urlsplit(ray_cluster.dashboard)
    assert there.hostname
    assert there.port
    with BreakingLine(there.hostname, there.port, cut_after=[3000, 9000]).open() as line:
        done = subprocess.run(
            submission_command(line.url, "--env", "MINE", "--", "recipe", "show", "env:MINE"),
            env=ray_cluster.environment | {"MINE": text},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=SUBMIT_TIMEOUT_S,
            check=False,
        )
        assert line.cut_after == []
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("attaching again") == 2
    submitted, _, started, *shown, ended = done.stdout.splitlines()
    assert re.fullmatch(r"submitted \w+: python -m jobs.recipe show env:MINE", submitted)
    assert started.startswith("Running entrypoint")
    assert shown == recipe_toml(decode_recipe({"name": "sent"})).splitlines()
    assert ended.endswith(": succeeded")
    assert secret not in done.stdout + done.stderr


def test_ctrl_c_leaves_a_job_that_can_be_attached_to_and_one_can_be_stopped(
    ray_cluster: RayCluster, tmp_path: Path
) -> None:
    """Both jobs wait for a recipe that is written later: a named pipe."""
    attached_to, stopped = tmp_path / "one.toml", tmp_path / "other.toml"
    for pipe in (attached_to, stopped):
        os.mkfifo(pipe)
    # SIGINT as a terminal has it: what a shell starts in the background ignores it, and so do these tests there.
    command = ["env", "--default-signal=INT", *submission_command(ray_cluster.dashboard)]
    command += ["--", "recipe", "show", str(attached_to)]
    with subprocess.Popen(
        command, env=ray_cluster.environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout
        job_id = watching.stdout.readline().split()[1].rstrip(":")
        assert any(line.startswith("Running entrypoint") for line in watching.stdout)
        watching.send_signal(signal.SIGINT)
        _, said = watching.communicate(timeout=SUBMIT_TIMEOUT_S)
    assert watching.returncode == 130
    assert said.count("\n") == 1
    assert f"--attach {job_id}" in said
    assert f"--stop {job_id}" in said
    attached_to.write_text('name = "awaited"\n')
    attached = submission(ray_cluster, "--attach", job_id)
    assert attached.returncode == 0
    assert 'name = "awaited"' in attached.stdout

    sent = submission(ray_cluster, "--no-wait", "--", "recipe", "show", str(stopped))
    job_id = sent.stdout.split()[1].rstrip(":")
    assert submission(ray_cluster, "--stop", job_id).stdout == f"job {job_id}: stopped\n"
    unknown = submission(ray_cluster, "--attach", f"{job_id}x")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert f"no such job on {ray_cluster.dashboard}; did you mean {job_id}?" in unknown.stderr


def test_versions_that_differ_are_named(ray_cluster: RayCluster) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", OTHER_VERSIONS, ray_cluster.dashboard],
        env=ray_cluster.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SUBMIT_TIMEOUT_S,
        check=True,
    )
    none, line = asked.stdout.splitlines()
    assert none == "''"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert re.search(rf"ray 9\.9\.9 here and 2\.\S+ there, python 2\.7 here and {re.escape(python)} there", line)
