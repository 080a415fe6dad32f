"""Identifying inputs: what their bytes are, before anything else is known of them."""

from __future__ import annotations

from pipeline.ingest.filesystems import local_copy
from schemas.identity import ID_HEX_CHARS


def video_id_of(uri: str) -> str | None:
    """The hash of a file's bytes; None if they cannot be read, which reading the file will say."""
    try:
        with local_copy(uri) as local:
            return local.sha256[:ID_HEX_CHARS]
    except OSError:
        return None
