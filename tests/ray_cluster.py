"""A Ray cluster of two nodes with one logical CPU each, in a process of its own: one for all tests of a run.

Ports, the temporary folder and the processes belong to this run alone, so two runs on one machine do not meet.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRIES, END_TIMEOUT_S = 3, 60
KEPT_WORKERS = 4
"""Idle processes that a node keeps. By default as many as it has CPUs, and every graph would start its own anew."""
START = """
import sys
from ray.cluster_utils import Cluster
port, client_port, agent_port, memory = map(int, sys.argv[1:])
of_node = {"num_cpus": 1} | ({"memory": memory} if memory else {})
head = of_node | {"include_dashboard": not memory, "dashboard_port": port, "ray_client_server_port": client_port}
head |= {"dashboard_agent_listen_port": agent_port, "include_log_monitor": False}
cluster = Cluster(initialize_head=True, head_node_args=head)
cluster.add_node(**of_node)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""
"""Ends with its standard input, and so with the process that started it."""
STORE_KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "2",
}
"""Workers inherit these from the cluster: with them they reach the object store that the tests start, and soon give up
where it fails."""


@dataclass(frozen=True)
class RayCluster:
    """How to reach the cluster."""

    address: str
    """What RAY_ADDRESS holds in a job's environment."""
    dashboard: str
    """The URL that `reelmill submit --address` takes."""
    environment: dict[str, str]
    """Of a shell on one of its machines, which is not itself in a cluster."""
    pid: int
    """All processes of the cluster descend from this one."""

    @property
    def job_environment(self) -> dict[str, str]:
        """The environment of a process whose job runs on this cluster."""
        return self.environment | {"RAY_ADDRESS": self.address}


@contextmanager
def two_nodes(memory_bytes: int = 0) -> Iterator[RayCluster]:
    """Started anew.

    Args:
        memory_bytes: that each node says it has, and then there is no dashboard; 0 for what Ray finds.
    """
    # Paths of sockets may have 107 bytes, so Ray's folder cannot be in pytest's.
    folder = tempfile.mkdtemp(prefix="reelmill-ray-")
    environment = _environment(folder)
    try:
        process, address, dashboard = _started(environment, memory_bytes)
        with process:
            yield RayCluster(address, dashboard, environment, process.pid)
            process.communicate(timeout=END_TIMEOUT_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _started(environment: dict[str, str], memory_bytes: int) -> tuple[subprocess.Popen[str], str, str]:
    """The cluster's process and its two addresses. Ray gives a node 30 s, which a busy machine may not keep."""
    for _ in range(TRIES):
        ports = _free_ports(3)
        command = [sys.executable, "-c", START, *map(str, ports), str(memory_bytes)]
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if address:
            return process, address, f"http://127.0.0.1:{ports[0]}"
        process.communicate(timeout=END_TIMEOUT_S)
    raise AssertionError(f"the cluster did not start, {TRIES} times")


def _environment(folder: str) -> dict[str, str]:
    """This project's environment, active; temporary files of Ray in `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ours = {"PATH": path, "PYTHONPATH": str(ROOT), "RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0"}
    return kept | ours | {"RAY_num_workers_soft_limit": str(KEPT_WORKERS)} | STORE_KEYS


def _free_ports(number: int) -> list[int]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
