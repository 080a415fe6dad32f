"""Which options of `reelmill sample` go together."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.errors import UsageError

SOURCES = ("--image", "--video")
NEEDS = {
    "--strength": (SOURCES, "that is edited"),
    "--region": (SOURCES, "that is edited"),
    "--backwards": (SOURCES, "that it leads up to"),
    "--blend": (SOURCES, "that it starts as"),
    "--context": (("--window",), "whose context it is"),
}
"""What an option is of, one of these, and why."""
APART = (
    ("--image", "--video"),
    ("--loop", "--image", "--video", "--last", "--window"),
    ("--window", "--strength", "--region", "--last", "--backwards", "--blend"),
    ("--backwards", "--strength", "--region", "--last", "--blend"),
    ("--blend", "--region", "--last"),
)
"""The first goes with none of the others."""


def require_possible(given: Mapping[str, object]) -> None:
    """Check which options are given together.

    Args:
        given: by the names of options, what they are set to, if to anything.
    Raises:
        UsageError: they do not go together, or one lacks what it is of.
    """
    names = {name for name, value in given.items() if value is not None and value is not False}
    for one, *others in APART:
        for other in others:
            if {one, other} <= names:
                raise UsageError(f"{one} and {other} do not go together: leave one out")
    for name, (wanted, why) in NEEDS.items():
        if name in names and not names & set(wanted):
            raise UsageError(f"{name}: give the {' or '.join(wanted)} {why}")
