"""Whether a caption says of the camera what the measured motion denies, in English.

Words give claims: "still", "shake", "roll", "moves" (some way), an axis ("pan"), or an axis and a way ("pan left").
A claim is denied by the opposite way and, if it moves, by a still picture; a still one by a motion fast enough to be
seen. Claims of another axis than the measured one are left undecided: a dolly past a wall is part pan and part zoom.
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
"""Labels that can deny: a complex motion may be called by any of its parts, and a shaken camera by what was meant."""
_CAMERA = re.compile(r"(?<!toward )(?<!towards )(?<!to )(?<!at )(?<!into )(?<!facing )\bthe camera\b(?!'s)[^.;]*")
_SHOT = re.compile(
    r"\b(?:static|stationary|tracking|hand-?held|shaky|panning|fixed) (?:\w+ )?(?:shot|camera|view)\b"
    r"|\b(?:no )?camera movement\b[^.;]*"
)


def contradicts_camera(fields: Mapping[str, str], camera: Mapping[str, Any] | None, language: str) -> float | None:
    """1 if what is said of the camera is denied and nothing else that is said agrees, 0 if something agrees.

    None if nothing is said or decided, the motion is not measured, not sure, complex or a shake, or not in English.

    Args:
        fields: the captioner's own words; those of "camera" are believed first, then sentences about the camera.
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
    if any(_denied(claim, label, strength_px_s) for claim in said):
        return 1.0
    return None


def _elsewhere(fields: Mapping[str, str]) -> Iterator[str]:
    """What other fields say of the camera, not of cameras that are seen."""
    for name, text in fields.items():
        if name != "camera":
            for pattern in (_CAMERA, _SHOT):
                yield from (match.group() for match in pattern.finditer(plain(text)))


def _agrees(claim: str, label: str) -> bool:
    return claim in (label, label.split()[0]) or (claim == "moves" and label != "still")


def _denied(claim: str, label: str, strength_px_s: float) -> bool:
    if claim == "still":
        return label != "still" and strength_px_s >= LEAST_STRENGTH_PX_S
    if label == "still":
        return claim != "handheld"
    return OPPOSITE.get(claim) == label
