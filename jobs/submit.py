"""Run a job on a Ray cluster through Ray Jobs: reelmill submit [--address URL] -- curate INPUT --out DATASET

The cluster's machines need Reelmill installed (infra/Dockerfile), or --working-dir to send this source tree along.
Paths and URIs are those that the cluster sees. Where a token of Ray's is at hand (RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH
or ~/.ray/auth_token) it is sent along; RAY_AUTH_MODE=disabled forbids that.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

from jobs.cli import JOBS, run_job
from schemas.errors import UsageError

POLL_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--address",
        default=os.environ.get("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:8265"),
        help="the cluster's dashboard (default: RAY_API_SERVER_ADDRESS, or %(default)s)",
    )
    parser.add_argument("--working-dir", metavar="FOLDER", help="source tree to send along")
    parser.add_argument("--no-wait", action="store_true", help="print the job's id and return")
    parser.add_argument("job", nargs=argparse.REMAINDER, metavar="-- JOB ...", help="job and its arguments")


def run(args: argparse.Namespace) -> int:
    words = args.job[1:] if args.job[:1] == ["--"] else args.job
    if not words or words[0] not in JOBS or words[0] == "submit":
        raise UsageError(f"no job to submit in {' '.join(args.job) or 'an empty line'}; there are {', '.join(JOBS)}")
    _send_token()
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobStatus, JobSubmissionClient

    try:
        client = JobSubmissionClient(args.address)
    except (ConnectionError, RuntimeError, AuthenticationError) as error:
        raise UsageError(f"--address {args.address}: {' '.join(str(error).split())}") from None
    runtime_env = {"working_dir": args.working_dir} if args.working_dir else {}
    entrypoint = shlex.join(["python", "-m", f"jobs.{words[0]}", *words[1:]])
    job_id = client.submit_job(entrypoint=entrypoint, runtime_env=runtime_env)
    print(f"submitted {job_id}: {entrypoint}")
    if args.no_wait:
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
