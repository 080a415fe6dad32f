"""What an English text says of the camera's motion, by patterns of the terms of film crews and captioners."""

from __future__ import annotations

import re

from schemas.words import plain

_HOW = r"(?:(?:\w+ly|a|an|the|bit|little|to|towards?|back|and|then|also|slow|smooth|gentle) )*"
"""Words that can be between a motion and its direction."""
_CAMERA = (
    r"(?:camera|drone|shot|view|frame|picture|image|perspective|lens|it)"
    r" (?:(?:\w+ly|then|also|and|is|that|which|starts to|begins to) )*"
)
_PAN = r"(?:pan(?:s|ned|ning)?|truck(?:s|ed|ing)?|crab(?:s|bing)?)"
_MOVE = r"(?:(?:mov|slid|glid)(?:es?|ing)|(?:drift|sweep|swing|turn|travel)(?:s|ing)?|fl(?:ies|ying))"
_FOLLOW = r"(?:tracks|tracking|follow(?:s|ing)?)"
_RISE = r"(?:tilt(?:s|ed|ing)?|pedestal(?:s|ing)?|cran(?:es?|ing)|boom(?:s|ing)?)"
_ZOOM = r"zoom(?:s|ing)?"
_DOLLY = r"doll(?:y|ies|ying)"
_GO = rf"(?:{_MOVE}|movement|tracks|tracking)"
_UP, _DOWN = r"(?:up|upwards?)", r"(?:down|downwards?)"
_IN, _OUT = (
    r"(?:in(?! (?:front|an?|the|parallel|sync|step)\b)|into|forwards?|closer|nearer)",
    r"(?:out|back|backwards?|away)",
)


def _sideways(way: str, from_other: str) -> tuple[str, ...]:
    return (
        rf"{_PAN} {_HOW}{way}(?:wards?)?",
        rf"{way}(?:ward)? (?:pan|truck|tracking shot)",
        rf"{_CAMERA}(?:{_GO}|{_FOLLOW}) {_HOW}{way}(?:wards?)?",
        rf"tracking (?:shot )?{_HOW}{way}",
        rf"(?:{_CAMERA}{_GO}|{_FOLLOW}|{_PAN})\b[^,.;]{{0,40}} {from_other} to (?:the )?{way}",
    )


PATTERNS: dict[str, tuple[str, ...]] = {
    "still": (
        r"static|stationary|motionless|immobile|unmoving|tripod|locked(?: off| down)?",
        r"fixed(?! (?:up)?on (?:his|her|its|their|the))",
        rf"{_CAMERA}(?:remains?|stays?|stands?|holds?|kept|held|keeps?)? ?(?:\w+ly )?still(?! \w+ing)",
        r"still (?:camera|shot|frame)|stays where it is",
        r"(?:holds|held|remains|stays) (?:in place|steady|put)",
    ),
    "shake": (r"shak(?:es?|ing|y)|wobbl(?:es|ing|y)|jitter(?:s|ing|y)|jerk(?:s|ing|y)",),
    "handheld": (r"hand ?held|trembl(?:es|ing)",),
    "roll": (rf"{_CAMERA}(?:rolls|rotat(?:es|ing)|spins)(?! around)", r"barrel roll"),
    "moves": (
        rf"{_FOLLOW}|(?:dolly|crane|orbit(?:ing)?|gimbal|steadicam) (?:shot|movement)",
        rf"{_CAMERA}(?:{_MOVE}|orbit(?:s|ing)|circl(?:es|ing)|arcs|moving)",
        r"moves (?:along|alongside|with)",
    ),
    "pan": (_PAN,),
    "pan left": _sideways("left", "right"),
    "pan right": _sideways("right", "left"),
    "tilt": (r"tilt(?:s|ing)",),
    "tilt up": (
        rf"(?:{_RISE}|{_CAMERA}{_MOVE}) {_HOW}{_UP}|{_UP} tilt",
        r"tilt\w* (?:\w+ly )?from (?:the )?bottom to (?:the )?top",
        rf"{_CAMERA}(?:ris(?:es|ing)|ascend(?:s|ing)|lifts)",
    ),
    "tilt down": (
        rf"(?:{_RISE}|{_CAMERA}{_MOVE}) {_HOW}{_DOWN}|{_DOWN} tilt",
        r"tilt\w* (?:\w+ly )?from (?:the )?top to (?:the )?bottom",
        rf"{_CAMERA}(?:sink(?:s|ing)|descend(?:s|ing)|lowers)",
    ),
    "zoom": (_ZOOM,),
    "zoom in": (
        rf"(?:{_ZOOM}|push(?:es|ing)?|{_DOLLY}) {_HOW}{_IN}",
        rf"{_CAMERA}{_GO} {_HOW}{_IN}",
        rf"{_CAMERA}(?:approaches|approaching|closes in)|inward zoom",
    ),
    "zoom out": (
        rf"(?:{_ZOOM}|pull(?:s|ing)?|{_DOLLY}) (?:\w+ly )?{_OUT}",
        rf"{_CAMERA}{_GO} (?:\w+ly )?{_OUT}",
        rf"{_CAMERA}(?:retreat(?:s|ing)|reced(?:es|ing)|backs away)|outward zoom",
    ),
}
_CLAIMS = {claim: re.compile("|".join(rf"\b(?:{p})\b" for p in patterns)) for claim, patterns in PATTERNS.items()}
_NOT = r"\b(?:no|without(?: any)?|not|never|neither|zero|\w+n't)"
_UNMOVED = re.compile(rf"{_NOT} (?:\w+ ){{0,2}}?(?:movement|motion|mov(?:e|es|ing))\b")
_BOTH_WAYS = re.compile(
    r"\b(?:left and (?:then )?right|right and (?:then )?left"
    r"|up and (?:then )?down|down and (?:then )?up|in and (?:then )?out"
    r"|back and forth|side to side)\b"
)
_TERM = r"(?:\w+ )?(?:pan|tilt|zoom|shak|roll|track|follow|rotat)\w*"
_NEGATED = re.compile(rf"{_NOT} (?:\w+ )?{_TERM}(?:(?:,| or| and| nor)+ {_TERM})*")


def claims(text: str) -> set[str]:
    """Claims of a text about the camera's motion: keys of `PATTERNS`, the vague ones only if no direction is given."""
    text = _UNMOVED.sub(" static ", plain(text).replace("-", " "))
    text = _BOTH_WAYS.sub(" ", _NEGATED.sub(" ", text))
    found = {claim for claim, pattern in _CLAIMS.items() if pattern.search(text)}
    ways = {claim.split()[0] for claim in found if " " in claim}
    return found - ways - ({"moves"} if ways else set())
