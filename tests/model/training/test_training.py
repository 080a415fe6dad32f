"""Training: resumed equals uninterrupted, workers share without changing the numbers, and the loss falls."""

import math
import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from model.diffusion.sampling import Request, load_transformer, sample_latent
from model.training.checkpoints import RunFolder
from model.training.examples import LatentStatistics, Sample, draw_example, noised_example, pack_examples
from model.training.loop import fit
from model.training.step import TrainingDiverged, Worker
from model.training.validation import hold_out
from schemas.recipe import RecipeError
from schemas.recipe.train import ModelConfig, TrainConfig

STATISTICS = LatentStatistics(mean=(0.5,) * 4, std=(2.0,) * 4)
TEXT_DIM = 6
CONFIG = TrainConfig(
    steps=6,
    tokens_per_pack=48,
    packs_per_step=2,
    warmup_steps=2,
    validate_every=3,
    checkpoint_every=3,
    keep_checkpoints=3,
    model=ModelConfig(width=24, depth=2, num_heads=2),
)


def colour_samples(count: int = 24) -> list[Sample]:
    """Latents that are constant, with a text that gives the constant."""
    rng = np.random.default_rng(0)
    samples = []
    for i in range(count):
        sign = 1.0 if i % 2 else -1.0
        shape = [(4, 1, 4, 4), (4, 3, 4, 6), (4, 2, 6, 4)][i % 3]
        latent = np.full(shape, 0.5 + 2.0 * sign, np.float16) + rng.normal(0, 0.1, shape).astype(np.float16)
        text = np.full((1 + i % 4, TEXT_DIM), sign, np.float32) + np.arange(TEXT_DIM, dtype=np.float32) / 10
        samples.append(Sample(f"clip-{i}", latent, [text], latent_fps=2.0))
    return samples


def run_fit(run_dir: Path, config: TrainConfig = CONFIG, worker: Worker = Worker(), on_step=None) -> None:  # noqa: B008
    fit(colour_samples(), config, STATISTICS, run_dir, text_dim=TEXT_DIM, worker=worker, on_step=on_step)


def logged(run_dir: Path, *names: str) -> list[tuple]:
    names = names or ("step", "epoch", "loss", "val_loss", "tokens")
    return [tuple(line.get(name) for name in names) for line in RunFolder(run_dir).metrics()]


class Killed(Exception):
    pass


def test_resumed_equals_uninterrupted(tmp_path):
    run_fit(tmp_path / "whole")

    def kill_at_five(metrics):
        if metrics["step"] == 5:
            raise Killed

    with pytest.raises(Killed):
        run_fit(tmp_path / "killed", on_step=kill_at_five)
    assert [line[0] for line in logged(tmp_path / "killed")] == [1, 2, 3, 4, 5]
    with (tmp_path / "killed" / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 6, "lo')  # a line cut short by the kill
    run_fit(tmp_path / "killed")
    assert logged(tmp_path / "killed") == logged(tmp_path / "whole")
    for name in ("model", "ema", "optimizer"):
        whole, resumed = (RunFolder(tmp_path / run).newest().tensors(name) for run in ("whole", "killed"))
        assert whole.keys() == resumed.keys()
        assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_a_half_written_checkpoint_is_not_used(tmp_path):
    run_fit(tmp_path)
    folder = RunFolder(tmp_path).checkpoints_path
    shutil.copytree(folder / "step-000003", folder / "step-000009.partial")
    assert RunFolder(tmp_path).newest().step == 6


def test_a_finished_run_is_left_as_it_is_and_can_be_extended(tmp_path):
    run_fit(tmp_path)
    before = logged(tmp_path)
    run_fit(tmp_path)
    assert logged(tmp_path) == before
    run_fit(tmp_path, TrainConfig(**(vars(CONFIG) | {"steps": 8, "keep_checkpoints": 1})))
    assert [line[0] for line in logged(tmp_path)] == list(range(1, 9))
    assert [c.step for c in RunFolder(tmp_path).checkpoints()] == [8]


def _fit_as_worker(rank: int, run_dir: Path, rendezvous: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    run_fit(run_dir, worker=Worker(rank, 2))
    torch.distributed.destroy_process_group()


def test_two_workers_give_the_numbers_of_one(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_fit_as_worker, args=(rank, tmp_path / "two", tmp_path / "meet")) for rank in (0, 1)
    ]
    for worker in workers:
        worker.start()
    run_fit(tmp_path / "one")
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    one, two = logged(tmp_path / "one", "loss", "tokens"), logged(tmp_path / "two", "loss", "tokens")
    np.testing.assert_allclose(np.array(one), np.array(two), rtol=1e-5)


def test_loss_falls_and_samples_follow_the_text(tmp_path):
    config = TrainConfig(
        **(vars(CONFIG) | {"steps": 150, "tokens_per_pack": 256, "learning_rate": 3e-3, "ema_decay": 0.95})
    )
    run_fit(tmp_path, TrainConfig(**(vars(config) | {"validate_every": 50, "checkpoint_every": 150})))
    lines = RunFolder(tmp_path).metrics()
    assert np.mean([line["loss"] for line in lines[-10:]]) < 0.4 * lines[0]["loss"]
    validated = [line["val_loss"] for line in lines if "val_loss" in line]
    assert validated[-1] < validated[0]
    transformer = load_transformer(tmp_path)
    for sample in colour_samples(2):
        text = torch.from_numpy(sample.texts_LE[0])
        latent = sample_latent(transformer, Request(text, (4, 2, 4, 4), 2.0), num_steps=12, guidance=2.0)
        assert math.copysign(1.0, float(latent.mean())) == math.copysign(1.0, float(sample.latent_CTHW.mean() - 0.5))


def test_prefix_stays_as_given_and_shapes_are_free(tmp_path):
    run_fit(tmp_path)
    transformer = load_transformer(tmp_path)
    prefix = torch.randn(4, 1, 6, 8)
    latent = sample_latent(transformer, Request(None, (4, 4, 6, 8), 3.0, prefix_CTHW=prefix), num_steps=2)
    assert latent.shape == (4, 4, 6, 8)
    assert torch.equal(latent[:, :1], prefix)
    with pytest.raises(ValueError, match="does not start"):
        sample_latent(transformer, Request(None, (4, 1, 6, 8), 3.0, prefix_CTHW=prefix), num_steps=2)


def test_examples_depend_on_seed_sample_and_epoch_alone():
    sample, other = colour_samples(2)
    settings = {"patch": (1, 2, 2), "seed": 0, "text_drop": 0.0}
    first = draw_example(sample, STATISTICS, epoch=0, **settings)
    again = draw_example(sample, STATISTICS, epoch=0, **settings)
    assert torch.equal(first.document.latent_CTHW, again.document.latent_CTHW)
    for changed in (
        draw_example(sample, STATISTICS, epoch=1, **settings),
        draw_example(other, STATISTICS, epoch=0, **settings),
        draw_example(sample, STATISTICS, epoch=0, **settings | {"seed": 1}),
    ):
        assert changed.document.timestep != first.document.timestep


def test_clean_frames_carry_data_and_no_loss():
    from model.training.examples import document_losses

    data = torch.randn(4, 3, 4, 4)
    clean = torch.tensor([True, False, False])
    example = noised_example(data, 2.0, None, clean, 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(example.document.latent_CTHW[:, 0], data[:, 0])
    noise = example.velocity_CTHW + data
    torch.testing.assert_close(example.document.latent_CTHW[:, 1:], (0.5 * data + 0.5 * noise)[:, 1:])
    pack, target = pack_examples([example], (1, 2, 2), TEXT_DIM)
    answer = target.clone()
    answer[pack.clean_N] += 100.0
    assert document_losses(answer, target, pack).tolist() == [0.0]
    answer[~pack.clean_N] += 2.0
    assert document_losses(answer, target, pack).tolist() == pytest.approx([4.0])


def test_held_out_samples_do_not_depend_on_their_order():
    ids = [f"clip-{i}" for i in range(50)]
    assert hold_out(ids) == hold_out(ids[::-1])
    assert len(hold_out(ids)) == 5
    assert hold_out(["only"]) == set()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens_per_pack": 4}, "train.tokens_per_pack = 4"),
        ({"model": ModelConfig(width=24, num_heads=5)}, "train.model: num_heads = 5"),
    ],
)
def test_settings_that_cannot_work_are_named(tmp_path, change, message):
    with pytest.raises(RecipeError, match=message):
        run_fit(tmp_path, TrainConfig(**(vars(CONFIG) | change)))


def test_packs_must_divide_among_workers(tmp_path):
    with pytest.raises(RecipeError, match="packs_per_step = 2: must be a multiple of 3"):
        run_fit(tmp_path, worker=Worker(0, 3))


def test_another_model_does_not_resume(tmp_path):
    run_fit(tmp_path)
    with pytest.raises(RecipeError, match="another model"):
        run_fit(tmp_path, TrainConfig(**(vars(CONFIG) | {"model": ModelConfig(width=24, depth=1, num_heads=2)})))


def test_divergence_is_an_error(tmp_path):
    samples = colour_samples()
    samples[0].latent_CTHW[:] = np.inf
    with pytest.raises(TrainingDiverged, match="learning_rate"):
        fit(samples[:1], CONFIG, STATISTICS, tmp_path, text_dim=TEXT_DIM)
