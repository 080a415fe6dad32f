"""Errors of lower layers that a setting or an option causes, told by the name of that setting or option."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jobs.console.refusal import one_line
from schemas.errors import UsageError


@contextmanager
def naming(key: str, value: object = None) -> Iterator[None]:
    """Turn what the block raises for a bad value or a missing file into a line that names a recipe key or an option.

    Raises:
        UsageError: the block raised ValueError or OSError. A UsageError, which names its cause already, stays as it is.
    """
    try:
        yield
    except UsageError:
        raise
    except (ValueError, OSError) as error:
        raise UsageError(f"{key}{'' if value is None else f' = {value!r}'}: {one_line(error)}") from error
