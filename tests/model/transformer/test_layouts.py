"""Layouts divide tokens into the groups of their definitions, and groups of equal length into one bucket."""

import numpy as np
import pytest

from model.packing.tokens import table_of_grids
from model.transformer.config import TransformerConfig
from model.transformer.layouts import (
    NEIGHBOURHOOD,
    PARTITIONS,
    RADIUS_THW,
    buckets_of,
    cross_attention_buckets,
    is_layout,
    neighbourhood_buckets,
    split_groups,
)
from model.transformer.plans import cross_buckets

TABLE = table_of_grids(((3, 4, 5), (1, 2, 9), (5, 9, 3), (3, 4, 5)), (4, 0, 7, 4))


def may_attend(layout: str, a: np.ndarray, b: np.ndarray) -> bool:
    """The layouts written again, as a relation between two tokens (document, t, y, x)."""
    same = a == b
    box = np.array([4, 8, 8])
    return bool(
        same[0]
        and {
            "joint": True,
            "spatial": same[1],
            "temporal": same[2] and same[3],
            "window": (a[1:] // box == b[1:] // box).all(),
            NEIGHBOURHOOD: (np.abs(a[1:] - b[1:]) <= np.array(RADIUS_THW)).all(),
            "shifted_window": ((a[1:] + box // 2) // box == (b[1:] + box // 2) // box).all(),
        }[layout]
    )


@pytest.mark.parametrize("layout", sorted([*PARTITIONS, NEIGHBOURHOOD]))
def test_tokens_of_a_group_are_those_that_the_definition_relates(layout):
    coordinates = TABLE.coordinates_N4
    expected = np.array([[may_attend(layout, a, b) for b in coordinates] for a in coordinates])
    found = np.zeros_like(expected)
    for bucket in buckets_of(layout, TABLE.coordinates_N4):
        for queries, keys in zip(bucket.queries_GL, bucket.keys_GK, strict=True):
            found[np.ix_(queries, keys)] = True
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(("layout", "size_thw"), [("window", (2, 3, 5)), ("shifted_window", (2, 4, 6))])
def test_windows_may_have_any_size(layout, size_thw):
    coordinates = table_of_grids(((4, 6, 10),), (0,)).coordinates_N4
    shift = np.array(size_thw) // 2 if layout == "shifted_window" else 0
    boxes = (coordinates[:, 1:] + shift) // np.array(size_thw)
    groups = PARTITIONS[layout](coordinates, size_thw)
    assert np.array_equal(groups[:, 1:], boxes)


def test_groups_are_listed_by_first_appearance_with_their_tokens_in_order():
    groups = np.array([[1, 5], [0, 9], [1, 5], [1, 4], [0, 9]])
    assert [member.tolist() for member in split_groups(groups)] == [[0, 2], [1, 4], [3]]


def test_groups_of_one_length_share_a_bucket():
    buckets = buckets_of("joint", TABLE.coordinates_N4)
    assert sorted(b.queries_GL.shape for b in buckets) == [(1, 18), (1, 135), (2, 60)]
    assert all(np.array_equal(b.queries_GL, b.keys_GK) for b in buckets)


def test_queries_and_keys_of_one_pair_of_lengths_share_a_bucket():
    queries, keys = [np.arange(0, 2), np.arange(2, 4), np.arange(4, 6)], [np.arange(3), np.arange(3, 6), np.arange(2)]
    first, second = cross_attention_buckets(queries, keys)
    assert first.queries_GL.tolist() == [[0, 1], [2, 3]]
    assert first.keys_GK.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (second.queries_GL.tolist(), second.keys_GK.tolist()) == ([[4, 5]], [[0, 1]])


def test_a_document_without_text_attends_to_the_row_after_the_texts():
    pairs = {}
    for bucket in cross_buckets(TransformerConfig(), TABLE):
        pairs |= {int(q[0]): (len(q), k.tolist()) for q, k in zip(bucket.queries_GL, bucket.keys_GK, strict=True)}
    expected = {0: (60, [0, 1, 2, 3]), 60: (18, [15]), 78: (135, list(range(4, 11))), 213: (60, list(range(11, 15)))}
    assert pairs == expected


def test_a_neighbourhood_takes_all_tokens_that_stand_at_one_place_and_has_any_extent():
    coordinates = np.array([[0, 0, 0, 0], [0, 0, 0, 2], [0, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 1], [0, 1, 0, 0]])
    found = {}
    for bucket in neighbourhood_buckets(coordinates, (0, 0, 1)):
        found |= {int(q[0]): sorted(k.tolist()) for q, k in zip(bucket.queries_GL, bucket.keys_GK, strict=True)}
    assert found == {0: [0, 2, 3], 1: [1, 2], 2: [0, 1, 2, 3], 3: [0, 2, 3], 4: [4], 5: [5]}


def test_layouts_are_known_by_name_and_as_sums_of_those():
    assert all(map(is_layout, [*PARTITIONS, NEIGHBOURHOOD, "frames", "spatial+temporal"]))
    assert not any(map(is_layout, ["x", "spatial+x", "frames+spatial", ""]))
