"""Copies of a clip as they are found on the web: twelve edits, each a file, after which it is still the same clip.

The kinds are those that copy-detection benchmarks try (Douze et al. 2009, "INRIA Copydays"; Jiang et al. 2014,
"VCDB"; ThreatExchange's vPDQ), as far as the whole picture stays on screen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from pipeline.synthetic.encode import BITEXACT, Encoding, decoded, encode, resized
from pipeline.synthetic.overlays import logo, paint

TRIMMED_FRAC = Fraction(1, 10)
"""Of the clip's frames, at either end."""
FEWER_FRAMES = Fraction(4, 5)
"""30 to 24 frames a second."""
FASTER = Fraction(11, 10)
BRIGHTER_LEVELS = 26
"""Added to every channel of 255, as FFmpeg's `eq=brightness=0.1` adds to luma."""
GOOD_CRF, POOR_CRF = "23", "38"
NARROW, WIDE = Fraction(4, 3), Fraction(16, 9)


@dataclass(frozen=True)
class Footage:
    """A clip as its decoded frames: every call of `pictures` gives them from the first, (H, W, 3) uint8 RGB."""

    pictures: Callable[[], Iterator[np.ndarray]]
    num_frames: int
    width: int
    height: int
    fps: Fraction

    @classmethod
    def of(cls, path: Path) -> Footage:
        """The footage of a file that `encode` wrote at a constant rate."""
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            num_frames = sum(1 for _ in container.decode(video=0))
            fps = stream.guessed_rate or stream.average_rate
            if fps is None:
                raise ValueError(f"{path}: no frame rate")
            return cls(lambda: decoded(path), num_frames, stream.width, stream.height, Fraction(fps))


def write_clip(path: Path, pictures: Iterable[np.ndarray], num_frames: int, fps: Fraction, encoding: Encoding) -> None:
    """Encode `num_frames` (H, W, 3) uint8 RGB frames at a constant rate."""
    encode(path, pictures, [Fraction(index) / fps for index in range(num_frames + 1)], fps, encoding)


def edited_copy(kind: str, source: Path, folder: Path) -> Path:
    """Write the copy of `kind` (one of KINDS) of a constant-rate clip into `folder`.

    Raises:
        KeyError: no such kind.
    """
    edit = _EDITS[kind]
    path = folder / f"{source.stem}.{kind}.mkv" if kind == "container" else folder / f"{source.stem}.{kind}.mp4"
    edit(source, path)
    return path


def _container(source: Path, path: Path) -> None:
    """The same packets in another container."""
    with av.open(str(source)) as original, av.open(str(path), "w", container_options=BITEXACT) as copy:
        stream = copy.add_stream_from_template(original.streams.video[0])
        for packet in original.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)


def _reencode(crf: str) -> Callable[[Path, Path], None]:
    def edit(source: Path, path: Path) -> None:
        footage = Footage.of(source)
        encoding = Encoding(options=(("crf", crf),))
        write_clip(path, footage.pictures(), footage.num_frames, footage.fps, encoding)

    return edit


def _rescale(factor: Fraction) -> Callable[[Path, Path], None]:
    def edit(source: Path, path: Path) -> None:
        footage = Footage.of(source)
        width, height = (round(side * factor / 2) * 2 for side in (footage.width, footage.height))
        pictures = resized(footage.pictures(), width, height)
        write_clip(path, pictures, footage.num_frames, footage.fps, Encoding())

    return edit


def _choose(kept_of: Callable[[int], list[int]], rate: Fraction = Fraction(1)) -> Callable[[Path, Path], None]:
    """Keep the frames whose numbers `kept_of` gives for a number of frames; `rate` is the copy's rate over the
    source's."""

    def edit(source: Path, path: Path) -> None:
        footage = Footage.of(source)
        kept = kept_of(footage.num_frames)
        wanted = set(kept)
        pictures = (picture for index, picture in enumerate(footage.pictures()) if index in wanted)
        write_clip(path, pictures, len(kept), footage.fps * rate, Encoding())

    return edit


def _paint(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path, Path], None]:
    def edit(source: Path, path: Path) -> None:
        footage = Footage.of(source)
        write_clip(path, map(change, footage.pictures()), footage.num_frames, footage.fps, Encoding())

    return edit


def _trimmed(num_frames: int) -> list[int]:
    off = round(num_frames * TRIMMED_FRAC)
    return list(range(off, num_frames - off))


def _every(step: Fraction) -> Callable[[int], list[int]]:
    return lambda num_frames: [int(index * step) for index in range(int(num_frames / step))]


def _letterboxed(picture: np.ndarray) -> np.ndarray:
    """Black bars that make a wide picture 4:3, and any other 16:9."""
    height, width = picture.shape[:2]
    if Fraction(width, height) > NARROW:
        border = round((width / NARROW - height) / 4) * 2
        return cv2.copyMakeBorder(picture, border, border, 0, 0, cv2.BORDER_CONSTANT)
    border = round((height * WIDE - width) / 4) * 2
    return cv2.copyMakeBorder(picture, 0, 0, border, border, cv2.BORDER_CONSTANT)


def _mirrored(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture[:, ::-1])


def _brighter(picture: np.ndarray) -> np.ndarray:
    return np.minimum(picture, 255 - BRIGHTER_LEVELS) + np.uint8(BRIGHTER_LEVELS)


def _with_logo(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    picture = picture.copy()
    paint(logo(width, height), picture, Fraction(0))
    return picture


_EDITS: dict[str, Callable[[Path, Path], None]] = {
    "container": _container,
    "reencode good": _reencode(GOOD_CRF),
    "reencode poor": _reencode(POOR_CRF),
    "scale up": _rescale(Fraction(3, 2)),
    "scale down": _rescale(Fraction(1, 2)),
    "fewer frames": _choose(_every(1 / FEWER_FRAMES), FEWER_FRAMES),
    "trim": _choose(_trimmed),
    "letterbox": _paint(_letterboxed),
    "mirror": _paint(_mirrored),
    "brighter": _paint(_brighter),
    "logo": _paint(_with_logo),
    "faster": _choose(_every(FASTER)),
}
KINDS = tuple(_EDITS)
