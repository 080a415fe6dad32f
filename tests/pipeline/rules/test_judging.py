"""Decisions from scores: every reason, nothing accepted unmeasured, duplicates among survivors; captions likewise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.rules.captions import verdicts_on_captions
from pipeline.rules.clips import decide, verdicts_on_clips
from pipeline.rules.effects import rule_effects
from pipeline.rules.judging import Verdicts
from schemas import CAPTIONS
from schemas.rules import Rule, reasons_against

WANTED = {"technical": "t1", "motion": "m1", "overlay_text": "o1"}
RULES = {
    "short": Rule("duration_s", "too_short", min=2.0),
    "dark": Rule("brightness", "too_dark", min=0.1),
    "still": Rule("motion_px_s", "still", min=1.0),
    "text": Rule("overlay_text_frac", "overlay_text", max=0.02),
}


def scored(*rows: Mapping[str, Any]) -> pa.Table:
    """Rows of the view `scored` with good scores, changed by each mapping; clips are named a, b, c and so on."""
    good = {
        "duration_s": 5.0,
        "brightness": 0.5,
        "motion_px_s": 3.0,
        "overlay_text_frac": 0.0,
        **{f"has_{name}": fingerprint for name, fingerprint in WANTED.items()},
        **dict.fromkeys(f"{fact}_{name}" for name in WANTED for fact in ("failed", "failure", "final")),
    }
    full = [{"clip_id": chr(ord("a") + i), **good, **row} for i, row in enumerate(rows)]
    columns = {name: [row[name] for row in full] for name in full[0]}
    types = {"duration_s": pa.float64(), "brightness": pa.float64()}
    types |= {"motion_px_s": pa.float64(), "overlay_text_frac": pa.float64()}
    types |= {f"final_{name}": pa.bool_() for name in WANTED}
    return pa.table({name: pa.array(values, types.get(name, pa.string())) for name, values in columns.items()})


def failed(name: str, why: str, *, final: bool = True) -> dict[str, Any]:
    """A measure could not be taken as it is wanted; what was taken otherwise before is still there."""
    return {f"has_{name}": "before", f"failed_{name}": WANTED[name], f"failure_{name}": why, f"final_{name}": final}


def no_duplicates(_: Sequence[str]) -> dict[str, int]:
    return {}


def outcome(verdicts: Verdicts) -> list[tuple[str, list[str]]]:
    return list(zip(verdicts.statuses, verdicts.reasons, strict=True))


def effects_of(verdicts: Verdicts) -> dict[str, tuple[int, int, int]]:
    return {name: (e.rejects, e.alone, e.stay) for name, e in rule_effects(verdicts).items()}


def test_all_reasons_that_apply_are_given() -> None:
    table = scored({}, {"brightness": 0.05, "duration_s": 1.0}, {"motion_px_s": None})
    assert outcome(verdicts_on_clips(table, RULES, WANTED, no_duplicates)) == [
        ("kept", []),
        ("rejected", ["too_short", "too_dark"]),
        ("kept", []),
    ]


def test_what_was_not_measured_or_otherwise_measured_is_never_passed() -> None:
    nothing = {"has_overlay_text": None, "overlay_text_frac": None}
    table = scored(
        nothing,
        {"has_motion": "m0"},
        nothing | {"duration_s": 1.0},
        {"overlay_text_frac": None, **failed("overlay_text", "frames: gone")},
        {"overlay_text_frac": None, **failed("overlay_text", "frames: gone"), "brightness": 0.0},
        failed("motion", "a server", final=False),
    )
    assert outcome(verdicts_on_clips(table, RULES, WANTED, no_duplicates)) == [
        ("pending", ["unmeasured: overlay_text"]),
        ("pending", ["unmeasured: motion"]),
        ("rejected", ["too_short"]),
        ("failed", ["overlay_text: frames: gone"]),
        ("rejected", ["too_dark"]),
        ("pending", ["unmeasured: motion"]),
    ]


def test_a_measure_that_no_rule_needs_may_be_missing() -> None:
    rules = {name: rule for name, rule in RULES.items() if name != "text"}
    table = scored({"has_overlay_text": None}, failed("overlay_text", "broken"))
    assert verdicts_on_clips(table, rules, WANTED, no_duplicates).statuses == ["kept", "kept"]


def test_duplicates_are_judged_among_the_clips_that_other_rules_leave() -> None:
    """Of the group a, b, c the first would be kept, but it is too dark; so b is."""

    def rank(survivors: Sequence[str]) -> dict[str, int]:
        return {clip_id: place for place, clip_id in enumerate(c for c in survivors if c in "abc")}

    rules = {"duplicates": Rule("duplicate_rank", "duplicate", max=0), **RULES}
    verdicts = verdicts_on_clips(scored({"brightness": 0.0}, {}, {}, {}), rules, WANTED, rank)
    assert outcome(verdicts) == [("rejected", ["too_dark"]), ("kept", []), ("rejected", ["duplicate"]), ("kept", [])]
    assert list(verdicts.rejected_by) == list(rules)


def test_a_clip_that_failed_or_is_rejected_is_never_the_one_kept_of_its_duplicates() -> None:
    """One whose measures are yet to be taken takes part, since it may be kept."""
    asked = []

    def rank(survivors: Sequence[str]) -> dict[str, int]:
        asked.append(list(survivors))
        return {clip_id: place for place, clip_id in enumerate(survivors)}

    rules = {**RULES, "duplicates": Rule("duplicate_rank", "duplicate", max=0)}
    table = scored(failed("motion", "gone"), {"brightness": 0.0}, {"has_motion": None}, {})
    assert outcome(verdicts_on_clips(table, rules, WANTED, rank)) == [
        ("failed", ["motion: gone"]),
        ("rejected", ["too_dark"]),
        ("pending", ["unmeasured: motion"]),
        ("rejected", ["duplicate"]),
    ]
    assert asked == [["c", "d"]]


def test_every_measure_that_failed_is_named() -> None:
    table = scored(failed("motion", "gone") | failed("overlay_text", "stuck") | {"has_technical": None})
    assert outcome(verdicts_on_clips(table, RULES, WANTED, no_duplicates)) == [
        ("failed", ["motion: gone", "overlay_text: stuck"])
    ]


def test_effects_count_what_a_rule_does_alone_and_what_stays_behind_it() -> None:
    table = scored({}, {"brightness": 0.0}, {"brightness": 0.0, "duration_s": 1.0}, {"motion_px_s": 0.1})
    effects = effects_of(verdicts_on_clips(table, RULES, WANTED, no_duplicates))
    assert effects == {"short": (1, 0, 3), "dark": (2, 1, 2), "still": (1, 1, 1), "text": (0, 0, 1)}


def test_a_clip_just_scanned_is_pending_until_its_clip_measures_are_taken() -> None:
    row = {"duration_s": 5.0, "brightness": 0.5, "motion_px_s": 3.0}
    assert decide(row, RULES) == {"status": "pending", "reasons": ["unmeasured: overlay_text"]}
    assert decide(row | {"brightness": 0.0}, RULES) == {"status": "rejected", "reasons": ["too_dark"]}
    cheap = {name: rule for name, rule in RULES.items() if name != "text"}
    assert decide(row, cheap) == {"status": "kept", "reasons": []}


def test_no_rules_keep_everything() -> None:
    assert verdicts_on_clips(scored({}, {}), {}, WANTED, no_duplicates).statuses == ["kept", "kept"]


CAPTION_RULES = {
    "few": Rule("num_words", "too_short", min=4),
    "many": Rule("num_words", "too_short", max=50),
    "padded": Rule("padding_frac", "padding", max=0.04),
    "name": Rule("captioner_name", "untrusted", reject=("toy",)),
}


def test_captions_are_judged_as_when_they_were_written(caption_row) -> None:
    """Null is not judged, NaN passes no rule; a reason is given once; a failure keeps its reason."""
    nan = float("nan")
    rows = [
        caption_row("a"),
        caption_row("b", num_words=2, padding_frac=0.1, captioner_name="toy", status="ok"),
        caption_row("c", num_words=None, padding_frac=nan),
        caption_row("d", status="rejected", reasons=["some old rule"]),
        caption_row("e", status="failed", reasons=["frames: gone"], num_words=None, captioner_name="toy"),
        caption_row("a", "cap1", num_words=3),
    ]
    verdicts = verdicts_on_captions(CAPTIONS.encode(rows), CAPTION_RULES)
    assert outcome(verdicts) == [
        ("ok", []),
        ("rejected", ["too_short", "padding", "untrusted"]),
        ("rejected", ["padding"]),
        ("ok", []),
        ("failed", ["frames: gone"]),
        ("rejected", ["too_short"]),
    ]
    written = [row for row in rows if row["status"] != "failed"]
    judged = [why for why, row in zip(verdicts.reasons, rows, strict=True) if row["status"] != "failed"]
    assert judged == [reasons_against(CAPTION_RULES, row) for row in written]
    assert verdicts.accepted == {("a", "cap0"), ("d", "cap0")}
    assert effects_of(verdicts) == {"few": (2, 1, 4), "many": (0, 0, 4), "padded": (2, 1, 3), "name": (1, 0, 3)}


def test_no_captions_and_no_rules(caption_row) -> None:
    assert outcome(verdicts_on_captions(CAPTIONS.encode([]), CAPTION_RULES)) == []
    assert outcome(verdicts_on_captions(CAPTIONS.encode([caption_row("a", num_words=0)]), {})) == [("ok", [])]
