"""Where a page goes that a command writes."""

from __future__ import annotations

import os
from typing import Annotated

from cyclopts import Parameter

from pipeline.store.dataset import Dataset
from schemas.errors import UsageError

PagePath = Annotated[str | None, Parameter(name=["--out", "-o"], metavar="FILE.html")]


def page_place(out: str) -> tuple[Dataset, str]:
    """The folder of a page, proven to be writable, and the file's name in it.

    Raises:
        UsageError: `out` is a folder, or cannot be written to.
    """
    folder, name = os.path.split(out)
    if not name or os.path.isdir(out):
        raise UsageError(f"--out {out}: is a folder; give a file's name")
    place = Dataset(folder)
    place.make_writable()
    return place, name


def write_page(place: Dataset, name: str, page: str) -> tuple[str, int]:
    """Write a page; returns its path and how many bytes it has."""
    data = page.encode()
    place.write_bytes(name, data)
    return f"{place.location.rstrip('/')}/{name}", len(data)
