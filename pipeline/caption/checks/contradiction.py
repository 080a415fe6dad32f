"""Whether what an English caption says of the camera contradicts the measured motion.

Words give claims: "still", "shake", "roll", "moves" (in any direction), an axis ("pan"), or an axis and a direction
("pan left"). The opposite direction contradicts a claim, and a still picture contradicts any motion. A motion that is
fast enough to be seen contradicts "still". Claims about another axis than the measured one are not decided: a dolly
past a wall is part pan and part zoom.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.caption.checks.camera_claims import claims
from schemas.words import plain

LEAST_CONFIDENCE = 0.5
"""Share of the textured area that must move as measured."""
LEAST_STRENGTH_PX_S = 5.0
"""Speed from which "static" is wrong, at 256 px: 2% of the longer side a second, as that of a shake is in `camera`."""
OPPOSITE = {
    "pan left": "pan right",
    "pan right": "pan left",
    "tilt up": "tilt down",
    "tilt down": "tilt up",
    "zoom in": "zoom out",
    "zoom out": "zoom in",
}
DECIDABLE = frozenset(("still", "roll", *OPPOSITE))
"""Measured labels that can contradict. A complex motion can be named after any part, a shake after the intent."""
_CAMERA = re.compile(r"(?<!toward )(?<!towards )(?<!to )(?<!at )(?<!into )(?<!facing )\bthe camera\b(?!'s)[^.;]*")
_SHOT = re.compile(
    r"\b(?:static|stationary|tracking|hand-?held|shaky|panning|fixed) (?:\w+ )?(?:shot|camera|view)\b"
    r"|\b(?:no )?camera movement\b[^.;]*"
)


def contradicts_camera(fields: Mapping[str, str], camera: Mapping[str, Any] | None, language: str) -> float | None:
    """1 if a claim about the camera is contradicted and none agrees, 0 if one agrees.

    None if no claim is made or decided, if the motion is not measured, uncertain, complex or a shake, or if the
    language is not English.

    Args:
        fields: the captioner's own words. "camera" counts first; only without claims there, sentences elsewhere do.
        camera: `camera_motion`, `camera_strength` in px/s at 256 px and `camera_confidence`, as `Camera` has them.
    """
    if language != "en" or camera is None or camera["camera_motion"] not in DECIDABLE:
        return None
    if (camera["camera_confidence"] or 0.0) < LEAST_CONFIDENCE:
        return None
    label, strength_px_s = camera["camera_motion"], camera["camera_strength"] or 0.0
    said = claims(fields.get("camera", "")) or claims(". ".join(_elsewhere(fields)))
    if any(_agrees(claim, label) for claim in said):
        return 0.0
    if any(_contradicts(claim, label, strength_px_s) for claim in said):
        return 1.0
    return None


def _elsewhere(fields: Mapping[str, str]) -> Iterator[str]:
    """Phrases of other fields about the camera itself, not about cameras in the picture."""
    for name, text in fields.items():
        if name != "camera":
            for pattern in (_CAMERA, _SHOT):
                yield from (match.group() for match in pattern.finditer(plain(text)))


def _agrees(claim: str, label: str) -> bool:
    return claim in (label, label.split()[0]) or (claim == "moves" and label != "still")


def _contradicts(claim: str, label: str, strength_px_s: float) -> bool:
    if claim == "still":
        return label != "still" and strength_px_s >= LEAST_STRENGTH_PX_S
    if label == "still":
        return claim != "handheld"
    return OPPOSITE.get(claim) == label
