"""Which way up a stored picture is: the display matrix of a video, or the EXIF orientation of a photo.

There are eight ways: rows and columns exchanged or not, then left and right, then top and bottom. FFmpeg gives photos a
display matrix too; where PyAV cannot read it, the tag of the file is read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import av.video.frame
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from PIL import Image

MATRIX = struct.Struct("<9i")
EXIF_ORIENTATION_TAG = 274


@dataclass(frozen=True)
class Orientation:
    """How a stored picture is brought upright: rows and columns are exchanged, then its sides."""

    transposed: bool = False
    flip_x: bool = False
    """Left and right are exchanged."""
    flip_y: bool = False
    """Top and bottom are exchanged."""

    @classmethod
    def turned(cls, rotation_deg: int) -> Orientation:
        """Turned by quarter turns, counter-clockwise."""
        return (
            cls(),
            cls(transposed=True, flip_y=True),
            cls(flip_x=True, flip_y=True),
            cls(transposed=True, flip_x=True),
        )[round(rotation_deg / 90) % 4]

    @property
    def is_mirrored(self) -> bool:
        return self.transposed ^ self.flip_x ^ self.flip_y

    @property
    def rotation_deg(self) -> int:
        """Quarter turns counter-clockwise, in (-180, 180]; a mirrored picture exchanges left and right after them."""
        unmirrored = Orientation(self.transposed, self.flip_x ^ self.is_mirrored, self.flip_y)
        return next(deg for deg in (0, 90, -90, 180) if Orientation.turned(deg) == unmirrored)

    def upright(self, picture: np.ndarray) -> np.ndarray:
        """A stored picture (H, W, ...) as it is displayed; a view."""
        if self.transposed:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]

    def displayed(self, width: int, height: int) -> tuple[int, int]:
        """Width and height upright."""
        return (height, width) if self.transposed else (width, height)

    def stored_area(self, area: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Top, bottom, left and right of an upright area, as shares of the sides, in the stored picture."""
        top, bottom, left, right = area
        if self.flip_y:
            top, bottom = 1 - bottom, 1 - top
        if self.flip_x:
            left, right = 1 - right, 1 - left
        return (left, right, top, bottom) if self.transposed else (top, bottom, left, right)


EXIF = (
    Orientation(),
    Orientation(flip_x=True),
    Orientation(flip_x=True, flip_y=True),
    Orientation(flip_y=True),
    Orientation(transposed=True),
    Orientation(transposed=True, flip_x=True),
    Orientation(transposed=True, flip_x=True, flip_y=True),
    Orientation(transposed=True, flip_y=True),
)
"""By the value of the EXIF tag, 1 to 8 (EXIF 2.32, 4.6.4 A)."""


def orientation_of(frame: av.video.frame.VideoFrame, path: str) -> Orientation:
    """The orientation of a decoded frame of a file."""
    turned_least = Orientation.turned(int(frame.rotation))
    try:
        # Not `frame.side_data`, which makes a reference cycle, so that pictures would wait for the garbage collector.
        matrix = SideDataContainer(frame).get("DISPLAYMATRIX")  # pyrefly: ignore
    except ValueError:  # PyAV 18 refuses all side data if it does not know one kind, such as a photo's EXIF
        return _of_photo(path) or turned_least
    return turned_least if matrix is None else _of_matrix(bytes(matrix)) or turned_least


def _of_matrix(data: bytes) -> Orientation | None:
    """The nearest of the eight; None where the matrix is none of them, such as a turn of 45 degrees.

    A stored point (x, y) is displayed at (a x + c y, b x + d y), with a, b in the first row and c, d in the second
    (ISO/IEC 14496-12, 6.2.2); both axes point right and down.
    """
    a, b, _, c, d, *_ = MATRIX.unpack(data[: MATRIX.size])
    if abs(a) > 2 * abs(b) and abs(d) > 2 * abs(c):
        return Orientation(False, a < 0, d < 0)
    if abs(b) > 2 * abs(a) and abs(c) > 2 * abs(d):
        return Orientation(True, c < 0, b < 0)
    return None


def _of_photo(path: str) -> Orientation | None:
    try:
        with Image.open(path) as photo:
            return EXIF[photo.getexif().get(EXIF_ORIENTATION_TAG, 1) - 1]
    except (OSError, ValueError, SyntaxError, IndexError, TypeError):
        return None
