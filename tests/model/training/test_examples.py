"""From a sample to an example: whitening, noise, text, task and timestep, each with its own share of chance."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.diffusion.objectives import Objective
from model.diffusion.timesteps import Density
from model.diffusion.variance import bound_loss
from model.packing.packs import CONDITIONS, Document, LoneFrame
from model.packing.patches import patchify
from model.training.examples import (
    Example,
    LatentStatistics,
    Sample,
    choose_text,
    document_losses,
    draw_example,
    latent_shift,
    noised_example,
    pack_examples,
)
from schemas.recipe.train import TaskMix
from tests.model.training.drawn import STATISTICS, TEXT_DIM, colour_samples

PATCH = (1, 2, 2)
TEXTS = [np.full((i + 1, 2), float(i), np.float32) for i in range(3)]


def drawn(sample: Sample, *, epoch: int = 0, seed: int = 0, text_drop: float = 0.0) -> Example:
    return draw_example(
        sample, STATISTICS, Objective(), Density(), patch=PATCH, seed=seed, epoch=epoch, text_drop=text_drop
    )


def chosen(sample: Sample, choice: float) -> int:
    """The number of the text that is chosen: texts differ in length."""
    text = choose_text(sample, choice)
    assert text is not None
    assert text.dtype == torch.float32
    return len(text) - 1


def test_latents_are_whitened_by_channel():
    statistics = LatentStatistics(mean=(1.0, -2.0), std=(2.0, 0.5))
    raw = np.array([[[[5.0]]], [[[0.0]]]], np.float16)
    assert statistics.whiten(raw).flatten().tolist() == [2.0, 4.0]
    assert statistics.whiten(raw).dtype == torch.float32


def test_examples_depend_on_seed_sample_and_epoch_alone():
    sample = colour_samples(1)[0]
    other = replace(sample, sample_id="other")
    first, again = drawn(sample), drawn(sample)
    assert torch.equal(first.document.latent_CTHW, again.document.latent_CTHW)
    for example in (drawn(sample, epoch=1), drawn(other), drawn(sample, seed=1)):
        assert example.document.timestep != first.document.timestep


def test_texts_are_chosen_in_their_shares():
    sample = Sample("clip", np.zeros((4, 1, 4, 4)), TEXTS, 2.0, text_shares=(0.6, 0.2, 0.0))
    assert [chosen(sample, c) for c in (0.0, 0.74, 0.76, 0.999)] == [0, 0, 1, 1]
    assert chosen(replace(sample, text_shares=(0.0, 0.2, 0.2)), 0.0) == 1
    assert chosen(replace(sample, text_shares=(1.0, 1.0, 2.0)), 1.0) == 2
    assert [chosen(replace(sample, text_shares=()), c) for c in (0.3, 0.4, 0.7)] == [0, 1, 2]
    assert choose_text(replace(sample, texts_LE=[]), 0.5) is None


def test_over_the_epochs_texts_are_drawn_in_their_shares_and_dropped():
    sample = replace(colour_samples(1)[0], texts_LE=TEXTS, text_shares=(0.2, 0.0, 0.6))
    texts = [drawn(sample, epoch=epoch, text_drop=0.3).document.text_LE for epoch in range(1000)]
    counts = Counter(None if text is None else len(text) for text in texts)
    assert counts.keys() == {None, 1, 3}
    assert counts[None] / 1000 == pytest.approx(0.3, abs=0.04)
    assert counts[1] / (counts[1] + counts[3]) == pytest.approx(0.25, abs=0.04)
    assert all(drawn(sample, epoch=epoch).document.text_LE is not None for epoch in range(50))


def test_timesteps_are_shifted_by_the_size_of_the_latent():
    """One token a frame in 16 frames: the median ratio of noise to data is the shift instead of one."""
    sample = Sample("clip", np.zeros((4, 16, 2, 2), np.float32), [], 2.0)
    shift = (1 + 2 * (1 - 256) / (4096 - 256)) * 4
    assert latent_shift((4, 16, 2, 2), PATCH) == pytest.approx(shift)
    assert latent_shift((4, 4, 128, 128), PATCH) == pytest.approx(6.0)
    timesteps = [drawn(sample, epoch=epoch).document.timestep for epoch in range(1000)]
    assert np.median(timesteps) == pytest.approx(shift / (1 + shift), abs=0.02)


def test_some_examples_have_clean_frames():
    sample = colour_samples(2)[1]  # of three latent frames
    given = [drawn(sample, epoch=epoch).document.given_THW for epoch in range(400)]
    assert sum(bool(clean.any()) for clean in given) / 400 == pytest.approx(0.5, abs=0.08)
    assert {int(clean.sum()) for clean in given if clean.shape == (3, 1, 1)} == {0, 1, 2}
    assert any(clean.shape != (3, 1, 1) for clean in given)  # all but a region


def test_clean_frames_carry_data_and_the_others_are_on_the_path():
    data = torch.randn(4, 3, 4, 4)
    noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(0))
    text = torch.randn(2, TEXT_DIM)
    clean = torch.tensor([True, False, False]).view(3, 1, 1)
    example = noised_example(Objective(), data, 2.5, text, clean, 0.3, torch.Generator().manual_seed(0))
    document = example.document
    assert torch.equal(document.latent_CTHW[:, 0], data[:, 0])
    torch.testing.assert_close(document.latent_CTHW[:, 1:], (0.7 * data + 0.3 * noise)[:, 1:])
    torch.testing.assert_close(example.target_CTHW, noise - data)
    assert (document.latent_fps, document.timestep) == (2.5, 0.3)
    assert document.text_LE is text
    assert document.given_THW is clean


def test_targets_follow_the_tokens_of_their_documents():
    """Where nothing is clean, noisy data minus timestep times velocity is the data."""
    generator = torch.Generator().manual_seed(0)
    latents = [torch.randn(4, *shape) for shape in ((3, 4, 4), (1, 4, 4), (3, 4, 4), (1, 6, 2))]
    examples = [
        noised_example(Objective(), data, 2.0, None, torch.zeros(1, 1, 1, dtype=torch.bool), 0.2 * (i + 1), generator)
        for i, data in enumerate(latents)
    ]
    pack, targets = pack_examples(examples, PATCH, TEXT_DIM)
    timestep_N1 = pack.timestep_B.repeat_interleave(torch.tensor(pack.table.lengths))[:, None]
    expected = torch.cat([patchify(latents[i], PATCH) for i in (1, 3, 0, 2)])  # equal shapes together
    torch.testing.assert_close(pack.tokens_NP - timestep_N1 * targets.answer_NP, expected)


def test_the_loss_of_a_document_is_the_mean_over_its_noisy_tokens():
    generator = torch.Generator().manual_seed(0)
    clean = [torch.tensor(given).view(-1, 1, 1) for given in ([False], [True, False, False])]
    examples = [noised_example(Objective(), torch.randn(4, len(c), 4, 4), 2.0, None, c, 0.5, generator) for c in clean]
    pack, targets = pack_examples(examples, PATCH, TEXT_DIM)
    answer = targets.answer_NP.clone()
    answer[pack.clean_N] += 100.0
    assert document_losses(answer, targets, pack).tolist() == [0.0, 0.0]
    answer[:4] += 3.0
    answer[8:12] += 2.0  # one of the two noisy frames of the second document
    assert document_losses(answer, targets, pack).tolist() == pytest.approx([9.0, 2.0])
    assert document_losses(answer.bfloat16(), targets, pack).dtype == torch.float32


def test_what_is_predicted_and_its_weight_are_those_of_the_objective():
    data, clean = torch.randn(4, 2, 4, 4), torch.zeros(2, 1, 1, dtype=torch.bool)
    objective = Objective("rectified_flow", "x0", "velocity", weight_floor=0.1)
    examples = [
        noised_example(objective, data, 2.0, None, clean, timestep, torch.Generator().manual_seed(0))
        for timestep in (0.05, 0.5)
    ]
    assert all(torch.equal(example.target_CTHW, data) for example in examples)
    assert [example.weight for example in examples] == pytest.approx([100.0, 4.0])
    pack, targets = pack_examples(examples, PATCH, TEXT_DIM)
    assert document_losses(targets.answer_NP + 1.0, targets, pack).tolist() == pytest.approx([100.0, 4.0])


def test_the_bound_of_a_learned_variance_is_added_over_the_noisy_tokens_of_each_document() -> None:
    objective = Objective("ddpm_cosine", "v", "min_snr", variance="learned")
    generator = torch.Generator().manual_seed(0)
    clean = [torch.tensor(given).view(-1, 1, 1) for given in ([False], [True, False, False])]
    examples = [
        noised_example(objective, torch.randn(4, len(c), 4, 4), 2.0, None, c, timestep, generator)
        for c, timestep in zip(clean, (0.3, 0.8), strict=True)
    ]
    pack, targets = pack_examples(examples, PATCH, TEXT_DIM)
    error = torch.randn(targets.answer_NP.shape, generator=generator)
    v = torch.randn(error.shape, generator=generator)
    answer = torch.cat([targets.answer_NP + error, v], dim=1).requires_grad_()
    losses = document_losses(answer, targets, pack, objective)
    for i, noisy in enumerate((slice(0, 4), slice(8, 16))):
        level = torch.tensor(examples[i].document.timestep)
        of_error = examples[i].weight * error[noisy].square().mean()
        bound = bound_loss(objective, error[noisy].square(), v[noisy], level).mean()
        assert losses[i].item() == pytest.approx(float(of_error + bound), rel=1e-4)
    losses.sum().backward()
    assert answer.grad is not None
    of_prediction, of_v = answer.grad.chunk(2, dim=1)
    weight_N = torch.tensor([examples[0].weight / 4] * 4 + [0.0] * 4 + [examples[1].weight / 8] * 8)
    torch.testing.assert_close(of_prediction, 2 * error * weight_N[:, None] / error.shape[1])  # by its error alone
    assert not of_v[4:8].any()
    assert (of_v[8:] != 0).all()


def test_timesteps_are_drawn_from_the_density():
    sample = Sample("clip", np.zeros((4, 1, 32, 32), np.float32), [], 2.0)
    given = {"patch": PATCH, "seed": 0, "text_drop": 0.0}
    steps = [
        draw_example(
            sample, STATISTICS, Objective(), Density(mean=3.0, std=0.1, uniform_share=0.0), epoch=epoch, **given
        )
        for epoch in range(50)
    ]
    assert min(example.document.timestep for example in steps) > 0.9


def test_a_last_frame_that_is_encoded_alone_is_given_where_the_task_wants_it() -> None:
    """Of a sample of three latent frames at 2 a second, whose last one shows .625 to 1.0 s."""
    latent, alone = np.random.default_rng(0).standard_normal((2, 4, 3, 4, 4)).astype(np.float16)
    statistics = LatentStatistics((1.0,) * 4, (2.0,) * 4)
    tasks = TaskMix(0, 0, 0, 0, 0.5, 0.5)

    def drawn_of(frames: dict[float, np.ndarray], *, lone_frames: bool = True) -> list[Document]:
        sample = Sample("a", latent, [], 2.0, frame_latents=frames)
        settings = {"patch": PATCH, "seed": 0, "text_drop": 0.0, "tasks": tasks, "lone_frames": lone_frames}
        return [
            draw_example(sample, statistics, Objective(), Density(), epoch=epoch, **settings).document
            for epoch in range(20)
        ]

    documents = drawn_of({0.0: alone[:, :1], 0.875: alone[:, 1:2]})
    for document in documents:
        (frame,) = document.frames
        assert frame.seconds == 0.875
        torch.testing.assert_close(frame.latent_CHW, torch.from_numpy((alone[:, 1].astype(np.float32) - 1) / 2))
    assert {int(document.given_THW.sum()) for document in documents} == {0, 1}
    others = [drawn_of({0.0: alone[:, :1], 0.5: alone[:, 1:2]}), drawn_of({})]
    others.append(drawn_of({0.875: alone[:, :1]}, lone_frames=False))
    assert not any(document.frames for documents in others for document in documents)


def test_targets_have_a_place_for_frames_that_are_given_and_no_error_there() -> None:
    example = noised_example(
        Objective(), torch.randn(4, 3, 4, 4), 2.0, None, torch.zeros(1, 1, 1, dtype=torch.bool), 0.5, torch.Generator()
    )
    frame = LoneFrame(torch.randn(4, 4, 4), 1.0)
    given = replace(example, document=replace(example.document, frames=(frame,)))
    pack, targets = pack_examples([given, example], PATCH, TEXT_DIM)
    assert pack.table.lengths == [16, 12]
    answer = targets.answer_NP.clone()
    answer[12:16] += 100.0
    assert document_losses(answer, targets, pack).tolist() == [0.0, 0.0]
    torch.testing.assert_close(targets.answer_NP[:12], targets.answer_NP[16:])


def test_motion_is_told_but_to_a_share_of_samples() -> None:
    sample = replace(colour_samples(1)[0], motion_px_s=12.5)
    told = [told_in(sample, epoch=epoch, motion_drop=0.3) for epoch in range(600)]
    assert sum(not one for one in told) / 600 == pytest.approx(0.3, abs=0.06)
    assert {tuple(one.items()) for one in told} == {(), (("motion", 12.5),)}
    assert all(told_in(sample, epoch=epoch) for epoch in range(50))
    assert not told_in(replace(sample, motion_px_s=None))
    assert told_in(replace(sample, motion_px_s=0.0)) == {"motion": 0.0}  # which is not the same as unknown


def told_in(sample: Sample, *, epoch: int = 0, motion_drop: float = 0.0) -> dict[str, float]:
    settings = {"patch": PATCH, "seed": 0, "text_drop": 0.0, "motion_drop": motion_drop}
    return dict(draw_example(sample, STATISTICS, Objective(), Density(), epoch=epoch, **settings).document.told)


def test_whether_motion_is_told_changes_nothing_else_of_an_example() -> None:
    sample = colour_samples(2)[1]
    settings = {"patch": PATCH, "seed": 0, "epoch": 0, "text_drop": 0.5}
    plain, told = (
        draw_example(one, STATISTICS, Objective(), Density(), motion_drop=share, **settings).document
        for one, share in ((sample, 0.0), (replace(sample, motion_px_s=3.0), 1.0))
    )
    assert torch.equal(plain.latent_CTHW, told.latent_CTHW)
    assert (plain.timestep, plain.text_LE is None) == (told.timestep, told.text_LE is None)
    pack, _ = pack_examples(
        [draw_example(replace(sample, motion_px_s=3.0), STATISTICS, Objective(), Density(), **settings)],
        PATCH,
        TEXT_DIM,
    )
    assert pack.conditions_BK[0, CONDITIONS.index("motion")] == 3.0


def test_frames_that_are_left_out_are_neither_seen_nor_wanted_and_do_not_count_for_the_noise_level() -> None:
    """The median noise level is that of a clip of as many frames as there are."""
    sample = Sample("clip", np.random.default_rng(0).normal(size=(4, 9, 4, 4)).astype(np.float32), [], 2.0)
    settings = {"patch": PATCH, "seed": 0, "text_drop": 0.0, "tasks": TaskMix(0, 0, 0, 0, past=1)}
    unshifted = []
    for epoch in range(2000):
        example = draw_example(sample, STATISTICS, Objective(), Density(), epoch=epoch, **settings)
        document = example.document
        assert document.kept_N is not None
        shift = latent_shift((4, int(document.kept_N.sum()) // 4, 4, 4), PATCH)
        unshifted.append(document.timestep / (shift - (shift - 1) * document.timestep))
        if epoch < 20:
            pack, targets = pack_examples([example], PATCH, TEXT_DIM)
            assert torch.equal(targets.answer_NP, patchify(example.target_CTHW, PATCH)[document.kept_N])
            assert torch.equal(pack.tokens_NP, patchify(document.latent_CTHW, PATCH)[document.kept_N])
    assert np.median(unshifted) == pytest.approx(0.5, abs=0.025)
