"""Layouts divide tokens into the groups of their definitions, and groups of equal length into one bucket."""

import numpy as np
import pytest

from model.packing.packs import Geometry
from model.transformer.layouts import LAYOUTS, cross_attention_buckets, self_attention_buckets, split_groups

GEOMETRY = Geometry(grids=((3, 4, 5), (1, 2, 9), (5, 9, 3), (3, 4, 5)), text_lengths=(4, 0, 7, 4))


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
            "shifted_window": ((a[1:] + box // 2) // box == (b[1:] + box // 2) // box).all(),
        }[layout]
    )


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_tokens_of_a_group_are_those_that_the_definition_relates(layout):
    coordinates = GEOMETRY.coordinates_N4
    expected = np.array([[may_attend(layout, a, b) for b in coordinates] for a in coordinates])
    found = np.zeros_like(expected)
    for bucket in self_attention_buckets(LAYOUTS[layout](GEOMETRY.coordinates_N4)):
        for queries, keys in zip(bucket.queries_GL, bucket.keys_GK, strict=True):
            found[np.ix_(queries, keys)] = True
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(("layout", "size_thw"), [("window", (2, 3, 5)), ("shifted_window", (2, 4, 6))])
def test_windows_may_have_any_size(layout, size_thw):
    coordinates = Geometry(grids=((4, 6, 10),), text_lengths=(0,)).coordinates_N4
    shift = np.array(size_thw) // 2 if layout == "shifted_window" else 0
    boxes = (coordinates[:, 1:] + shift) // np.array(size_thw)
    groups = LAYOUTS[layout](coordinates, size_thw)
    assert np.array_equal(groups[:, 1:], boxes)


def test_groups_are_listed_by_first_appearance_with_their_tokens_in_order():
    groups = np.array([[1, 5], [0, 9], [1, 5], [1, 4], [0, 9]])
    assert [member.tolist() for member in split_groups(groups)] == [[0, 2], [1, 4], [3]]


def test_groups_of_one_length_share_a_bucket():
    buckets = self_attention_buckets(LAYOUTS["joint"](GEOMETRY.coordinates_N4))
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
    for bucket in GEOMETRY.text_buckets():
        pairs |= {int(q[0]): (len(q), k.tolist()) for q, k in zip(bucket.queries_GL, bucket.keys_GK, strict=True)}
    expected = {0: (60, [0, 1, 2, 3]), 60: (18, [15]), 78: (135, list(range(4, 11))), 213: (60, list(range(11, 15)))}
    assert pairs == expected
