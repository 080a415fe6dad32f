"""Workers add up tensors in place; one alone asks nobody."""

import pytest
import torch

from model.training.parallel import ALONE, Worker


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
