"""`python -m tests.bench.codec_streams`: peak memory of a codec by the length of the video, and what tiles change.

Each length is encoded and decoded in a process of its own, from frames that are made as they are asked for. Memory is
that of the process less what it held before the first frame. Tiles are compared with the whole frame on one piece.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

FPS = 8


def frames(count: int, height: int, width: int) -> Iterator:
    """Chunks of one frame, (1, 3, 1, H, W): a pattern that drifts."""
    import torch

    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    for number in range(count):
        drift = number * 3
        channels = [torch.sin((rows + drift) / 17), torch.cos((columns - drift) / 23), torch.sin((rows + columns) / 31)]
        yield torch.stack([channel.expand(height, width) for channel in channels])[None, :, None]


def peak(task: tuple[str, str, int, int, int]) -> tuple[float, float]:
    """Seconds and MiB of one direction."""
    import torch

    from model.codec.loading import load_codec

    name, direction, count, height, width = task
    torch.set_num_threads(2)
    codec = load_codec(name, "cpu")
    stride_t, stride_h, stride_w = codec.spec.stride_thw
    num_latents = (count - 1) // stride_t + 1
    shape = 1, codec.spec.channels, 1, height // stride_h, width // stride_w
    latents = (torch.zeros(shape) for _ in range(num_latents))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start_s = time.perf_counter()
    stream = (
        codec.encode_stream(frames(count, height, width)) if direction == "encode" else codec.decode_stream(latents)
    )
    assert sum(chunk.shape[2] for chunk in stream) == (num_latents if direction == "encode" else count)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return time.perf_counter() - start_s, used / 1024


def tile_differences(height: int, width: int) -> tuple[float, float]:
    """Largest difference of latents and of pixels that tiles of a quarter of the frame make, built-in codec."""
    import torch

    from model.codec.causal import load_autoencoder
    from model.codec.streaming import decode_stream, encode_stream

    network = load_autoencoder()
    video = torch.cat(list(frames(5, height, width)), dim=2)
    tiled = height * width // 4
    one, other = (torch.cat(list(encode_stream(network, [video], tile_px=px)), dim=2) for px in (height * width, tiled))
    shown, pasted = (torch.cat(list(decode_stream(network, [one], tile_px=px)), dim=2) for px in (1 << 30, tiled))
    return float((one - other).abs().max()), float((shown - pasted).abs().max())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", default="builtin")
    parser.add_argument(
        "--seconds", type=lambda text: [float(part) for part in text.split(",")], default=[1.0, 10.0, 60.0]
    )
    parser.add_argument("--size", type=lambda text: [int(part) for part in text.split("x")], default=[848, 480])
    options = parser.parse_args(arguments)
    width, height = options.size
    table = Table(
        "seconds of video", "frames", "direction", "s", "MiB", title=f"{options.codec}, {width}x{height}, {FPS}/s"
    )
    for seconds in options.seconds:
        count = round(seconds * FPS) // 4 * 4 + 1
        for direction in ("encode", "decode"):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                took_s, mib = pool.apply(peak, ((options.codec, direction, count, height, width),))
            table.add_row(f"{seconds:g}", str(count), direction, f"{took_s:.1f}", f"{mib:.0f}")
    Console().print(table)
    if options.codec == "builtin":
        of_latents, of_pixels = tile_differences(height // 2, width // 2)
        print(f"tiles of a quarter: latents differ by at most {of_latents:.1e}, pixels in [-1, 1] by {of_pixels:.1e}")


if __name__ == "__main__":
    main()
