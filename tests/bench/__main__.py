"""`make bench`: the speed of curation as a share of bare decoding, the upper limit, on this machine.

Both figures of a ratio come from the same machine within minutes, so the ratio can be compared between machines, and
the seconds cannot. Prints tables, and writes `out/bench.json`.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import psutil
from rich.console import Console
from rich.table import Table

from pipeline.ingest.inputs import list_inputs
from pipeline.synthetic.corpus import draw_video
from tests.bench.profile import profile_pass

VIDEOS = Path(__file__).parents[3] / "shared" / "videos"
SHORT_S, REPEATS = 60.0, 30
POLL_S = 0.2
SIZE = (1280, 720)


def bare_decode_frames(paths: list[str]) -> int:
    """Decode the best video stream of each file in FFmpeg's threads and discard the frames: the upper limit of
    speed."""
    frames = 0
    for path in paths:
        with av.open(path) as container:
            stream = container.streams.best("video")
            stream.thread_type = "AUTO"
            for packet in container.demux(stream):
                try:
                    frames += len(packet.decode())
                except av.error.FFmpegError:
                    continue
    return frames


def scan_frames(paths: list[str]) -> int:
    """The single pass with its shot detector and all stream measures, without Ray."""
    from pipeline.scan.scan import ScanConfig, scan
    from schemas.recipe import load_recipe

    config = ScanConfig.of(load_recipe("default"))
    return sum(scan(listed, config).video["num_frames"] or 0 for listed in list_inputs(paths).inputs)


def curate_frames(paths: list[str]) -> int:
    """`reelmill curate` without captions, with the start of Ray."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "jobs.curate",
            *paths,
            "--out",
            folder,
            "--set",
            "caption.backend=none",
            "--json",
        ]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    stages = json.loads(output.splitlines()[-1])["stages"]
    return stages["scan"]["counts"]["frames"]


MEASUREMENTS = {"bare PyAV decode": bare_decode_frames, "one scan pass": scan_frames, "reelmill curate": curate_frames}


def measure_in_child(name: str, paths: list[str]) -> dict[str, float]:
    """Run one measurement in a separate process: frames, seconds, and the peak memory of its largest process."""
    code = (
        "import json, sys, time; from tests.bench import __main__ as bench\n"
        "name, *paths = sys.argv[1:]\n"
        "start = time.perf_counter(); frames = bench.MEASUREMENTS[name](paths); seconds = time.perf_counter() - start\n"
        "print(json.dumps({'frames': frames, 'seconds': seconds}))"
    )
    with subprocess.Popen([sys.executable, "-c", code, name, *paths], stdout=subprocess.PIPE, text=True) as child:
        peak_bytes = 0
        while child.poll() is None:
            peak_bytes = max(peak_bytes, _largest_process_bytes(child.pid))
            time.sleep(POLL_S)
        output = child.communicate()[0]
    return json.loads(output.splitlines()[-1]) | {"peak_mib": peak_bytes / 2**20}


def _largest_process_bytes(pid: int) -> int:
    """Resident memory of the largest of a process and its descendants, which include Ray's workers."""
    largest = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            largest = max(largest, process.memory_info().rss)
    except psutil.NoSuchProcess:
        pass
    return largest


def repeat(source: Path, target: Path, times: int) -> None:
    """Write a file with the packets of another several times in a row, without encoding them again."""
    with av.open(str(target), "w") as longer:
        stream, offset = None, 0
        for _ in range(times):
            with av.open(str(source)) as once:
                video = once.streams.video[0]
                stream = stream or longer.add_stream_from_template(video)
                for packet in once.demux(video):
                    if packet.dts is not None:
                        packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                        longer.mux(packet)
                offset += video.duration


def main() -> int:
    console = Console(highlight=False)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        long_video = Path(folder) / "half_an_hour_720p.mp4"
        minute = Path(folder) / "one_minute_720p.mp4"
        draw_video(minute, width=SIZE[0], height=SIZE[1], duration_s=SHORT_S)
        repeat(minute, long_video, REPEATS)
        sets = {"synthetic 720p, 1 minute": [str(minute)], "synthetic 720p, 30 minutes": [str(long_video)]}
        if VIDEOS.is_dir():
            usable = sorted(str(p) for p in VIDEOS.iterdir() if p.suffix in (".mp4", ".webm", ".mkv"))
            sets["real footage"] = [path for path in usable if _decodes(path)]
        for set_name, paths in sets.items():
            bare = None
            for name in MEASUREMENTS:
                figures = measure_in_child(name, paths)
                rate = figures["frames"] / figures["seconds"]
                bare = bare or rate
                results.append(
                    {"set": set_name, "measurement": name, "frames_per_s": rate, "of_bare": rate / bare} | figures
                )
        profiles = {name: profile_pass(paths) for name, paths in sets.items() if name != "synthetic 720p, 30 minutes"}
    _show(console, results)
    for name, parts in profiles.items():
        _show_profile(console, name, parts)
    out = Path("out")
    out.mkdir(exist_ok=True)
    machine = {"cpus": os.cpu_count(), "processor": platform.processor() or platform.machine(), "time": time.ctime()}
    (out / "bench.json").write_text(
        json.dumps({"machine": machine, "results": results, "profiles": profiles}, indent=1)
    )
    return 0


def _show_profile(console: Console, name: str, parts: dict[str, float]) -> None:
    frames, total = parts.pop("frames"), parts.pop("total")
    table = Table("part of the pass", "ms a frame", "share", title=name, title_justify="left")
    for part, seconds in sorted(parts.items(), key=lambda item: -item[1]):
        table.add_row(part, f"{1000 * seconds / frames:.3f}", f"{seconds / total:.2f}")
    console.print(table)


def _decodes(path: str) -> bool:
    try:
        with av.open(path) as container:
            return bool(container.streams.video)
    except av.error.FFmpegError:
        return False


def _show(console: Console, results: list[dict]) -> None:
    table = Table("set", "measurement", "frames", "s", "frames/s", "of bare decode", "largest process, MiB")
    for row in results:
        table.add_row(
            row["set"],
            row["measurement"],
            str(row["frames"]),
            f"{row['seconds']:.1f}",
            f"{row['frames_per_s']:.0f}",
            f"{row['of_bare']:.2f}",
            f"{row['peak_mib']:.0f}",
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
