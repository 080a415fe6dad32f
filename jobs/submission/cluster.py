"""A Ray cluster seen from outside, through its dashboard: reaching it, its versions, its jobs."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.console.refusal import MAX_CHARS, one_line
from schemas.errors import JobError, UsageError, did_you_mean

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

ADDRESS = "RAY_API_SERVER_ADDRESS"
METADATA = "/api/v0/cluster_metadata"
"""What the head says of itself (Ray 2.60); `get_version` of Ray's client knows the version of its interface only."""
NUM_SHOWN = 3


@dataclass(frozen=True)
class Job:
    """What a cluster knows of a submitted job.

    Attributes:
        state: `pending`, `running`, `succeeded`, `failed` or `stopped`.
        exit_code: of its command; None where that has not ended by itself, or was never started.
        message: what Ray says of the state.
        start_ms: Unix time.
    """

    job_id: str
    state: str
    exit_code: int | None = None
    message: str = ""
    start_ms: int = 0

    @classmethod
    def of(cls, details: Any) -> Job:
        """From Ray's own `JobDetails`, which its modules define in two ways."""
        return cls(
            details.submission_id or "",
            details.status.value.lower(),
            details.driver_exit_code,
            details.message or "",
            details.start_time or 0,
        )

    @property
    def has_ended(self) -> bool:
        return self.state in ("succeeded", "failed", "stopped")


def job_now(client: JobSubmissionClient, job_id: str) -> Job:
    """What the cluster knows of a job at this moment."""
    return Job.of(client.get_job_info(job_id))


def reach(address: str) -> JobSubmissionClient:
    """A client of the cluster whose dashboard is at `address`.

    Raises:
        UsageError: nothing answers there, or no cluster, or one that wants another token.
    """
    _send_token()
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    try:
        with _named(address):
            return JobSubmissionClient(address)
    except (OSError, RuntimeError, ValueError, LookupError, AuthenticationError) as error:
        raise UsageError(f"--address {address}: {one_line(error)}") from None


@contextmanager
def _named(address: str) -> Iterator[None]:
    """Let the environment name `address`: Ray's client prefers what it names to what it is given."""
    before = os.environ.get(ADDRESS)
    os.environ[ADDRESS] = address
    try:
        yield
    finally:
        if before is None:
            del os.environ[ADDRESS]
        else:
            os.environ[ADDRESS] = before


def _send_token() -> None:
    """Let Ray's job client send the cluster's token, which it does only if told to before it is imported.

    A cluster asks for one wherever one is found, and every local Ray writes one to the home folder (Ray 2.60).
    """
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if named or (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


@contextmanager
def answering(client: JobSubmissionClient, what: str) -> Iterator[None]:
    """Turn a request that the cluster refuses or does not answer into a line that says what was asked.

    Raises:
        JobError: in its place.
    """
    try:
        yield
    except JobError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        reason = f"the cluster at {client.get_address()} did not {what}: {one_line(error)}"
        raise JobError(reason[:MAX_CHARS]) from None


def other_versions(client: JobSubmissionClient) -> str:
    """One line on the versions of Ray and Python that differ here and on the head; empty if none does.

    Reelmill's own version is compared by the job as it starts (`jobs.cli.run_job`): the head itself does not know it.
    """
    import ray

    try:
        there = client._do_request("GET", METADATA).json().get("data", {})
    except (OSError, RuntimeError, ValueError):
        return ""  # a cluster of another version of Ray need not have it
    pairs = [
        ("ray", ray.__version__, there.get("rayVersion", "")),
        ("python", _minor(platform.python_version()), _minor(there.get("pythonVersion", ""))),
    ]
    differing = [f"{name} {here} here and {remote} there" for name, here, remote in pairs if remote and remote != here]
    return f"versions differ from the cluster's: {', '.join(differing)}" if differing else ""


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def require_job(client: JobSubmissionClient, option: str, job_id: str) -> Job:
    """What the cluster knows of a job.

    Raises:
        UsageError: it knows none of this id.
    """
    with answering(client, "list its jobs"):
        jobs = {job.job_id: job for job in map(Job.of, client.list_jobs()) if job.job_id}
    if job_id in jobs:
        return jobs[job_id]
    newest = sorted(jobs, key=lambda name: jobs[name].start_ms, reverse=True)[:NUM_SHOWN]
    hint = did_you_mean(job_id, jobs) or (f"; the newest are {', '.join(newest)}" if newest else "; it has had none")
    raise UsageError(f"{option} {job_id}: no such job on {client.get_address()}{hint}")
