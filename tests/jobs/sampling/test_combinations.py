"""Options that do not go together are refused in a line that names them."""

from __future__ import annotations

import pytest

from jobs.sampling.combinations import APART, NEEDS, require_possible
from schemas.errors import UsageError

SETTINGS: dict[str, object] = {
    **{"--image": "a.png", "--video": "a.mp4", "--last": "b.png", "--blend": "b.mp4"},
    **{"--backwards": True, "--strength": 0.0, "--region": (0, 0, 8, 8), "--loop": True},
    **{"--window": 1.0, "--context": "fdm"},
}
POSSIBLE = [
    {"--loop"},
    {"--last"},
    {"--image", "--last"},
    {"--video", "--backwards"},
    {"--image", "--backwards"},
    {"--video", "--blend"},
    {"--video", "--blend", "--strength"},
    {"--video", "--strength"},
    {"--video", "--strength", "--region"},
    {"--window"},
    {"--video", "--window", "--context"},
]


@pytest.mark.parametrize("names", POSSIBLE, ids=lambda names: " ".join(sorted(names)))
def test_what_is_possible_is_let_through(names: set[str]) -> None:
    require_possible({name: SETTINGS[name] if name in names else None for name in SETTINGS})
    require_possible({name: SETTINGS[name] if name in names else False for name in SETTINGS})


@pytest.mark.parametrize("row", APART, ids=" ".join)
def test_what_excludes_another_is_named_with_it(row: tuple[str, ...]) -> None:
    one, *others = row
    for other in others:
        with pytest.raises(UsageError, match=f"^{one} and {other} do not go together"):
            require_possible({one: SETTINGS[one], other: SETTINGS[other]})


@pytest.mark.parametrize("name", NEEDS)
def test_what_is_of_another_is_not_given_alone(name: str) -> None:
    wanted, why = NEEDS[name]
    with pytest.raises(UsageError, match=f"^{name}: give the {' or '.join(wanted)} {why}"):
        require_possible({name: SETTINGS[name]})
