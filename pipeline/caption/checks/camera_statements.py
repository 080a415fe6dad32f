"""Where an English caption speaks of the camera, and what it claims there.

Whether a claim is true is not asked here: `schemas/contradiction.py` holds claims against the measured motion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pipeline.caption.checks.camera_claims import claims
from schemas.words import plain

_CAMERA = re.compile(r"(?<!toward )(?<!towards )(?<!to )(?<!at )(?<!into )(?<!facing )\bthe camera\b(?!'s)[^.;]*")
_SHOT = re.compile(
    r"\b(?:static|stationary|tracking|hand-?held|shaky|panning|fixed) (?:\w+ )?(?:shot|camera|view)\b"
    r"|\b(?:no )?camera movement\b[^.;]*"
)


def camera_claims(fields: Mapping[str, str], language: str) -> list[str] | None:
    """The claims of a caption about the camera's motion, sorted: keys of `PATTERNS`; None if it is not in English.

    Args:
        fields: the captioner's own words. "camera" counts first; only without claims there, sentences elsewhere do.
    """
    if language != "en":
        return None
    return sorted(claims(fields.get("camera", "")) or claims(". ".join(_elsewhere(fields))))


def _elsewhere(fields: Mapping[str, str]) -> Iterator[str]:
    """Phrases of other fields about the camera itself, not about cameras in the picture."""
    for name, text in fields.items():
        if name != "camera":
            for pattern in (_CAMERA, _SHOT):
                yield from (match.group() for match in pattern.finditer(plain(text)))
