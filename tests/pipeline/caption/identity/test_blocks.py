"""Blocks are of about the same size and do not divide batches."""

from __future__ import annotations

import itertools

import numpy as np

from pipeline.caption.identity.blocks import batch_spans, block_spans


def test_blocks_begin_where_a_batch_does() -> None:
    batches = np.repeat(np.arange(100), 32)
    spans = block_spans(batches, 1000)
    assert len(spans) == 3
    assert spans[0][0] == 0
    assert spans[-1][1] == 3200
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(spans))
    assert all(start % 32 == 0 for start, _ in spans)
    assert {round((end - start) / 1067) for start, end in spans} == {1}


def test_a_batch_larger_than_a_block_is_divided() -> None:
    assert block_spans(np.zeros(3000, int), 1000) == [(0, 1000), (1000, 2000), (2000, 3000)]


def test_few_captions_are_one_block_and_none_no_block() -> None:
    assert block_spans(np.zeros(5, int), 1000) == [(0, 5)]
    assert block_spans(np.zeros(0, int), 1000) == []


def test_batches_are_runs_of_equal_numbers() -> None:
    assert batch_spans(np.array([0, 0, 3, 3, 3, 7])) == [(0, 2), (2, 5), (5, 6)]
