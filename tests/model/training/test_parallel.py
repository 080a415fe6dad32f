"""Workers add up tensors in place; one alone asks nobody."""

import pytest
import torch

from model.training.parallel import ALONE, Worker
from model.training.stops import TrainingStopped


@pytest.fixture
def messages(monkeypatch) -> list[int]:
    """Sizes of what is sent, to a second worker that always has ten more of everything."""
    sizes: list[int] = []

    def all_reduce(tensor: torch.Tensor) -> None:
        sizes.append(tensor.numel())
        tensor += 10

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    return sizes


def test_sums_are_in_place(messages):
    tensor = torch.tensor([1.0, 2.0])
    Worker(0, 2).sum(tensor)
    assert tensor.tolist() == [11.0, 12.0]


def test_several_tensors_are_added_in_one_message(messages):
    tensors = [torch.zeros(2, 3), torch.ones(()), torch.full((4,), 2.0)]
    Worker(1, 2).sum_all(tensor for tensor in tensors)
    assert [tensor.unique().tolist() for tensor in tensors] == [[10.0], [11.0], [12.0]]
    assert [tensor.shape for tensor in tensors] == [(2, 3), (), (4,)]
    assert messages == [11]


def test_one_alone_asks_nobody(messages):
    tensor = torch.tensor([1.0, 2.0])
    ALONE.sum(tensor)
    ALONE.sum_all([tensor])
    assert (ALONE.rank, ALONE.num_workers, ALONE.device) == (0, 1, torch.device("cpu"))
    assert tensor.tolist() == [1.0, 2.0]
    assert messages == []


@pytest.fixture
def other_fails(monkeypatch) -> None:
    """The other worker has an error, and the number 5."""

    def all_reduce(numbers: torch.Tensor) -> None:
        numbers += torch.tensor([1, 5])

    def all_gather_object(told: list, own: object) -> None:
        told[:] = [own, "the disk is full"]

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    monkeypatch.setattr(torch.distributed, "all_gather_object", all_gather_object)


def test_an_error_of_one_worker_stops_all_in_its_words(other_fails):
    with pytest.raises(TrainingStopped, match="the disk is full"):
        Worker(0, 2).stop_together(None)
    with pytest.raises(TrainingStopped, match="a clip is missing"):
        Worker(0, 2).stop_together(ValueError("a clip is missing"))


def test_without_an_error_numbers_are_added_up_to_64_bits(monkeypatch):
    def all_reduce(numbers: torch.Tensor) -> None:
        numbers += torch.tensor([0, 2**62])

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    assert Worker(0, 2).stop_together(None, 5) == 2**62 + 5
    assert Worker(0, 2).stop_together(None, 2**62) == -(2**63)


def test_one_alone_raises_its_own_error_and_keeps_its_number(messages):
    assert ALONE.stop_together(None, 7) == 7
    with pytest.raises(KeyError, match="own"):
        ALONE.stop_together(KeyError("own"))
    assert messages == []
