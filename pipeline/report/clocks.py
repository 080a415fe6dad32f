"""Times and time spans as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def clock(time_us: int) -> str:
    """A time as m:ss.ss, with hours where there are any."""
    minutes, hundredths = divmod(round(time_us / 10_000), 6000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{hundredths / 100:05.2f}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"


def span_text(clip: Mapping[str, Any]) -> str:
    """A clip's start and end in its video."""
    return "image" if clip["is_image"] else f"{clock(clip['start_us'])} to {clock(clip['end_us'])}"
