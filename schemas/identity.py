"""Content addresses: the same content gives the same name, on any machine and in any run."""

from __future__ import annotations

import hashlib
from pathlib import Path

READ_BYTES = 1 << 20
ID_HEX_CHARS = 16
"""64 bits: among ten million clips the chance of any collision is below 1e-5 (birthday bound)."""


def digest(*parts: object) -> str:
    """Hash of a sequence of values by their `repr`, as 16 hex characters. Order and boundaries matter."""
    state = hashlib.sha256()
    for part in parts:
        text = repr(part).encode()
        state.update(len(text).to_bytes(8, "big"))
        state.update(text)
    return state.hexdigest()[:ID_HEX_CHARS]


def bytes_digest(data: bytes | memoryview) -> str:
    """Hash of bytes, as 16 hex characters. SHA-256, which processors have instructions for: a gigabyte takes .7 s."""
    return hashlib.sha256(data).hexdigest()[:ID_HEX_CHARS]


def file_digest(path: Path | str) -> str:
    """SHA-256 of a file's bytes, as 64 hex characters, read in bounded memory."""
    state = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(READ_BYTES):
            state.update(chunk)
    return state.hexdigest()


def folder_digest(folder: Path | str) -> str:
    """Hash of the names and bytes of all files of a checkpoint folder except its card, as 16 hex characters."""
    files = sorted(p for p in Path(folder).rglob("*") if p.is_file() and p.name != "README.md")
    return digest(*[(p.relative_to(folder).as_posix(), file_digest(p)) for p in files])
