"""Samples in memory, and packs that are made ahead of their use in a thread."""

import threading

import pytest

from model.training.samples import HeldSamples, ahead
from tests.model.training.drawn import SHAPES, colour_samples


def test_samples_in_memory_are_read_by_id():
    samples = HeldSamples(colour_samples(4))
    assert list(samples.shapes.items()) == [(f"clip-{i}", SHAPES[i % 3]) for i in range(4)]
    assert [sample.sample_id for sample in samples.read(["clip-2", "clip-0"])] == ["clip-2", "clip-0"]


@pytest.mark.parametrize("num_ahead", [0, 1, 2, 9])
def test_each_item_comes_with_what_is_made_of_it_in_order(num_ahead):
    assert list(ahead(range(5), lambda item: item * item, num_ahead)) == [(i, i * i) for i in range(5)]
    assert list(ahead([], str, num_ahead)) == []


def test_the_next_ones_are_made_while_one_is_used_and_no_more():
    made, begun = [], threading.Event()

    def make(item: int) -> int:
        made.append(item)
        if item == 2:
            begun.set()
        return item

    steps = ahead(iter(range(9)), make, 2)
    assert next(steps) == (0, 0)
    assert begun.wait(60)
    assert made == [0, 1, 2]
    assert next(steps) == (1, 1)


def test_an_error_takes_the_place_of_its_item_and_ends_the_thread():
    def make(item: int) -> int:
        if item == 1:
            raise ValueError("damaged")
        return item

    before = threading.active_count()
    steps = ahead(range(5), make)
    assert next(steps) == (0, 0)
    with pytest.raises(ValueError, match="damaged"):
        next(steps)
    assert threading.active_count() == before


def test_a_reader_that_stops_early_leaves_no_thread():
    before = threading.active_count()
    steps = ahead(range(100), str)
    next(steps)
    steps.close()
    assert threading.active_count() == before
