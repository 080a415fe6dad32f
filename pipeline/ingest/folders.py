"""The files of a local folder, each once, whatever links there are between folders."""

from __future__ import annotations

import os
from collections.abc import Iterator


def files_below(folder: str) -> list[str]:
    """All files at any depth, sorted. Links are followed to what has not been seen without them."""
    files: dict[tuple[int, int], str] = {}
    linked_files: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        links: list[str] = []
        for top in waiting:
            for entry in _entries(top, seen):
                if entry.is_symlink():
                    (links if os.path.isdir(entry.path) else linked_files).append(entry.path)
                elif entry.is_file():
                    found = entry.stat()
                    files[found.st_dev, found.st_ino] = min(
                        entry.path, files.get((found.st_dev, found.st_ino), entry.path)
                    )
        waiting = sorted(links)
    for path in sorted(linked_files):
        if os.path.isfile(path):
            found = os.stat(path)
            files.setdefault((found.st_dev, found.st_ino), path)
    return sorted(files.values())


def _entries(folder: str, seen: set[tuple[int, int]]) -> Iterator[os.DirEntry[str]]:
    """Everything below a folder but folders, and of those the links; folders that were seen are not entered again."""
    found = os.stat(folder)
    if (found.st_dev, found.st_ino) in seen:
        return
    seen.add((found.st_dev, found.st_ino))
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path, seen)
            else:
                yield entry
