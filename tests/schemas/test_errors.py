"""Which errors say that a store cannot be reached now, by what file systems raise and others wrap."""

from __future__ import annotations

import errno

import aiohttp
import duckdb
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from schemas.errors import is_outage, outage_in

AWS = "When listing objects under key 'in' in bucket 'lake': AWS Error {} during ListObjectsV2 operation: ..."
BUSY = OSError(AWS.format("SLOW_DOWN"))


def answer(status: int) -> Exception:
    """As aiohttp raises of a response."""
    url = URL("http://store/x")
    info = aiohttp.RequestInfo(url, "GET", CIMultiDictProxy(CIMultiDict()), url)
    return aiohttp.ClientResponseError(info, (), status=status)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BUSY, True),
        (OSError(AWS.format("NETWORK_CONNECTION")), True),
        (OSError(AWS.format("UNKNOWN (HTTP status 503)")), True),
        (OSError(AWS.format("UNKNOWN (HTTP status 404)")), False),
        (OSError(AWS.format("NO_SUCH_BUCKET")), False),
        (OSError(AWS.format("ACCESS_DENIED")), False),
        (OSError("google::cloud::Status(UNAVAILABLE: try again)"), True),
        (OSError("google::cloud::Status(NOT_FOUND: no such object)"), False),
        (duckdb.InvalidInputException(f"reading the stream registered as 'x' failed: IOError: {BUSY}"), True),
        (duckdb.CatalogException("no table SLOW_DOWN"), False),
        (answer(503), True),
        (answer(429), True),
        (answer(404), False),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (OSError(errno.EIO, "Input/output error"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (FileNotFoundError(2, "No such file"), False),
        (PermissionError(13, "Permission denied"), False),
        (ValueError("connection"), False),
    ],
)
def test_outages_are_told_from_wrong_usage(error: Exception, expected: bool) -> None:
    assert is_outage(error) is expected


def test_an_outage_is_found_in_what_it_made_others_raise() -> None:
    class Wrapped(Exception):
        cause = BUSY

    outer = ValueError("the task failed")
    outer.__cause__ = Wrapped("by a worker")
    assert outage_in(outer) is BUSY
    assert outage_in(BUSY) is BUSY
    handled = ValueError("another, while an outage was handled")
    handled.__context__ = BUSY
    assert outage_in(handled) is None
