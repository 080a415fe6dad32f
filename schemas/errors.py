"""Errors that are told in one line, without a traceback; the command line exits with 2 or 1."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from difflib import get_close_matches

OUTAGE_ERRNOS = frozenset(
    (errno.EIO, errno.EBUSY, errno.ETIMEDOUT, errno.ESTALE, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH)
)
OUTAGE_WORDS = re.compile(
    r"AWS Error (NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|THROTTLING|REQUEST_TIMEOUT)"
    r"|AWS Error UNKNOWN \(HTTP status (5\d\d|429)\)"
    r"|cloud::Status\((UNAVAILABLE|DEADLINE_EXCEEDED|INTERNAL|RESOURCE_EXHAUSTED)"
)
"""What pyarrow says when S3 or Google's store does not answer, or answers that it cannot now."""


class UsageError(ValueError):
    """Wrong usage or configuration, found before any work starts. The line names file, key or value; exit status 2."""


class JobError(RuntimeError):
    """A job cannot be done for a reason outside its usage. The line says what failed; exit status 1."""


class Unreachable(JobError):
    """A store does not answer now, so trying again later may do. The line names the location; exit status 1."""


def is_outage(error: BaseException) -> bool:
    """Whether an error says that a file system or a store cannot be reached now, or has failed on its own side.

    Wrong usage is none: what is not there, a bucket that does not exist, missing rights. Errors of other libraries
    count by the text of the file system's error in them: DuckDB passes on what reading a table raised as text.
    """
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if isinstance(error, OSError) and error.errno in OUTAGE_ERRNOS:
        return True
    status = getattr(error, "status", None)  # of an HTTP response, as aiohttp's errors have it
    if isinstance(status, int) and (status == 429 or 500 <= status < 600):
        return True
    return bool(OUTAGE_WORDS.search(str(error)))


def outage_in(error: BaseException) -> BaseException | None:
    """The outage that an error is or was raised for, also where Ray wraps it as `cause`; None if there is none."""
    for inner in (getattr(error, "cause", None), error.__cause__):
        if isinstance(inner, BaseException) and (found := outage_in(inner)):
            return found
    return error if is_outage(error) else None


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """How an error line ends where one of `names` is like the unknown `word`; else empty."""
    nearest = get_close_matches(word, list(names), n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""
