"""Curation submitted to a cluster of two nodes through Ray Jobs, as a person would: started, submitted to, queried."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.store.dataset import Dataset
from pipeline.store.views import funnel
from schemas import CLIPS, VIDEOS

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S, JOB_TIMEOUT_S = 180, 400
CLUSTER = """
import sys, threading
from ray.cluster_utils import Cluster
port, client_port, agent_port = map(int, sys.argv[1:])
head = {"num_cpus": 1, "include_dashboard": True, "dashboard_port": port, "ray_client_server_port": client_port}
cluster = Cluster(initialize_head=True, head_node_args=head | {"dashboard_agent_listen_port": agent_port})
cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


def free_ports(number: int) -> list[int]:
    """Ports that are free now, outside those that Ray gives its workers."""
    ports: list[int] = []
    for port in range(30_000 + os.getpid() % 20_000, 65_000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                ports.append(port)
        if len(ports) == number:
            return ports
    raise AssertionError("no free port")


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """A shell in which this project's environment is active, and which is in no cluster."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | {"PATH": path, "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture(scope="module")
def dashboard(environment: dict[str, str]) -> Iterator[str]:
    """The address of a cluster of two nodes with a logical CPU each, in a process of its own."""
    ports = free_ports(3)
    command = [sys.executable, "-c", CLUSTER, *map(str, ports)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        assert process.stdout is not None
        assert ":" in process.stdout.readline()
        yield f"http://127.0.0.1:{ports[0]}"
        process.communicate(timeout=START_TIMEOUT_S)


def submit(dashboard: str, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.submit", "--address", dashboard, "--", *words]
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=JOB_TIMEOUT_S, check=False
    )


def test_a_submitted_job_runs_on_the_cluster(
    dashboard: str, environment: dict[str, str], drawn_corpus: Path, tmp_path: Path
) -> None:
    dataset = Dataset(str(tmp_path / "ds"))
    inputs = [str(drawn_corpus / "videos" / name) for name in ("02_fade.mkv", "12_single.webm", "empty.mp4")]
    curate = ["curate", *inputs, "--out", dataset.location, "--recipe", "demo", "--set", "caption.backend=none"]
    done = submit(dashboard, environment, *curate)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 inputs, 0 of them done before" in done.stdout
    assert funnel(dataset)["videos in"] == dataset.read(VIDEOS).num_rows == 3
    assert len(dataset.keys(CLIPS)) == 4
    (run,) = dataset.runs()
    assert run["stages"]["scan"]["rows"] == 3

    failed = submit(dashboard, environment, "funnel", str(tmp_path / "nosuch"), "--json")
    assert failed.returncode == 1
    assert "no videos table here" in failed.stdout
