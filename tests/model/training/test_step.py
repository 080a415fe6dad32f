"""A step against AdamW written out sample by sample; plans of steps; what a checkpoint carries over."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.diffusion.objectives import Objective
from model.diffusion.timesteps import Density
from model.packing.packs import CONDITIONS
from model.packing.plan import PlannedPack
from model.training.checkpoints import RunFolder
from model.training.examples import document_losses, draw_example, pack_examples
from model.training.held_out import held_out_places
from model.training.parallel import ALONE, Worker
from model.training.post_hoc import decay_of, exponent_of
from model.training.progress import Progress
from model.training.samples import HeldSamples
from model.training.speed import step_flops
from model.training.step import TrainState, require_same_model, transformer_config
from model.training.stops import TrainingDiverged
from model.transformer.routing import Route
from model.transformer.transformer import Transformer
from schemas.recipe.train import ModelConfig, RoutingConfig, TaskMix, TrainConfig
from tests.model.training.drawn import CONFIG, STATISTICS, TEXT_DIM, changed, colour_samples

EVERY_SETTING = changed(
    steps=5,
    packs_per_step=4,
    learning_rate=1e-2,
    warmup_steps=3,
    weight_decay=0.5,
    average_lengths=(0.1, 0.2),
    text_drop=0.5,
    seed=3,
)


def new_state(
    config: TrainConfig = CONFIG, worker: Worker = ALONE, num_samples: int = 24, release_hash: str = ""
) -> TrainState:
    return TrainState(HeldSamples(colour_samples(num_samples)), config, STATISTICS, TEXT_DIM, worker, release_hash)


def step(state: TrainState, progress: Progress, packs: list[PlannedPack]) -> dict[str, Any]:
    return state.step(progress, state.batch(packs))


def packs_of(*packs: str, epoch: int = 0) -> list[PlannedPack]:
    """Packs of the clips of these numbers."""
    return [PlannedPack(epoch, tuple(f"clip-{number}" for number in pack.split())) for pack in packs]


def randomised(state: TrainState) -> TrainState:
    """Zero-initialised layers would hide most gradients, so all weights are random."""
    generator = torch.Generator().manual_seed(1)
    for parameter in state.model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return state


def mean_loss(model: Transformer, config: TrainConfig, packs: list[PlannedPack]) -> tuple[Tensor, int]:
    """The mean over samples, each alone in a pack, of the squared error of what is noisy; and all their tokens."""
    samples = {sample.sample_id: sample for sample in colour_samples()}
    losses, tokens = [], 0
    for i, epoch in ((i, pack.epoch) for pack in packs for i in pack.ids):
        settings = {"seed": config.seed, "epoch": epoch, "text_drop": config.text_drop}
        example = draw_example(samples[i], STATISTICS, Objective(), Density(), patch=(1, 2, 2), **settings)
        pack, targets = pack_examples([example], (1, 2, 2), TEXT_DIM)
        losses.append((model(pack) - targets.answer_NP).square()[~pack.given_NP].mean())
        tokens += len(targets.answer_NP)
    return torch.stack(losses).mean(), tokens


def clip_gradients(model: Transformer, limit: float) -> float:
    """Scale gradients whose norm over all weights is above the limit down to it; the norm before."""
    norm = sum(float(parameter.grad.square().sum()) for parameter in model.parameters()) ** 0.5
    for parameter in model.parameters():
        parameter.grad *= min(1.0, limit / norm)
    return norm


@pytest.mark.parametrize("grad_clip", [0.05, 100.0])
def test_a_step_is_adamw_on_the_mean_over_samples(grad_clip):
    """With warm-up, weight decay, clipping, and the average of the weights; some steps have packs of two epochs."""
    config = replace(EVERY_SETTING, grad_clip=grad_clip)
    state = randomised(new_state(config))
    truth = copy.deepcopy(state.model)
    average = {name: torch.zeros_like(value) for name, value in state.averages["longer_average"].weights.items()}
    optimizer = torch.optim.AdamW(truth.parameters(), betas=(0.9, 0.95), weight_decay=0.5)
    epochs = []
    for progress, packs in state.steps_from(Progress()):
        epochs.append({pack.epoch for pack in packs})
        loss, tokens = mean_loss(truth, config, packs)
        optimizer.zero_grad()
        loss.backward()
        norm = clip_gradients(truth, grad_clip)
        rate = 1e-2 * {1: 1 / 3, 2: 2 / 3}.get(progress.step, 1.0)

        metrics = step(state, progress, packs)
        assert 0 < metrics.pop("seconds") < 60
        expected = {"step": progress.step, "epoch": progress.epoch, "loss": loss.item(), "lr": rate}
        expected |= {"grad_norm": norm, "samples": sum(len(pack.ids) for pack in packs), "tokens": tokens}
        lengths = [[(4, 18, 12)[int(name.removeprefix("clip-")) % 3] for name in pack.ids] for pack in packs]
        expected |= {"flops": step_flops(lengths, config.model)}
        assert metrics == pytest.approx(expected, rel=1e-4)
        for parameter, other in zip(state.model.parameters(), truth.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-3, atol=1e-5)
            other.grad.copy_(parameter.grad)  # Adam makes a whole step of what rounding leaves of nothing
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        decay = decay_of(exponent_of(0.2), progress.step)
        for name, other in truth.named_parameters():
            torch.testing.assert_close(state.model.get_parameter(name), other)
            average[name] = decay * average[name] + (1 - decay) * other.detach()
            torch.testing.assert_close(state.averages["longer_average"].weights[name], average[name])
    assert {0, 1} in epochs


def test_without_warm_up_the_first_step_has_the_full_rate():
    state = new_state(changed(warmup_steps=0))
    progress, packs = next(state.steps_from(Progress()))
    assert step(state, progress, packs)["lr"] == CONFIG.learning_rate


def test_held_out_samples_are_validated_on_and_never_trained_on():
    state = new_state(changed(steps=100))
    samples = HeldSamples(colour_samples())
    ids = set(samples.names)
    held_out = {samples.names[place] for place in held_out_places(samples.videos)}
    used = {i for _, packs in state.steps_from(Progress()) for pack in packs for i in pack.ids}
    assert used == ids - held_out
    assert len(held_out) == 2
    grids = {
        (s.latent_CTHW.shape[1], *(side // 2 for side in s.latent_CTHW.shape[2:]))
        for s in colour_samples()
        if s.sample_id in held_out
    }
    assert {grid for pack, *_ in state.validation.packs for grid in pack.table.extents} == grids
    assert sum(len(pack.timestep_B) for pack, _, task in state.validation.packs if task == "text") == 2 * 8


def test_no_clip_of_a_held_out_video_is_trained_on():
    samples = [replace(sample, video_id=f"video-{i % 8}") for i, sample in enumerate(colour_samples())]
    videos = {sample.sample_id: sample.video_id for sample in samples}
    state = TrainState(HeldSamples(samples), changed(steps=100), STATISTICS, TEXT_DIM, ALONE)
    used = {videos[i] for _, packs in state.steps_from(Progress()) for pack in packs for i in pack.ids}
    assert len(used) == 7
    assert sum(len(pack.timestep_B) for pack, _, task in state.validation.packs if task == "text") == 3 * 8


def test_a_single_sample_is_trained_and_validated_on():
    state = new_state(num_samples=1)
    assert list(state.names) == ["clip-0"]
    assert sum(len(pack.timestep_B) for pack, _, task in state.validation.packs if task == "text") == 8


def test_weights_begin_as_the_seed_says():
    def start(seed: int) -> dict[str, Tensor]:
        return new_state(changed(seed=seed)).model.state_dict()

    first, again, other = start(0), start(0), start(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embed.weight"], other["embed.weight"])


Step = tuple[Progress, list[PlannedPack]]


def planned(config: TrainConfig, start: Progress = Progress(), release_hash: str = "") -> list[Step]:  # noqa: B008
    return list(new_state(config, release_hash=release_hash).steps_from(start))


def test_every_epoch_uses_every_sample_once_in_an_order_of_its_own():
    steps = planned(changed(steps=30, packs_per_step=3))
    assert [progress.step for progress, _ in steps] == list(range(1, 31))
    assert {len(packs) for _, packs in steps} == {3}
    orders: dict[int, list[str]] = {}
    for pack in (pack for _, packs in steps for pack in packs):
        orders.setdefault(pack.epoch, []).extend(pack.ids)
    whole = [orders[epoch] for epoch in range(len(orders) - 1)]
    assert len(whole) > 3
    assert all(sorted(order) == sorted(new_state().names) for order in whole)
    assert len({tuple(order) for order in whole}) == len(whole)


@pytest.mark.parametrize("done", range(13))
def test_steps_go_on_wherever_a_run_was_left(done):
    config = changed(steps=13, packs_per_step=3)
    steps = planned(config)
    assert [progress.step for progress, _ in steps] == list(range(1, 14))
    start = steps[done - 1][0] if done else Progress()
    assert planned(config, start) == steps[done:]


def test_the_order_follows_the_release_and_the_seed():
    first = planned(CONFIG)
    assert planned(CONFIG) == first
    assert planned(CONFIG, release_hash="other") != first
    assert planned(changed(seed=1)) != first


def test_a_sample_is_noised_for_the_epoch_of_its_pack():
    state = new_state()
    (first,), (second,), (again,) = (state.batch(packs_of("1 4", epoch=epoch)).packs for epoch in (0, 1, 0))
    assert not torch.equal(first[0].timestep_B, second[0].timestep_B)
    assert torch.equal(first[0].tokens_NP, again[0].tokens_NP)


def test_validation_is_of_the_averaged_weights():
    """With an average of zeros the answer is zero, and the loss the mean square of the targets."""
    state = randomised(new_state())
    for weight in state.averages["average"].weights.values():
        weight.zero_()
    squares = [
        part.square().mean().item()
        for pack, targets, _ in state.validation.packs
        for part in targets.answer_NP.split(pack.table.lengths)
    ]
    before = state.model.state_dict()["embed.weight"].clone()
    assert state.validate()["val_loss"] == pytest.approx(np.mean(squares), rel=1e-5)
    assert torch.equal(state.model.state_dict()["embed.weight"], before)


def after_steps(state: TrainState, count: int) -> Progress:
    progress = Progress()
    for progress, packs in list(state.steps_from(Progress()))[:count]:
        step(state, progress, packs)
    return progress


def test_a_checkpoint_carries_everything_over(tmp_path):
    state, run = new_state(), RunFolder(tmp_path)
    assert state.restore(None) == Progress(0, 0, 0)
    progress = after_steps(state, 3)
    run.save(progress.step, state.tensors(), state.state(progress), keep=1)
    other = randomised(new_state())
    assert other.restore(run.newest()) == progress
    for name, tensors in state.tensors().items():
        found = other.tensors()[name]
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[key], value) for key, value in tensors.items())
    assert len(state.tensors()["optimizer"]) == 3 * len(state.tensors()["model"])  # step and two averages


def test_another_model_does_not_go_on_from_a_checkpoint(tmp_path):
    state, run = new_state(), RunFolder(tmp_path)
    run.save(3, state.tensors(), state.state(Progress(3, 0, 6)), keep=1)
    newest = run.newest()
    assert newest is not None
    require_same_model(newest, state.model.config)
    with pytest.raises(ValueError, match="step-000003 was trained with another model"):
        new_state(changed(model=replace(CONFIG.model, mlp_ratio=2.0))).restore(newest)


def test_the_model_is_the_recipes_for_these_latents_and_texts():
    config = transformer_config(ModelConfig(width=24, depth=1, num_heads=2, patch=(2, 2, 2)), 5, 7)
    assert (config.width, config.depth, config.num_heads, config.patch) == (24, 1, 2, (2, 2, 2))
    assert (config.latent_channels, config.text_dim, config.answer_factor) == (5, 7, 1)
    assert transformer_config(ModelConfig(), 5, 7, answer_factor=2).answer_factor == 2
    with pytest.raises(ValueError, match="num_heads = 5"):
        transformer_config(ModelConfig(width=24, num_heads=5), 4, 6)


def everything(state: TrainState) -> dict[str, Tensor]:
    return {f"{of}.{name}": value.clone() for of, part in state.tensors().items() for name, value in part.items()}


def infinite_gradient(state: TrainState) -> None:
    state.model.embed.weight.register_hook(lambda gradient: gradient * float("inf"))


def infinite_latent(state: TrainState) -> None:
    state.samples.read(["clip-5"])[0].latent_CTHW[:] = np.inf


@pytest.mark.parametrize("spoil", [infinite_gradient, infinite_latent])
def test_a_step_that_is_not_finite_is_an_error_that_names_its_samples_and_changes_nothing(spoil):
    state = randomised(new_state())
    step(state, Progress(1, 0, 1), packs_of("4"))
    before = everything(state)
    spoil(state)
    with pytest.raises(TrainingDiverged, match=r"step 2: the loss is .* its samples are clip-4, clip-5, clip-1: "):
        step(state, Progress(2, 0, 3), packs_of("4 5", "1"))
    assert all(torch.equal(value, before[name]) for name, value in everything(state).items())


@pytest.fixture
def messages(monkeypatch) -> Iterator[list[Tensor]]:
    """What this worker sends to the others, who send nothing."""
    sent: list[Tensor] = []
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: sent.append(tensor.clone()))
    return sent


def test_workers_share_the_packs_of_a_step_and_add_up_gradients_and_losses(messages):
    packs = packs_of("1", "2", "3", "4 5")
    totals = []
    for rank in (0, 1):
        state = new_state(worker=Worker(rank, 2))
        metrics = step(state, Progress(1, 0, 4), packs)
        gradients, total = messages[-2:]
        assert len(gradients) == sum(parameter.numel() for parameter in state.model.parameters())
        assert total.tolist() == pytest.approx([metrics["loss"], metrics["tokens"], metrics["flops"]])
        totals.append(total)
    alone = step(new_state(), Progress(1, 0, 4), packs)
    assert sum(totals).tolist() == pytest.approx([alone["loss"], alone["tokens"], alone["flops"]])
    assert (alone["samples"], alone["tokens"]) == (5, 18 + 12 + 4 + 18 + 12)


def test_a_worker_without_a_pack_sends_zeros(messages):
    metrics = step(new_state(worker=Worker(1, 2)), Progress(1, 0, 1), packs_of("1"))
    gradients, total = messages
    assert not gradients.any()
    assert total.tolist() == [0.0, 0.0, 0.0]
    assert (metrics["loss"], metrics["samples"]) == (0.0, 1)


def test_tokens_are_left_out_and_routed_as_the_recipe_says_in_training_alone() -> None:
    config = changed(token_drop=0.5, routing=RoutingConfig(0.5, 0, 0), tasks=TaskMix(1, 0, 0, 0))
    state, plain = randomised(new_state(config)), randomised(new_state(changed(tasks=TaskMix(1, 0, 0, 0))))
    progress, packs = next(state.steps_from(Progress()))
    batch, whole = state.batch(packs), plain.batch(packs)
    losses = []
    for (pack, targets), (all_of_it, _) in zip(batch.packs, whole.packs, strict=True):
        lengths = [length // 2 for length in all_of_it.table.lengths]
        assert pack.table.lengths == lengths
        routed = [int(part.sum()) for part in torch.from_numpy(pack.table.routed_N).split(lengths)]
        assert routed == [round(length / 2) for length in lengths]
        assert list(pack.table.prepared) == [(state.model.config, torch.device("cpu"), Route(0, 0))]
        losses.append(document_losses(state.model(pack, Route(0, 0)), targets, pack).detach())
        assert not torch.allclose(losses[-1], document_losses(state.model(pack), targets, pack), rtol=1e-3)
    assert state.validate() == plain.validate()
    assert state.step(progress, batch)["loss"] == pytest.approx(float(torch.cat(losses).mean()), rel=1e-5)


@pytest.mark.parametrize(("tasks", "num_clean"), [(TaskMix(1, 0, 0, 0), 0), (TaskMix(0, 1, 0, 0), 1)])
def test_the_tasks_of_the_recipe_are_trained(tasks: TaskMix, num_clean: int) -> None:
    state = new_state(changed(tasks=tasks))
    _, packs = next(state.steps_from(Progress()))
    for pack, _ in state.batch(packs).packs:
        for (T, H, W), clean in zip(pack.table.extents, pack.clean_N.split(pack.table.lengths), strict=True):
            assert clean.sum() == (num_clean * H * W if T > 1 else 0)


def test_motion_is_told_as_the_recipe_says() -> None:
    """To all trained samples, to none, and to the network."""
    for share, expected in ((0.0, [5.0]), (1.0, [])):
        samples = [replace(sample, motion_px_s=5.0) for sample in colour_samples()]
        config = changed(motion_drop=share, model=replace(CONFIG.model, conditions=("motion",)))
        state = randomised(TrainState(HeldSamples(samples), config, STATISTICS, TEXT_DIM, ALONE))
        _, packs = next(state.steps_from(Progress()))
        for pack, _ in state.batch(packs).packs:
            told = pack.conditions_BK[:, CONDITIONS.index("motion")]
            assert told[~told.isnan()].unique().tolist() == expected
            other = replace(pack, conditions_BK=torch.full_like(pack.conditions_BK, 50.0))
            assert not torch.allclose(state.model(pack), state.model(other), atol=1e-4)
