"""`reelmill submit`: any other command on a Ray cluster, through Ray Jobs."""

from __future__ import annotations

import importlib.metadata
import shlex
import sys
import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from jobs.cli import COMMANDS, SUBMITTED_BY, app, run_job
from jobs.console.refusal import DEBUG, INTERRUPTED, nearest_or_all
from jobs.submission.cluster import ADDRESS, Job, answering, job_now, other_versions, reach, require_job
from jobs.submission.log import Following
from jobs.submission.sent import recipe_sent, source_tree, variables
from schemas.errors import JobError, UsageError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

STOP_S, POLL_S = 60.0, 0.5
"""How long a job may take to end that was told to; Ray kills it after three seconds."""


def submit(
    *job: Annotated[str, Parameter(name="JOB", allow_leading_hyphen=True)],
    address: Annotated[str, Parameter(metavar="URL", env_var=ADDRESS)] = "http://127.0.0.1:8265",
    working_dir: Annotated[str | None, Parameter(metavar="FOLDER")] = None,
    env: Annotated[tuple[str, ...], Parameter(metavar="NAME[=VALUE]", show_default=False)] = (),
    no_wait: Annotated[bool, Parameter(show_default=False)] = False,
    attach: Annotated[str | None, Parameter(metavar="JOB_ID")] = None,
    stop: Annotated[str | None, Parameter(metavar="JOB_ID")] = None,
) -> int:
    """Run a job on a Ray cluster through Ray Jobs: reelmill submit [--address URL] -- curate INPUT --out DATASET

    The cluster's machines need Reelmill installed (infra/Dockerfile), or --working-dir to send this source tree along.
    Paths and URIs are those that the cluster sees, but a --recipe FILE.toml that is here is sent along. Where a token
    of Ray's is at hand (RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token) it is sent along;
    RAY_AUTH_MODE=disabled forbids that.

    The job's log is printed as it grows. Ctrl-C leaves the job running.

    Args:
        job: After `--`, a command and its arguments.
        address: The cluster's dashboard.
        working_dir: Source tree to send along; the job then runs in its copy.
        env: An environment variable of the job, on all its machines, which is not printed; NAME alone takes the value
            that it has here. May be given several times.
        no_wait: Print the job's id and return.
        attach: Print the log of a job that was submitted before, from its start, and wait for its end.
        stop: Stop a job that was submitted before; the same command continues it later.

    Returns:
        0 where the job was done or is not waited for, 1 where it failed or was stopped, 2 where it found its usage or
        its recipe wrong.
    """
    if attach or stop:
        if job or (attach and stop):
            raise UsageError("a job, --attach and --stop: give one of them")
        client = reach(address)
        return _followed(client, attach) if attach else _stopped(client, stop or "")
    _require_command(job)
    words, recipe = recipe_sent(job)
    env_vars = variables(env) | recipe | {SUBMITTED_BY: importlib.metadata.version("reelmill")}
    # A file with the traceback of a failed job would be on a machine of the cluster; the job's log comes here.
    runtime_env = source_tree(working_dir) | {"env_vars": {DEBUG: "1"} | env_vars}
    client = reach(address)
    if differing := other_versions(client):
        print(f"reelmill submit: {differing}", file=sys.stderr)
    name, *arguments = words
    entrypoint = shlex.join(["python", "-m", f"jobs.{name}", *arguments])
    with answering(client, "take the job"):
        job_id = client.submit_job(entrypoint=entrypoint, runtime_env=runtime_env)
    print(f"submitted {job_id}: {entrypoint}", flush=True)
    return 0 if no_wait else _to_end(client, job_id)


def _require_command(job: tuple[str, ...]) -> None:
    """Parse the job's words as the cluster will.

    Raises:
        UsageError: no command of this name.
        CycloptsError: it does not take these arguments.
    """
    name = job[0] if job else ""
    if name not in COMMANDS or name == "submit":
        given = f"-- {' '.join(job)}" if job else "an empty line"
        raise UsageError(f"no job to submit in {given}{nearest_or_all(name, COMMANDS)}")
    app.parse_args(list(job), print_error=False, exit_on_error=False)


def _followed(client: JobSubmissionClient, job_id: str) -> int:
    require_job(client, "--attach", job_id)
    return _to_end(client, job_id)


def _to_end(client: JobSubmissionClient, job_id: str) -> int:
    """Print a job's log to its end, or until Ctrl-C; returns the exit status."""
    try:
        ended = Following(client, job_id).to_end()
    except KeyboardInterrupt:
        again = f"reelmill submit --address {client.get_address()}"
        print(
            f"reelmill submit: job {job_id} goes on; its log: {again} --attach {job_id}; to end it: {again} "
            f"--stop {job_id}",
            file=sys.stderr,
        )
        return INTERRUPTED
    print(f"job {job_id}: {_end(ended)}")
    return exit_status(ended)


def exit_status(ended: Job) -> int:
    """The exit status of `submit` for a job that has ended."""
    if ended.state == "succeeded":
        return 0
    return 2 if ended.state == "failed" and ended.exit_code == 2 else 1


def _end(job: Job) -> str:
    """How a job ended, with the reason where its own log cannot have one: its command was never started."""
    if job.state != "failed" or job.exit_code is not None:
        return job.state
    return f"{job.state}: {job.message.strip().partition(chr(10))[0]}"


def _stopped(client: JobSubmissionClient, job_id: str) -> int:
    job = require_job(client, "--stop", job_id)
    if not job.has_ended:
        with answering(client, f"stop {job_id}"):
            client.stop_job(job_id)
            deadline_s = time.monotonic() + STOP_S
            while not (job := job_now(client, job_id)).has_ended:
                if time.monotonic() > deadline_s:
                    raise JobError(f"--stop {job_id}: told to end, and still running after {STOP_S:.0f} s")
                time.sleep(POLL_S)
    print(f"job {job_id}: {_end(job)}")
    return 0


if __name__ == "__main__":
    sys.exit(run_job("submit"))
