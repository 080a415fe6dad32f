"""`reelmill submit`: any other command on a Ray cluster, through Ray Jobs."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from jobs.cli import COMMANDS, run_job
from jobs.console.refusal import DEBUG, nearest_or_all, one_line
from schemas.errors import UsageError

POLL_S = 1.0


def submit(
    *job: Annotated[str, Parameter(name="JOB", allow_leading_hyphen=True)],
    address: Annotated[str, Parameter(metavar="URL", env_var="RAY_API_SERVER_ADDRESS")] = "http://127.0.0.1:8265",
    working_dir: Annotated[str | None, Parameter(metavar="FOLDER")] = None,
    no_wait: Annotated[bool, Parameter(show_default=False)] = False,
) -> int:
    """Run a job on a Ray cluster through Ray Jobs: reelmill submit [--address URL] -- curate INPUT --out DATASET

    The cluster's machines need Reelmill installed (infra/Dockerfile), or --working-dir to send this source tree along.
    Paths and URIs are those that the cluster sees. Where a token of Ray's is at hand (RAY_AUTH_TOKEN,
    RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token) it is sent along; RAY_AUTH_MODE=disabled forbids that.

    Args:
        job: After `--`, a command and its arguments.
        address: The cluster's dashboard.
        working_dir: Source tree to send along.
        no_wait: Print the job's id and return.

    Returns:
        0 where the job was done or is not waited for, 1 where it failed.
    """
    name = job[0] if job else ""
    if name not in COMMANDS or name == "submit":
        given = f"-- {' '.join(job)}" if job else "an empty line"
        raise UsageError(f"no job to submit in {given}{nearest_or_all(name, COMMANDS)}")
    _send_token()
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobStatus, JobSubmissionClient

    try:
        client = JobSubmissionClient(address)
    except (ConnectionError, RuntimeError, AuthenticationError) as error:
        raise UsageError(f"--address {address}: {one_line(error)}") from None
    # A file with the traceback of a failed job would be on a machine of the cluster; the job's log comes here.
    runtime_env: dict[str, object] = {"env_vars": {DEBUG: "1"}}
    if working_dir:
        runtime_env["working_dir"] = working_dir
    entrypoint = shlex.join(["python", "-m", f"jobs.{name}", *job[1:]])
    job_id = client.submit_job(entrypoint=entrypoint, runtime_env=runtime_env)
    print(f"submitted {job_id}: {entrypoint}")
    if no_wait:
        return 0
    shown = 0
    while True:
        status = client.get_job_status(job_id)
        logs = client.get_job_logs(job_id)
        print(logs[shown:], end="", flush=True)
        shown = len(logs)
        if status.is_terminal():
            print(f"job {job_id}: {status.value.lower()}")
            return 0 if status == JobStatus.SUCCEEDED else 1
        time.sleep(POLL_S)


def _send_token() -> None:
    """Let Ray's job client send the cluster's token, which it does only if told to before it is imported.

    A cluster asks for one wherever one is found, and every local Ray writes one to the home folder (Ray 2.60).
    """
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if named or (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


if __name__ == "__main__":
    sys.exit(run_job("submit"))
