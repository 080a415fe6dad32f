"""Pictures whose end is missing: FFmpeg fills what it lacks with grey and says nothing, so Pillow reads them too."""

from __future__ import annotations

import warnings

from PIL import Image, UnidentifiedImageError

from pipeline.ingest.failures import MediaError, one_line
from pipeline.ingest.sandbox import heartbeat


def require_whole_picture(path: str, container: str) -> None:
    """Refuse a picture, or an animation of an image format, that is cut off or damaged.

    Args:
        container: FFmpeg's name of the format; videos are not looked at.
    Raises:
        MediaError: `truncated`.
    """
    if container not in ("image2", "gif") and not container.endswith("_pipe"):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata, and sizes, which have limits of their own here
            with Image.open(path) as picture:
                for index in range(getattr(picture, "n_frames", 1)):
                    heartbeat()
                    picture.seek(index)
                    picture.load()
    except (UnidentifiedImageError, Image.DecompressionBombError, NotImplementedError):
        return
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        raise MediaError("truncated", one_line(error)) from error
