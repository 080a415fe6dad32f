"""Decisions from scores: every reason, nothing accepted unmeasured, duplicates among survivors; captions likewise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipeline.measure.registry import clip_measure_fingerprints, stream_fingerprints
from pipeline.rules.captions import judge_captions
from pipeline.rules.clips import judge_clips
from pipeline.rules.effects import num_only_in, rule_effects
from pipeline.rules.judging import Verdicts
from schemas import CAPTIONS
from schemas.recipe import Recipe
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.rules import Rule, reasons_against

DEFAULT = Recipe()
WANTED = stream_fingerprints(DEFAULT.measure) | clip_measure_fingerprints(DEFAULT)
NAMES = ("technical", "motion", "overlay_text")
RULES = {
    "short": Rule("duration_s", "too_short", min=2.0),
    "dark": Rule("brightness", "too_dark", min=0.1),
    "still": Rule("motion_px_s", "still", min=1.0),
    "text": Rule("overlay_text_frac", "overlay_text", max=0.02),
}
FAILURE = pa.struct(
    [("measure", pa.string()), ("failure", pa.string()), ("transient", pa.bool_()), ("num_failures", pa.int32())]
)
TYPES = {name: pa.float64() for name in ("duration_s", "brightness", "motion_px_s", "overlay_text_frac", "sharpness")}
TYPES |= {f"failed_{name}": FAILURE for name in NAMES} | {"content_box": pa.list_(pa.int32())}
TYPES |= {"width": pa.int32(), "height": pa.int32(), "reasons": pa.list_(pa.string())}


def judge(
    rows: Sequence[Mapping[str, Any]], rules: Mapping[str, Rule], groups: Mapping[str, str] | None = None, **kinds: str
) -> Verdicts:
    """Judge clips with good scores, changed by each mapping; they are named a, b, c and so on.

    Args:
        groups: the clips of each group of duplicates.
        kinds: the kind of those groups that are not `near`.
    """
    good = {"duration_s": 5.0, "brightness": 0.5, "motion_px_s": 3.0, "overlay_text_frac": 0.0, "sharpness": None}
    good |= {"width": 100, "height": 50, "content_box": None, "status": "pending", "reasons": []}
    good |= {f"has_{name}": WANTED[name] for name in NAMES} | {f"failed_{name}": None for name in NAMES}
    full = [{"clip_id": chr(ord("a") + i), **good, **row} for i, row in enumerate(rows)]
    columns = {name: pa.array([row[name] for row in full], TYPES.get(name, pa.string())) for name in full[0]}
    members = [(kinds.get(group, "near"), group, clip) for group, clips in (groups or {}).items() for clip in clips]
    connection = duckdb.connect()
    connection.register("scored", pa.table(columns))
    connection.register("clips_raw", pa.table(columns))
    names = ("kind", "group_id", "clip_id")
    connection.register(
        "duplicates", pa.table({n: pa.array([m[i] for m in members], pa.string()) for i, n in enumerate(names)})
    )
    return judge_clips(connection, Recipe(rules=dict(rules), duplicates=DuplicatesConfig(kinds=("near", "semantic"))))


def failed(name: str, why: str, *, final: bool = True) -> dict[str, Any]:
    """A measure could not be taken as it is wanted; what was taken otherwise before is still there."""
    failure = {"measure": WANTED[name], "failure": why, "transient": not final, "num_failures": 1}
    return {f"has_{name}": "before", f"failed_{name}": failure}


def outcome(verdicts: Verdicts) -> list[tuple[str, list[str]]]:
    keys = ", ".join(verdicts.subject.key)
    return verdicts.connection.execute(f"select status, reasons from {verdicts.table} order by {keys}").fetchall()


def effects_of(verdicts: Verdicts) -> dict[str, tuple[int, int, int]]:
    return {name: (e.rejects, e.alone, e.stay) for name, e in rule_effects(verdicts).items()}


def test_all_reasons_that_apply_are_given() -> None:
    assert outcome(judge([{}, {"brightness": 0.05, "duration_s": 1.0}, {"motion_px_s": None}], RULES)) == [
        ("kept", []),
        ("rejected", ["too_short", "too_dark"]),
        ("kept", []),
    ]


def test_a_reason_that_two_rules_give_is_given_once_at_its_first_place() -> None:
    rules = {"a": Rule("brightness", "light", min=0.1), **RULES, "b": Rule("brightness", "light", max=0.2)}
    assert outcome(judge([{"brightness": 0.0}, {}, {"motion_px_s": 0.0}], rules)) == [
        ("rejected", ["light", "too_dark"]),
        ("rejected", ["light"]),
        ("rejected", ["light", "still"]),
    ]


def test_what_was_not_measured_or_otherwise_measured_is_never_passed() -> None:
    nothing = {"has_overlay_text": None, "overlay_text_frac": None}
    rows = [
        nothing,
        {"has_motion": "m0"},
        nothing | {"duration_s": 1.0},
        {"overlay_text_frac": None, **failed("overlay_text", "frames: gone")},
        {"overlay_text_frac": None, **failed("overlay_text", "frames: gone"), "brightness": 0.0},
        failed("motion", "a server", final=False),
    ]
    assert outcome(judge(rows, RULES)) == [
        ("pending", ["unmeasured: overlay_text"]),
        ("pending", ["unmeasured: motion"]),
        ("rejected", ["too_short"]),
        ("failed", ["overlay_text: frames: gone"]),
        ("rejected", ["too_dark"]),
        ("pending", ["unmeasured: motion"]),
    ]


def test_a_failure_to_measure_otherwise_than_is_wanted_now_does_not_count() -> None:
    rows = [failed("motion", "gone")]
    rows[0]["failed_motion"]["measure"] = "before"
    assert outcome(judge(rows, RULES)) == [("pending", ["unmeasured: motion"])]


def test_a_measure_that_no_rule_needs_may_be_missing() -> None:
    rules = {name: rule for name, rule in RULES.items() if name != "text"}
    verdicts = judge([{"has_overlay_text": None}, failed("overlay_text", "broken")], rules)
    assert verdicts.counts == {"kept": 2}


def test_duplicates_are_judged_among_the_clips_that_other_rules_leave() -> None:
    """Of the group a, b, c the first would be kept, but it is too dark; so b is."""
    rules = {"duplicates": Rule("duplicate_rank", "duplicate", max=0), **RULES}
    verdicts = judge([{"brightness": 0.0}, {}, {}, {}], rules, {"a": "abc"})
    assert outcome(verdicts) == [("rejected", ["too_dark"]), ("kept", []), ("rejected", ["duplicate"]), ("kept", [])]
    assert effects_of(verdicts)["duplicates"] == (1, 1, 3)


def test_a_clip_that_failed_or_is_rejected_is_never_the_one_kept_of_its_duplicates() -> None:
    """One whose measures are yet to be taken takes part, since it may be kept."""
    rules = {**RULES, "duplicates": Rule("duplicate_rank", "duplicate", max=0)}
    rows = [failed("motion", "gone"), {"brightness": 0.0}, {"has_motion": None}, {}]
    assert outcome(judge(rows, rules, {"a": "abcd"})) == [
        ("failed", ["motion: gone"]),
        ("rejected", ["too_dark"]),
        ("pending", ["unmeasured: motion"]),
        ("rejected", ["duplicate"]),
    ]


def test_every_measure_that_failed_is_named() -> None:
    rows = [failed("motion", "gone") | failed("overlay_text", "stuck") | {"has_technical": None}]
    assert outcome(judge(rows, RULES)) == [("failed", ["motion: gone", "overlay_text: stuck"])]


def test_effects_count_what_a_rule_does_alone_and_what_stays_behind_it() -> None:
    rows = [{}, {"brightness": 0.0}, {"brightness": 0.0, "duration_s": 1.0}, {"motion_px_s": 0.1}]
    effects = effects_of(judge(rows, RULES))
    assert effects == {"short": (1, 0, 3), "dark": (2, 1, 2), "still": (1, 1, 1), "text": (0, 0, 1)}


def test_no_rules_keep_everything() -> None:
    verdicts = judge([{}, {}], {})
    assert outcome(verdicts) == [("kept", []), ("kept", [])]
    assert (verdicts.num_rows, effects_of(verdicts)) == (2, {})


VALUES = [None, -1.0, 0.0, 0.999, 1.0, 1.5, 2.0, 2.001, float("inf"), float("-inf"), float("nan")]


@pytest.mark.parametrize(
    "rule", [Rule("x", "r", min=1.0), Rule("x", "r", max=2.0), Rule("x", "r", min=1.0, max=2.0)], ids=str
)
def test_rules_in_sql_reject_what_they_reject_in_python(rule: Rule) -> None:
    found = duckdb.sql(f"select {rule.rejects_sql} from (select unnest(?::double[]) as x)", params=[VALUES]).fetchall()
    assert [rejected for (rejected,) in found] == [rule.rejects({"x": value}) for value in VALUES]


def test_texts_and_truth_values_are_rejected_in_sql_as_they_are_in_python() -> None:
    texts = Rule("x", "r", reject=("pan", "it's"))
    values = ["pan", "it's", "still", "", None]
    query = f"select {texts.rejects_sql} from (select unnest(?::varchar[]) as x)"
    found = duckdb.sql(query, params=[values]).fetchall()
    assert [rejected for (rejected,) in found] == [texts.rejects({"x": value}) for value in values]
    is_true = Rule("x", "r", max=0)
    found = duckdb.sql(f"select {is_true.rejects_sql} from (values (true), (false), (null)) t(x)").fetchall()
    assert found == [(True,), (False,), (False,)]


@pytest.mark.parametrize(
    ("keep", "expected"), [("largest", "acbd"), ("longest", "cbda"), ("sharpest", "cabd")], ids=lambda value: value
)
def test_the_preferred_duplicate_is_kept_and_ties_go_to_the_next_preference(keep: Any, expected: str) -> None:
    """The best of those that are left is taken away until none is: that is their order."""
    rows = [
        {"content_box": [0, 0, 30, 10], "duration_s": 1.0, "sharpness": 5.0},
        {"content_box": [0, 0, 20, 10], "duration_s": 3.0, "sharpness": 5.0},
        {"content_box": None, "width": 20, "height": 10, "duration_s": 3.0, "sharpness": 9.0},
        {"content_box": [0, 0, 10, 10], "duration_s": 2.0, "sharpness": float("nan")},
    ]
    connection = judge(rows, {}, {"a": "abcd"}).connection
    order = ""
    while len(order) < len(rows):
        taken = Rule("clip_id", "taken", reject=tuple(order) or ("none",))
        rules = {"one": Rule("duplicate_rank", "duplicate", max=0), "taken": taken}
        verdicts = judge_clips(connection, Recipe(rules=rules, duplicates=DuplicatesConfig(keep=keep)))
        ((best,),) = connection.execute(f"from {verdicts.accepted}").fetchall()
        order += best
    assert order == expected


def test_every_group_keeps_one_clip_across_kinds() -> None:
    """`a` beats `b` and falls to `c`, which is of the other kind; `b` must not fall to the fallen `a` alone."""
    rows = [{"duration_s": 9.0}, {"duration_s": 5.0}, {}, {"duration_s": 4.0}]
    rules = {"one": Rule("duplicate_rank", "duplicate", max=0)}
    verdicts = judge(rows, rules, {"b": "bd", "a": "ab"}, a="semantic")
    assert [status for status, _ in outcome(verdicts)] == ["kept", "rejected", "kept", "rejected"]
    only_near = judge(rows, rules, {"b": "bd", "a": "ab"}, a="content")
    assert [status for status, _ in outcome(only_near)] == ["kept", "kept", "kept", "rejected"]


def test_rows_that_one_recipe_accepts_and_the_other_does_not_are_counted() -> None:
    before = judge([{}, {"brightness": 0.0}, {"motion_px_s": 0.0}], RULES)
    after = judge_clips(before.connection, Recipe(rules={"dark": RULES["dark"]}))
    assert (num_only_in(after, before), num_only_in(before, after)) == (1, 0)


CAPTION_RULES = {
    "few": Rule("num_words", "too_short", min=4),
    "many": Rule("num_words", "too_short", max=50),
    "padded": Rule("padding_frac", "padding", max=0.04),
    "name": Rule("captioner_name", "untrusted", reject=("toy",)),
}


def judged_captions(rows: Sequence[Mapping[str, Any]], rules: Mapping[str, Rule]) -> Verdicts:
    """Of rows as the view `captions` has them."""
    connection = duckdb.connect()
    facts = [{name: row[name] for name in ("status", "reasons")} for row in rows]
    captions = CAPTIONS.encode([{name: row[name] for name in CAPTIONS.schema.names} for row in rows])
    for name, kind in {"status": pa.string(), "reasons": pa.list_(pa.string())}.items():
        captions = captions.append_column(name, pa.array([fact[name] for fact in facts], kind))
    connection.register("captions", captions)
    connection.register("clips_raw", captions)
    return judge_captions(connection, Recipe(caption_rules=dict(rules)))


def test_captions_are_judged_as_when_they_were_written(caption_row) -> None:
    """Null is not judged, NaN passes no rule; a reason is given once; a failure keeps its reason."""
    nan = float("nan")
    rows = [
        caption_row("a"),
        caption_row("b", num_words=2, padding_frac=0.1, captioner_name="toy", status="ok"),
        caption_row("c", num_words=None, padding_frac=nan),
        caption_row("d", status="rejected", reasons=["some old rule"]),
        caption_row("e", status="failed", reasons=["frames: gone"], num_words=None, captioner_name="toy"),
        caption_row("f", "cap1", num_words=3),
    ]
    verdicts = judged_captions(rows, CAPTION_RULES)
    found = outcome(verdicts)
    assert found == [
        ("ok", []),
        ("rejected", ["too_short", "padding", "untrusted"]),
        ("rejected", ["padding"]),
        ("ok", []),
        ("failed", ["frames: gone"]),
        ("rejected", ["too_short"]),
    ]
    for (_, reasons), row in zip(found, rows, strict=True):
        assert row["status"] == "failed" or reasons == reasons_against(CAPTION_RULES, row)
    accepted = verdicts.connection.execute(f"from {verdicts.accepted} order by all").fetchall()
    assert accepted == [("a", "cap0"), ("d", "cap0")]
    assert effects_of(verdicts) == {"few": (2, 1, 4), "many": (0, 0, 4), "padded": (2, 1, 3), "name": (1, 0, 3)}


def test_no_captions_and_no_rules(caption_row) -> None:
    assert outcome(judged_captions([], CAPTION_RULES)) == []
    assert outcome(judged_captions([caption_row("a", num_words=0)], {})) == [("ok", [])]
