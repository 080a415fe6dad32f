"""Duplicates: edits of synthetic clips through real files, and groups, ranks and clusters with known answers."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from pipeline.dedup import matching, semantic
from pipeline.dedup.candidates import NEIGHBOURS, CandidateSearch
from pipeline.dedup.groups import component_labels, components, find_groups
from pipeline.dedup.hashes import HashedClips
from pipeline.dedup.search import ALL_PAIRS, Pair, grouping_of, near_pairs, pair_table
from pipeline.dedup.semantic import close_pairs, cluster_embeddings
from pipeline.synthetic.edited_copies import KINDS, edited_copy
from schemas.recipe.duplicates import DuplicatesConfig
from schemas.tables.duplicates import CONTENT, DUPLICATES, NEAR
from tests.bench.copies import as_table, fingerprints, write_drawn_clip

CONFIG = DuplicatesConfig()
SCENES = (0, 40)
SIZE = (160, 96)


def row(clip_id: str, contrasts: np.ndarray, *, step_s: float = 0.25, **fields: Any) -> dict[str, Any]:
    """A clip of the fingerprints table that shows (T, 64) int8 contrasts, one after `step_s`."""
    hashes = np.packbits(contrasts > 0, axis=1)
    times_us = [round(index * step_s * 1e6) for index in range(len(contrasts))]
    return {
        "clip_id": clip_id,
        "video_id": clip_id,
        "shot_index": 0,
        "duration_s": len(contrasts) * step_s,
        "content_digest": clip_id,
        "video_hash": hashes.tobytes(),
        "video_hash_contrasts": contrasts.tobytes(),
        "video_hash_times_us": times_us,
    } | fields


def scene(seed: int, num_frames: int = 12) -> np.ndarray:
    """Contrasts of a clip in which everything changes all the time, (T, 64) int8."""
    return np.random.default_rng(seed).integers(-40, 41, (num_frames, 64)).astype(np.int8)


def find_duplicates(clips: pa.Table, config: DuplicatesConfig = CONFIG) -> list[dict[str, Any]]:
    """Rows of `duplicates` for clips that are all new."""
    return group_rows(clips, near_pairs(HashedClips.of(clips), config), grouping_of(config))


def group_rows(clips: pa.Table, near: Iterable[Pair], grouping: str) -> list[dict[str, Any]]:
    """Rows of `duplicates` for pairs, sorted."""
    connection = duckdb.connect()
    connection.register("fingerprinted", clips)
    connection.register("near_pairs", pair_table(near))
    connection.register("semantic_pairs", pair_table([]))
    found = find_groups(connection, ALL_PAIRS, grouping)
    return connection.sql(f"from {found} order by all").to_arrow_table().to_pylist()


def candidates(clips: HashedClips) -> list[list[int]]:
    """Pairs of places among clips that are all new."""
    with CandidateSearch(len(clips)) as search:
        search.add(np.arange(len(clips)), clips.frame_hashes)
        return [pair for pairs in search.pairs() for pair in pairs.tolist()]


def near(rows: list[dict[str, Any]], config: DuplicatesConfig = CONFIG) -> dict[str, str]:
    """clip -> group of the near duplicates among rows."""
    found = find_duplicates(as_table(rows), config)
    return {each["clip_id"]: each["group_id"] for each in found if each["kind"] == NEAR}


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Fingerprints of two synthetic clips and their twelve copies each."""
    folder = tmp_path_factory.mktemp("edited")
    sources = [write_drawn_clip(folder, number, size=SIZE) for number in SCENES]
    files = [*sources, *(edited_copy(kind, source, folder) for source in sources for kind in KINDS)]
    return [fingerprints(path)[0] for path in files]


def test_all_edits_of_a_clip_are_one_group_and_other_clips_are_none(edited: list[dict[str, Any]]) -> None:
    groups = near(edited)
    assert {clip_id: group for clip_id, group in groups.items() if clip_id.split(".")[0] != group} == {}
    assert len(groups) == len(SCENES) * (1 + len(KINDS))


def test_a_container_change_alone_leaves_the_content_equal(edited: list[dict[str, Any]]) -> None:
    rows = find_duplicates(as_table(edited))
    content = [each for each in rows if each["kind"] == CONTENT]
    assert {each["clip_id"].partition(".")[2] for each in content} == {"", "container"}
    assert {each["group_size"] for each in content} == {2}


def test_a_mirrored_copy_is_marked_and_a_faster_one_has_its_rate(edited: list[dict[str, Any]]) -> None:
    pair = [each for each in edited if each["clip_id"] in ("drawn040", "drawn040.mirror", "drawn040.faster")]
    rows = {each["clip_id"]: each for each in find_duplicates(as_table(pair))}
    assert rows["drawn040.mirror"]["mirrored"]
    assert rows["drawn040.faster"]["rate"] == pytest.approx(1.1, abs=0.05)
    DUPLICATES.unstamped(rows.values())


@pytest.mark.parametrize("comparisons", [50, 4_000_000])
def test_many_pairs_are_looked_through_as_one_is(
    edited: list[dict[str, Any]], comparisons: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None that has an orientation is left out, whatever its length; and most of those that have none are."""
    monkeypatch.setattr(matching, "COMPARISONS_AT_A_TIME", comparisons)
    random = np.random.default_rng(0)
    unlike = [row(f"unlike {length}", scene(length, length)) for length in (1, 2, 5, 24, 50)]
    long = scene(90, 40)
    long_ones = [row("long", long), row("turned long", np.concatenate([long[1::2], long[::2]]))]
    bare = row("bare", scene(0, 0))
    masked = [scene(seed, 9) * (random.random((9, 64)) < 0.1).astype(np.int8) for seed in (70, 70, 71)]
    sparse = [row(f"sparse {number}", contrasts) for number, contrasts in enumerate(masked)]
    clips = HashedClips.of(as_table([*edited, *unlike, *long_ones, bare, *sparse]))
    pairs = random.permutation(np.argwhere(np.tri(len(clips), k=-1, dtype=bool)))
    alike = matching.perhaps_alike(clips.frame_hashes, pairs)
    frames = [clips.frames(number) for number in range(len(clips))]
    filled = [frames[one].stop > frames[one].start and frames[other].stop > frames[other].start for one, other in pairs]
    oriented = [
        has_frames and matching._orientation(clips, frames[one], frames[other]) is not None
        for has_frames, (one, other) in zip(filled, pairs.tolist(), strict=True)
    ]
    assert 100 < sum(oriented) < len(pairs) // 2
    assert not (np.array(oriented) & ~alike).any()
    assert alike.sum() <= 1.05 * sum(oriented)
    assert matching.perhaps_alike(clips.frame_hashes, pairs[:0]).tolist() == []


def test_parts_of_a_moving_shot_are_not_duplicates(tmp_path: Path) -> None:
    parts = [part for number in SCENES for part in fingerprints(write_drawn_clip(tmp_path, number, size=SIZE), (0.5,))]
    assert len(parts) == 4
    assert near(parts) == {}


def test_parts_of_a_shot_in_which_nothing_moves_are_duplicates() -> None:
    still = np.repeat(scene(1, 1), 8, axis=0)
    assert near([row("a", still), row("b", still.copy())]) == {"a": "a", "b": "a"}


def test_parts_of_one_shot_are_held_to_a_stricter_distance_than_other_clips() -> None:
    contrasts = scene(8)
    noisy = np.clip(contrasts + np.random.default_rng(2).integers(-5, 6, contrasts.shape), -127, 127).astype(np.int8)
    assert near([row("a", contrasts), row("b", noisy)]) == {"a": "a", "b": "a"}
    assert near([row("a", contrasts), row("b", noisy, video_id="a")]) == {}
    assert near([row("a", contrasts), row("b", noisy, video_id="a", shot_index=1)]) == {"a": "a", "b": "a"}


def test_frames_in_another_order_are_not_a_copy() -> None:
    contrasts = scene(2)
    assert near([row("a", contrasts), row("b", contrasts.copy())]) == {"a": "a", "b": "a"}
    assert near([row("a", contrasts), row("b", contrasts[::-1].copy())]) == {}


def test_a_part_that_is_too_short_of_both_is_not_a_copy() -> None:
    contrasts = scene(3, 20)
    assert near([row("a", contrasts[:14]), row("b", contrasts[1:])]) == {"a": "a", "b": "a"}
    assert near([row("a", contrasts[:14]), row("b", contrasts[8:])]) == {}


def test_slow_change_is_distinguished_from_a_copy() -> None:
    """The second half is near the first half's end, and a copy of neither."""
    one, other = scene(4, 2).astype(float)
    slow = np.linspace(one, one + (other - one) * 0.4, 24).astype(np.int8)
    noisy = np.clip(slow + np.random.default_rng(0).integers(-1, 2, slow.shape), -127, 127).astype(np.int8)
    assert near([row("a", slow[:12]), row("b", slow[12:])]) == {}
    assert near([row("a", slow[:12]), row("b", noisy[:12])]) == {"a": "a", "b": "a"}


def test_images_are_held_to_a_stricter_distance_and_never_match_a_video() -> None:
    one = np.repeat(scene(5, 1), 4, axis=0)
    noisy = np.clip(one + np.random.default_rng(1).integers(-7, 8, one.shape), -127, 127).astype(np.int8)
    video = near([row("a", one), row("b", noisy)])
    assert video == {"a": "a", "b": "a"}
    still = {"duration_s": None}
    assert near([row("a", one[:1], **still), row("b", one[:1], **still)]) == {"a": "a", "b": "a"}
    assert near([row("a", one[:1], **still), row("b", noisy[:1], **still)]) == {}
    assert near([row("a", one[:1], **still), row("b", one)]) == {}


def test_a_clip_without_fingerprint_is_in_no_group_and_changes_none() -> None:
    contrasts = scene(6)
    empty = row("e", contrasts[:0]) | {"content_digest": None, "video_hash": None, "video_hash_times_us": None}
    rows = [row("a", contrasts), empty | {"video_hash_contrasts": None}, row("z", contrasts.copy())]
    assert near(rows) == {"a": "a", "z": "a"}
    assert near([row("a", contrasts), row("f", contrasts[:0]), row("g", contrasts[:0])]) == {}
    assert find_duplicates(as_table([])) == []


def test_order_of_rows_does_not_matter() -> None:
    rows = [row(f"{seed}{copy}", scene(seed)) for seed in range(10, 16) for copy in "ab"]
    expected = find_duplicates(as_table(rows))
    assert len({each["group_id"] for each in expected}) == 6
    random.Random(0).shuffle(rows)
    assert find_duplicates(as_table(rows)) == expected


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("num_changed_bands", range(4))
def test_frames_are_candidates_if_two_bands_of_any_hash_are_equal_mirrored_or_not(
    num_changed_bands: int, mirror: bool
) -> None:
    """Whole bands are negated: grid rows 0 and 1, 2 and 3 and so on."""
    frame = scene(9, 1)
    changed = frame.reshape(-1, 4, 2, 8).copy()
    changed[:, :num_changed_bands] = -changed[:, :num_changed_bands]
    changed = changed[..., ::-1] if mirror else changed
    clips = HashedClips.of(as_table([row("a", frame), row("b", changed.reshape(-1, 64).copy())]))
    assert candidates(clips) == ([[0, 1]] if num_changed_bands <= 2 else [])


def test_only_pairs_with_a_new_clip_are_candidates() -> None:
    """Few new clips among many: of those only the ones that share a key with a new one are looked at."""
    rows = [row(f"{number:02}", scene(number % 10)) for number in range(30)]
    clips = HashedClips.of(as_table(rows))
    everything = candidates(clips)
    assert {(first % 10, second % 10) for first, second in everything} == {(i, i) for i in range(10)}
    hashes = clips.frame_hashes
    found = {}
    for num_new in (3, 20):
        with CandidateSearch(num_new) as search:
            search.add(np.arange(30), hashes)
            found[num_new] = [pair for pairs in search.pairs() for pair in pairs.tolist()]
        assert found[num_new] == [pair for pair in everything if pair[0] < num_new]


def test_a_picture_that_many_share_costs_a_few_pairs_each_and_still_connects_them() -> None:
    num_clips = 200
    contrasts = scene(7, 4)
    clips = HashedClips.of(as_table([row(f"{number:03d}", contrasts) for number in range(num_clips)]))
    pairs = candidates(clips)
    assert len(pairs) <= num_clips * NEIGHBOURS
    group_of = components((clips.ids[first], clips.ids[second]) for first, second in pairs)
    assert set(group_of.values()) == {"000"}
    assert len(group_of) == num_clips


def test_clips_that_share_nothing_are_hardly_ever_candidates() -> None:
    clips = HashedClips.of(as_table([row(f"{seed}", scene(seed)) for seed in range(100, 140)]))
    assert len(candidates(clips)) < 0.01 * 40 * 39 / 2


def test_components_of_long_chains_and_of_random_links_are_those_of_a_search() -> None:
    chain = np.random.default_rng(0).permutation(500)
    assert (component_labels(np.stack([chain[:-1], chain[1:]], axis=1)) == 0).all()
    links = np.random.default_rng(1).integers(0, 300, (250, 2))
    links = np.concatenate([links, np.repeat(np.arange(300)[:, None], 2, axis=1)])
    expected = np.arange(300)
    for _ in range(300):
        for one, other in links:
            expected[one] = expected[other] = min(expected[one], expected[other])
    np.testing.assert_array_equal(component_labels(links), expected)
    assert component_labels(np.empty((0, 2), np.int64)).tolist() == []


def test_groups_are_named_by_their_smallest_member_and_name_the_closest_match() -> None:
    pairs = [Pair("b", "c", 0.8), Pair("d", "c", 0.95, mirrored=True, rate=0.5), Pair("x", "y", 1.0)]
    rows = {each["clip_id"]: each for each in group_rows(as_table([]), pairs, "g")}
    assert {name: each["group_id"] for name, each in rows.items()} == {"b": "b", "c": "b", "d": "b", "x": "x", "y": "x"}
    assert {name: each["group_size"] for name, each in rows.items()} == {"b": 3, "c": 3, "d": 3, "x": 2, "y": 2}
    assert (rows["c"]["match_id"], rows["c"]["similarity"], rows["c"]["rate"]) == ("d", 0.95, 2.0)
    assert (rows["d"]["match_id"], rows["d"]["mirrored"], rows["d"]["rate"]) == ("c", True, 0.5)


def test_what_decides_the_groups_is_in_their_fingerprint_and_what_is_kept_is_not() -> None:
    assert grouping_of(DuplicatesConfig(keep="longest")) == grouping_of(CONFIG)
    assert grouping_of(DuplicatesConfig(near_distance=0.1)) != grouping_of(CONFIG)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("num_new", [440, 200, 30, 1])
@pytest.mark.parametrize(("new_rows", "block_rows"), [(1024, 4096), (7, 11)])
def test_close_vectors_are_found_of_which_one_is_new(
    num_new: int, new_rows: int, block_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within clusters and, where few are new, among all."""
    monkeypatch.setattr(semantic, "NEW_ROWS", new_rows)
    monkeypatch.setattr(semantic, "BLOCK_ROWS", block_rows)
    base = unit(np.random.default_rng(3).standard_normal((400, 32)))
    close = unit(base[:40] + 0.01 * np.random.default_rng(4).standard_normal((40, 32)))
    vectors = np.concatenate([base, close])
    cosines = vectors @ vectors.T
    true = {(i, j): cosines[i, j] for i, j in np.argwhere(cosines >= 0.99).tolist() if i < j and i < num_new}
    assert len(true) == min(num_new, 40)
    found = {
        tuple(pair): cosine
        for pairs, of_pairs in close_pairs(vectors, num_new, 0.99, seed=0)
        for pair, cosine in zip(pairs.tolist(), of_pairs.tolist(), strict=True)
    }
    assert found == pytest.approx(true, abs=1e-6)


def test_equal_vectors_are_a_chain_and_not_every_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantic, "MAX_COMPARED", 5)
    monkeypatch.setattr(semantic, "BLOCK_ROWS", 11)
    for num_new in (100, 20):
        vectors = np.repeat(unit(np.ones((1, 8))), 100, axis=0)
        pairs = np.concatenate([pairs for pairs, _ in close_pairs(vectors, num_new, 0.99, seed=0)])
        assert len(pairs) <= 2 * 5 * 100
        links = np.concatenate([pairs, np.array([[i, i + 1] for i in range(num_new, 99)], np.int64).reshape(-1, 2)])
        assert set(component_labels(links).tolist()) == {0}


def test_clusters_follow_the_data_are_repeatable_and_bounded() -> None:
    rng = np.random.default_rng(5)
    centres = np.eye(16)[:9]
    truth = np.repeat(np.arange(9), 30)
    vectors = unit(centres[truth] + 0.05 * rng.standard_normal((270, 16)))
    labels = cluster_embeddings(vectors, 1)
    np.testing.assert_array_equal(labels, cluster_embeddings(vectors, 1))
    for label in np.unique(labels):
        assert len(set(truth[labels == label])) == 1
    crowd = unit(np.concatenate([centres[:1] + 0.001 * rng.standard_normal((900, 16)), rng.standard_normal((100, 16))]))
    assert np.bincount(cluster_embeddings(crowd, 0)).max() <= 8 * 1000 / 32
    same = np.repeat(centres[:1], 50, axis=0)
    assert len(np.unique(cluster_embeddings(same, 0))) == 1
    assert cluster_embeddings(np.empty((0, 4)), 0).shape == (0,)
