"""A forecast agrees with the run that it is of: its plan, its FLOPs, and the memory that it takes."""

from dataclasses import replace

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.training import forecast
from model.training.activations import kept_bytes
from model.training.forecast import foresee, pack_of, seconds_of, step_bytes, step_flops, weight_bytes
from model.training.parallel import ALONE
from model.training.progress import Progress
from model.training.samples import HeldSamples
from model.training.step import TrainState, transformer_config
from model.transformer.lora import add_lora
from model.transformer.transformer import Transformer, count_parameters
from schemas.recipe.train import LoraConfig
from tests.model.training.drawn import CONFIG, SHAPES, STATISTICS, TEXT_DIM, changed, colour_samples

NETWORK = transformer_config(CONFIG.model, latent_channels=4, text_dim=TEXT_DIM)


def test_samples_tokens_and_steps_are_those_of_the_plan():
    samples = HeldSamples(colour_samples())
    foreseen = foresee(samples, CONFIG, NETWORK)
    state = TrainState(samples, changed(steps=1000), STATISTICS, TEXT_DIM, ALONE)
    assert (foreseen.samples, foreseen.held_out) == (22, 2)
    assert foreseen.epoch_tokens == state.plan.counts.sum()
    steps = [progress for progress, _ in state.steps_from(Progress()) if progress.epoch < 20]
    assert foreseen.epoch_steps == pytest.approx(len(steps) / 20, rel=0.1)
    assert foreseen.parameters == sum(parameter.numel() for parameter in state.model.parameters())


def test_flops_of_a_step_are_what_a_run_computes(monkeypatch):
    monkeypatch.setattr(forecast, "TEXT_TOKENS", 2)  # as long as these texts are
    samples = HeldSamples(colour_samples())
    state = TrainState(samples, changed(steps=40, text_drop=0.0), STATISTICS, TEXT_DIM, ALONE)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # which are counted
        for progress, packs in state.steps_from(Progress()):
            state.step(progress, state.batch(packs))
    assert foresee(samples, CONFIG, NETWORK).step_flops == pytest.approx(counter.get_total_flops() / 40, rel=0.1)


@pytest.mark.parametrize("settings", [{}, {"text": "in_context"}, {"layouts": ("spatial", "temporal")}])
def test_a_step_without_values_takes_what_one_with_values_does(settings):
    network = replace(NETWORK, **settings)
    pack, transformer = pack_of(SHAPES, network), Transformer(network)
    assert step_bytes(network, SHAPES) == kept_bytes(transformer, pack)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        transformer(pack).sum().backward()
    assert step_flops(network, pack) == counter.get_total_flops()


def test_more_is_kept_of_a_larger_pack_and_a_deeper_network():
    def kept(num_shapes: int, **settings: int) -> int:
        network = replace(NETWORK, **settings)
        return step_bytes(network, SHAPES[:num_shapes])

    assert kept(1) < kept(2) < kept(3) < kept(3, depth=4) < 2.2 * kept(3)


def test_with_blocks_computed_again_each_keeps_its_tokens_alone():
    def kept(depth: int, recomputed: bool) -> int:
        return step_bytes(replace(NETWORK, depth=depth), SHAPES, recomputed=recomputed)

    tokens = pack_of(SHAPES, NETWORK).tokens_NP.shape[0]
    assert kept(6, True) - kept(4, True) == 2 * 4 * tokens * NETWORK.width
    assert kept(1, True) == kept(1, False)
    assert kept(4, True) < 0.5 * kept(4, False)
    recomputed = changed(activation_checkpointing="blocks")
    of_run = [
        foresee(HeldSamples(colour_samples()), config, NETWORK).activation_bytes for config in (CONFIG, recomputed)
    ]
    assert of_run[1] < of_run[0]


def test_weights_that_workers_share_take_a_part_and_the_largest_block():
    alone = weight_bytes(NETWORK, CONFIG)
    assert weight_bytes(NETWORK, changed(parallel="fsdp")) == alone
    assert weight_bytes(NETWORK, changed(num_workers=2)) == alone
    shared = [weight_bytes(NETWORK, changed(parallel="fsdp", num_workers=n, packs_per_step=n)) for n in (2, 4)]
    assert shared[0] - shared[1] == pytest.approx(alone / 4, abs=4)
    largest = 2 * (2 * shared[1] - shared[0])
    block = sum(p.numel() for p in Transformer(NETWORK).blocks[0].parameters())
    assert largest >= 2 * 2 * 4 * block - 16


def test_bytes_of_weights_are_those_that_training_holds():
    samples = HeldSamples(colour_samples())
    for settings in ({}, {"optimizer": "muon"}):
        config = changed(steps=1, **settings)
        state = TrainState(samples, config, STATISTICS, TEXT_DIM, ALONE)
        progress, packs = next(state.steps_from(Progress()))
        state.step(progress, state.batch(packs))
        held = [t for tensors in state.tensors().values() for name, t in tensors.items() if not name.endswith(".step")]
        gradients = [p.grad for p in state.model.parameters() if p.grad is not None]
        assert weight_bytes(state.model.config, config) == sum(t.nbytes for t in [*held, *gradients])


def test_time_is_that_of_the_shortest_try_and_shared_by_the_workers():
    times = iter([0.0, 5.0, 6.0, 8.0, 10.0, 14.0])
    assert seconds_of(Transformer(NETWORK), pack_of(SHAPES, NETWORK), lambda: next(times)) == 2.0
    foreseen = replace(
        foresee(HeldSamples(colour_samples()), CONFIG, NETWORK), pack_seconds=3.0, pack_flops=2.0, step_flops=8.0
    )
    assert foreseen.seconds(steps=10, packs_per_step=4, num_workers=2) == 10 * 4 * 3.0 / 2
    assert foreseen.seconds(steps=10, packs_per_step=1, num_workers=2) == 10 * 4 * 3.0
    assert replace(foreseen, pack_seconds=None).seconds(10, 1, 1) is None


def test_with_additions_all_weights_are_held_and_only_these_are_trained():
    config = changed(lora=LoraConfig(rank=2))
    added = Transformer(NETWORK)
    add_lora(added, config.lora)
    trained = sum(p.numel() for p in added.parameters() if p.requires_grad)
    assert 0 < trained < count_parameters(NETWORK)
    assert weight_bytes(NETWORK, config) == 4 * (count_parameters(NETWORK) + trained + 5 * trained)
