"""Which frames readers give, of the videos of `tests/numbered_videos.py`, and of the numbered files of `media_faults`
where they are at hand. `python -m tests.bench.readers` prints how many frames were asked for by time, and how many were
of another number: by this project's reader, in order and with gaps skipped, and by decord, which is told when the
file's first frame is shown.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.decode import random_access
from pipeline.decode.clock import MICROSECONDS
from pipeline.decode.orientation import orientation_of
from pipeline.decode.planes import rgb_picture, shown_in_sdr
from pipeline.decode.random_access import TimedFrames
from pipeline.decode.reader import FrameReader, open_video
from pipeline.ingest.failures import MediaError
from tests.numbered_videos import cases, read_number

FAULTS = Path(__file__).parents[3] / "shared" / "media_faults"
SKIPPED_S = 0.5

ReadNumber = Callable[[np.ndarray], int]


def single_pass(path: Path, read: ReadNumber) -> tuple[list[int], list[int], bool]:
    """Numbers and times of all frames, and whether the file's own clock is right."""
    container, stream = open_video(str(path))
    numbers = []
    with container:
        reader = FrameReader(container, stream)
        for frame in reader:
            upright = orientation_of(frame, str(path)).upright(rgb_picture(frame))
            numbers.append(read(shown_in_sdr(upright, frame)))
    return numbers, reader.times_us, reader.clock.num_corrected == 0


def numbers_at(path: Path, times_us: Sequence[int], read: ReadNumber, *, regular: bool) -> list[int]:
    numbers = []
    with TimedFrames(str(path), regular=regular) as frames:
        for shown in frames.at(times_us):
            height, width = shown.size
            numbers.append(read(shown.cut((0, 0, width, height), (width, height), (width, height))))
    return numbers


def by_decord(decord: ModuleType, path: Path, times_us: Sequence[int], read: ReadNumber) -> list[int] | None:
    """The frames that decord has at some times from its first frame's; None if it opens no such file."""
    try:
        reader = decord.VideoReader(str(path), num_threads=1)
        starts_us = np.round(reader.get_frame_timestamp(range(len(reader)))[:, 0] * MICROSECONDS)
        order = np.argsort(starts_us, kind="stable")
        placed = np.searchsorted(starts_us[order] - starts_us.min(), np.asarray(times_us) + 1_000, side="right") - 1
        return [read(reader[int(order[max(at, 0)])].asnumpy()) for at in placed]
    except (decord.DECORDError, RuntimeError, IndexError, ValueError):
        return None


def compare(
    path: Path, expected: Sequence[int], times_us: Sequence[int], read: ReadNumber, decord: ModuleType
) -> list[str]:
    """Frames asked for, and the wrong ones of each way to read."""
    try:
        numbers, found_us, regular = single_pass(path, read)
    except MediaError as error:
        return ["-", str(error)[:40], "", "", "", ""]
    wrong = _num_wrong(numbers, expected)
    late_us = int(np.abs(np.array(found_us) - times_us).max()) if len(found_us) == len(times_us) else -1
    in_order = _num_wrong(numbers_at(path, found_us, read, regular=False), expected)
    apart = 0
    random_access.SKIPPED_S = SKIPPED_S
    for first in range(0, len(found_us), 5):
        wanted = [index for index in (first, first + 30, first + 60) if index < len(found_us)]
        seen = numbers_at(path, [found_us[index] for index in wanted], read, regular=regular)
        apart += _num_wrong(seen, [expected[index] for index in wanted])
    other = by_decord(decord, path, found_us, read)
    return [
        str(len(expected)),
        str(wrong),
        str(late_us),
        str(in_order),
        str(apart),
        "no" if other is None else str(_num_wrong(other, expected)),
    ]


def _num_wrong(found: Sequence[int], expected: Sequence[int]) -> int:
    return sum(a != b for a, b in zip(found, expected, strict=False)) + abs(len(found) - len(expected))


NUM_FRAMES = {
    "c03_editlist_trim.mp4": 99,
    "c04_offset10h.mkv": 120,
    "c05_concat_jump.ts": 240,
    "c05_concat_same.ts": 240,
    "c25_hflip.mp4": 120,
    "h264_opengop.mp4": 120,
    "hevc_opengop.mp4": 120,
    "mpeg2.mkv": 120,
    "x264default.avi": 120,
    "x265_default_settings.mp4": 480,
}


def faults() -> list[tuple[Path, list[int], list[int]]]:
    """The numbered files of `media_faults`, with the numbers of their frames and their times."""
    found = []
    for name, count in NUM_FRAMES.items():
        first, fps = (21 if "editlist" in name else 0), (25 if name.endswith(".avi") else 30)
        numbers = [first + (index % 120 if "concat" in name or "x265" in name else index) for index in range(count)]
        found.append((FAULTS / name, numbers, [round(index * MICROSECONDS / fps) for index in range(count)]))
    return found


def main() -> None:
    """Print the table."""
    sys.modules.setdefault("nvidia", None)  # type: ignore[arg-type]  # CUDA libraries that decord would load
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    table = Table(title="frames that are not the ones asked for")
    for name in ("file", "frames", "single pass", "late (us)", "by time", "far apart", "decord by time"):
        table.add_column(name, justify="left" if name == "file" else "right")
    started_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for case in cases():
            path = case.write(Path(folder))
            table.add_row(
                f"{case.name} {case.suffix}", *compare(path, case.numbers, case.times_us, read_number, decord)
            )
    if FAULTS.is_dir():
        spec = importlib.util.spec_from_file_location("numbered_frames", FAULTS / "numbered_frames.py")
        assert spec is not None
        assert spec.loader is not None
        drawn = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(drawn)
        for path, numbers, times_us in faults():
            read = (lambda picture: drawn.read(picture[:, ::-1])) if "hflip" in path.name else drawn.read
            table.add_row(path.name, *compare(path, numbers, times_us, read, decord))
    Console(width=120).print(table)
    print(f"{time.perf_counter() - started_s:.0f} s")


if __name__ == "__main__":
    main()
