"""The log of a submitted job, printed as it grows, over a connection that may break.

Ray sends a log from its start whenever one attaches, and only what is new from then on. What has been printed is
counted, so attaching again prints the rest.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.console.refusal import one_line
from jobs.submission.cluster import Job, job_now
from schemas.errors import JobError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

LOST_S = 300.0
"""For so long attaching is tried again while nothing answers: a head that is restarted, a laptop that slept."""
RETRY_S = 2.0
QUIET_S = 60.0
"""A log that is silent for so long is checked against the job's status: a dead connection says nothing either."""


@dataclass
class Following:
    """A job whose log is printed.

    Attributes:
        num_shown: characters of the log that have been printed.
    """

    client: JobSubmissionClient
    job_id: str
    num_shown: int = 0

    def to_end(self) -> Job:
        """Print the log until the job has ended; returns what the cluster then knows of it.

        Raises:
            JobError: nothing has answered for LOST_S.
        """
        logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)  # it tells of each end as INFO
        lost_since_s: float | None = None
        while True:
            before = self.num_shown
            try:
                asyncio.run(self._attached())
                job = job_now(self.client, self.job_id)
                if job.has_ended:
                    return job
                lost_since_s = None
            except Exception as error:
                if not _is_of_connection(error):
                    raise
                now_s = time.monotonic()
                if lost_since_s is None or self.num_shown > before:
                    lost_since_s = now_s
                    print(f"reelmill submit: {_reason(error)}; attaching again", file=sys.stderr, flush=True)
                if now_s - lost_since_s > LOST_S:
                    where = self.client.get_address()
                    raise JobError(
                        f"{where} has not answered for {LOST_S:.0f} s: {_reason(error)}; the job may go on: "
                        f"reelmill submit --address {where} --attach {self.job_id}"
                    ) from None
            time.sleep(RETRY_S)

    async def _attached(self) -> None:
        """Print what is new until the cluster closes the connection."""
        lines = aiter(self.client.tail_job_logs(self.job_id))
        num_seen = 0
        while True:
            text = await self._next(lines)
            if text is None:
                return
            fresh = text[max(0, self.num_shown - num_seen) :]
            num_seen += len(text)
            self.num_shown += len(fresh)
            print(fresh, end="", flush=True)

    async def _next(self, lines: AsyncIterator[str]) -> str | None:
        """The next piece of the log; None at its end."""
        waiting = asyncio.ensure_future(anext(lines, None))
        try:
            while not (await asyncio.wait({waiting}, timeout=QUIET_S))[0]:
                job = await asyncio.to_thread(job_now, self.client, self.job_id)
                if job.has_ended:
                    raise ConnectionError("the job has ended and its log did not say so")
            return waiting.result()
        finally:
            waiting.cancel()


def _is_of_connection(error: Exception) -> bool:
    """Whether attaching again may help. Ray's client raises RuntimeError, and passes on errors of its web client."""
    if isinstance(error, BrokenPipeError):  # who read what is printed here, has gone
        return False
    return isinstance(error, OSError | RuntimeError | ValueError) or type(error).__module__.startswith("aiohttp")


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {one_line(error)}" if str(error) else type(error).__name__
