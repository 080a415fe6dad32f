"""An average that is made after the training is the one that would have been kept."""

import pytest
import torch

from model.training.checkpoints import RunFolder
from model.training.exported import load_transformer, save_transformer
from tests.model.training.drawn import changed, run_fit

STEPS = 40


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that learns fast, with many snapshots."""
    folder = tmp_path_factory.mktemp("run")
    run_fit(folder, fast(average_lengths=(0.05, 0.1)))
    return folder


def fast(**settings):
    return changed(steps=STEPS, learning_rate=2e-3, snapshot_every=2, validate_every=STEPS, **settings)


def flat(tensors):
    return torch.cat([tensor.flatten() for _, tensor in sorted(tensors.items())])


def test_snapshots_are_kept_where_checkpoints_are_not(run):
    assert [snapshot.step for snapshot in RunFolder(run).snapshots()] == list(range(2, STEPS + 1, 2))
    assert len(RunFolder(run).checkpoints()) == 3
    snapshot, checkpoint = RunFolder(run).snapshots()[-1], RunFolder(run).newest()
    assert {name.split(".")[0] for name in snapshot.sizes()} == {"average", "longer_average"}
    for name in ("average", "longer_average"):
        assert torch.equal(flat(snapshot.tensors(name)), flat(checkpoint.tensors(name)))


def test_the_last_step_has_a_snapshot(tmp_path):
    run_fit(tmp_path, changed(steps=3))
    assert [snapshot.step for snapshot in RunFolder(tmp_path).snapshots()] == [3]


def test_an_average_of_another_length_is_the_one_that_would_have_been_kept(run, tmp_path):
    run_fit(tmp_path, fast(average_lengths=(0.07, 0.13)))
    for name, length in (("average", 0.07), ("longer_average", 0.13)):
        wanted = flat(load_transformer(tmp_path, name).state_dict())
        made = flat(load_transformer(run, length).state_dict())
        nearest = min((flat(load_transformer(run, kept).state_dict()) - wanted).norm() for kept in ("average", "model"))
        assert (made - wanted).norm() < 0.1 * nearest


def test_one_that_was_kept_comes_back(run):
    for name, length in (("average", 0.05), ("longer_average", 0.1)):
        kept, made = (flat(load_transformer(run, which).state_dict()) for which in (name, length))
        torch.testing.assert_close(made, kept, rtol=1e-4, atol=1e-6)


def test_a_length_that_no_average_has_and_a_damaged_snapshot_are_named(run, tmp_path):
    with pytest.raises(ValueError, match=r"relative length 0\.5: must be above 0 and below \.288"):
        load_transformer(run, 0.5)
    run_fit(tmp_path, changed(steps=2))
    (file,) = RunFolder(tmp_path).snapshot_folder_of(2).glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match="is damaged: no average can be made of it"):
        load_transformer(tmp_path, 0.08)


def test_what_is_no_run_has_no_other_average(run, tmp_path):
    save_transformer(tmp_path, load_transformer(run), dtype=torch.float32)
    with pytest.raises(ValueError, match=r"has no run with averages of which one of length 0\.08 can be made"):
        load_transformer(tmp_path, 0.08)


def test_lengths_that_cannot_be_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"average_lengths = \(0.05, 0.4\): "):
        run_fit(tmp_path, changed(average_lengths=(0.05, 0.4)))
