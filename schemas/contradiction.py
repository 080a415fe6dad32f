"""Whether what a caption says of the camera contradicts the measured motion, from its claims and the clip's scores.

Claims are facts of the text (`CaptionChecks.camera_claims`) and the motion is a measure (`Camera`), which may be taken
again with another result. So what follows from both is in no table: the view `captions` has it of the scores of now, by
the function that `contradiction_macro` gives to SQL.

The opposite direction contradicts a claim, and a still picture contradicts any motion. A motion that is fast enough to
be seen contradicts "still". Claims about another axis than the measured one are not decided: a dolly past a wall is
part pan and part zoom.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa

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
DECIDABLE = ("still", "roll", *OPPOSITE)
"""Measured labels that can contradict. A complex motion can be named after any part, a shake after the intent."""
CONTRADICTS_CAMERA = pa.field(
    "contradicts_camera",
    pa.float64(),
    metadata={
        "doc": "1 if it says of the camera what the measured motion denies, 0 if they agree; null if undecided",
        "unit": "",
    },
)
"""A column of the view `captions`, made of `camera_claims` and of the clip's newest camera scores."""


def contradicts_camera(claims: Collection[str] | None, camera: Mapping[str, Any]) -> float | None:
    """1 if a claim about the camera is contradicted and none agrees, 0 if one agrees.

    None if no claim is made or decided, or if the motion is not measured, uncertain, complex or a shake.

    Args:
        claims: "still", "shake", "handheld", "roll", "moves" (in any direction), an axis ("pan"), or an axis and a
            direction ("pan left").
        camera: `camera_motion`, `camera_strength` in px/s at 256 px and `camera_confidence`, as `Camera` has them.
    """
    label = camera["camera_motion"]
    if not claims or label not in DECIDABLE or (camera["camera_confidence"] or 0.0) < LEAST_CONFIDENCE:
        return None
    if any(_agrees(claim, label) for claim in claims):
        return 0.0
    if any(_contradicts(claim, label, camera["camera_strength"] or 0.0) for claim in claims):
        return 1.0
    return None


def _agrees(claim: str, label: str) -> bool:
    return claim in (label, label.split()[0]) or (claim == "moves" and label != "still")


def _contradicts(claim: str, label: str, strength_px_s: float) -> bool:
    if claim == "still":
        return label != "still" and strength_px_s >= LEAST_STRENGTH_PX_S
    if label == "still":
        return claim != "handheld"
    return OPPOSITE.get(claim) == label


def contradiction_macro() -> str:
    """SQL that makes the same function, `contradicts_camera(claims, motion, strength, confidence)`."""
    labels = ", ".join(f"'{label}'" for label in DECIDABLE)
    opposite = " ".join(f"when '{label}' then '{other}'" for label, other in OPPOSITE.items())
    return f"""create or replace macro contradicts_camera(claims, motion, strength, confidence) as case
    when motion is null or motion not in ({labels}) or coalesce(confidence, 0) < {LEAST_CONFIDENCE} then null
    when list_has_any(claims, [motion, split_part(motion, ' ', 1)]) then 0.0::double
    when motion <> 'still' and list_contains(claims, 'moves') then 0.0::double
    when motion = 'still' and len(list_filter(claims, lambda claim: claim <> 'handheld')) > 0 then 1.0::double
    when list_contains(claims, 'still') and coalesce(strength, 0) >= {LEAST_STRENGTH_PX_S} then 1.0::double
    when list_contains(claims, case motion {opposite} end) then 1.0::double
end"""
