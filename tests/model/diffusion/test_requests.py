"""What a request may say beside its text: parts shown as noisy as the rest, frames that are left out, loops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from model.diffusion.objectives import Objective
from model.diffusion.requests import Given, Request, crossfaded
from model.diffusion.samplers import SAMPLERS
from model.diffusion.sampling import sample_latent, sample_latents
from model.packing.packs import Pack
from model.packing.patches import patchify
from model.transformer.config import TransformerConfig
from model.transformer.transformer import Transformer
from tests.model.diffusion.test_sampling import CONFIG, SHAPE, TEXT, FlowToPoint, levels

LONG = (4, 6, 4, 6)
PATCH = CONFIG.patch


def random_transformer(config: TransformerConfig = CONFIG) -> Transformer:
    torch.manual_seed(0)
    transformer = Transformer(config)
    for parameter in transformer.parameters():  # of which some start as zero
        torch.nn.init.normal_(parameter, std=0.1)
    return transformer


def noise_of(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_what_is_noisy_is_shown_at_the_level_of_the_rest_and_comes_back_as_it_is() -> None:
    flow, end = FlowToPoint(), torch.randn(4, 1, 4, 6)
    request = Request(TEXT, SHAPE, 2.0, given=(Given(end, start=2, shown="noisy"),))
    latent = sample_latent(flow, request, Objective(), num_steps=4, guidance=1.0)
    assert torch.equal(latent[:, 2:], end)
    torch.testing.assert_close(latent[:, :2], torch.full((4, 2, 4, 6), 5.0), rtol=1e-4, atol=1e-4)
    noise = noise_of(SHAPE)[:, 2:]
    for pack, level in zip(flow.packs, levels(flow.packs), strict=True):
        assert not pack.given_NP.any()
        torch.testing.assert_close(pack.tokens_NP[12:], patchify((1 - level) * end + level * noise, PATCH))


def test_what_is_clean_stays_clean_where_noisy_parts_overlap_it() -> None:
    flow, first, every = FlowToPoint(), torch.randn(4, 1, 4, 6), torch.randn(4, 2, 4, 6)
    request = Request(TEXT, SHAPE, 2.0, given=(Given(first), Given(every, shown="noisy")))
    latent = sample_latent(flow, request, Objective(), num_steps=3, guidance=1.0)
    assert torch.equal(latent[:, :2], torch.cat([first, every[:, 1:]], dim=1))
    assert all(torch.equal(pack.tokens_NP[:6], patchify(first, PATCH)) for pack in flow.packs)


def test_of_a_region_that_is_noisy_the_rest_is_sampled() -> None:
    mask = torch.zeros(1, 4, 6, dtype=torch.bool)
    mask[:, :2] = True
    frame = torch.randn(4, 1, 4, 6)
    request = Request(TEXT, SHAPE, 2.0, given=(Given(frame, 1, mask, "noisy"),))
    latent = sample_latent(FlowToPoint(), request, Objective(), num_steps=3, guidance=1.0)
    assert torch.equal(latent[:, 1:2, :2], frame[:, :, :2])
    torch.testing.assert_close(latent[:, 1:2, 2:], torch.full((4, 1, 2, 6), 5.0), rtol=1e-4, atol=1e-4)


def test_a_blended_part_goes_over_into_what_is_sampled_at_a_frame_that_each_step_chooses() -> None:
    shape, part = (4, 7, 2, 2), torch.randn(4, 4, 2, 2)
    ends, chosen = [], set()
    for seed in range(12):
        flow = FlowToPoint()
        request = Request(TEXT, shape, 2.0, seed, given=(Given(part, 1, shown="blended"),))
        latent = sample_latent(flow, request, Objective(), num_steps=8, guidance=1.0)
        noise, of_steps = noise_of(shape, seed)[:, 1:5], set()
        for pack, level in zip(flow.packs, levels(flow.packs), strict=True):
            held = patchify((1 - level) * part + level * noise, PATCH)
            is_held = torch.isclose(pack.tokens_NP[1:5], held, atol=1e-5).all(dim=1).tolist()
            if level < 1:
                assert is_held == sorted(is_held, reverse=True)
                of_steps.add(sum(is_held))
        assert len(of_steps) > 1
        chosen |= of_steps
        end = [torch.equal(latent[:, 1 + i], part[:, i]) for i in range(4)]
        assert end == sorted(end, reverse=True)
        ends.append(sum(end))
        again = sample_latent(FlowToPoint(), request, Objective(), num_steps=8, guidance=1.0)
        assert torch.equal(again, latent)
    assert chosen == {0, 1, 2, 3, 4}
    assert {0, 4} < set(ends)


def test_all_may_be_blended_but_not_all_held() -> None:
    whole = torch.randn(SHAPE)
    with pytest.raises(ValueError, match="all of the clip is given"):
        sample_latent(FlowToPoint(), Request(TEXT, SHAPE, 2.0, given=(Given(whole, shown="noisy"),)), Objective())
    request = Request(TEXT, SHAPE, 2.0, given=(Given(whole, shown="blended"),))
    assert sample_latent(FlowToPoint(), request, Objective(), num_steps=2).shape == SHAPE


@pytest.mark.parametrize("layouts", [("joint",), ("spatial", "temporal")])
def test_frames_that_are_left_out_are_not_there(layouts: tuple[str, ...]) -> None:
    """What is sampled depends on their times alone: the same as of a clip that was never longer."""
    transformer = random_transformer(replace(CONFIG, depth=2, layouts=layouts))
    given = torch.randn(4, 2, 4, 6)
    kept = torch.tensor([False, False, False, True, True, True])
    late = Request(TEXT, LONG, 2.0, given=(Given(given, 3),), kept_T=kept)
    settings: dict[str, Any] = {"num_steps": 1, "guidance": 2.0}
    latent = sample_latent(transformer, late, Objective(), **settings)
    assert not latent[:, :3].any()
    assert torch.equal(latent[:, 3:5], given)
    # The noise of both: that of the long clip at the last frame.
    short = Request(TEXT, SHAPE, 2.0, given=(Given(given),), source_CTHW=torch.zeros(SHAPE))
    expected = _with_noise(transformer, short, noise_of(LONG)[:, 3:], settings)
    torch.testing.assert_close(latent[:, 5], expected[:, 2], rtol=1e-3, atol=1e-4)
    far = torch.tensor([True, False, False, True, True, True])
    other = replace(late, given=(Given(10 * given[:, :1]), *late.given), kept_T=far)
    assert not torch.allclose(sample_latent(transformer, other, Objective(), **settings)[:, 5], latent[:, 5], atol=1e-3)


def _with_noise(transformer: Transformer, request: Request, noise: Tensor, settings: dict[str, Any]) -> Tensor:
    """A sample from given noise: an edit of strength 1 of a source is all noise, so that it is put there by hand."""
    drawn = torch.randn

    def fixed(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        assert tuple(shape) == tuple(noise.shape)
        return noise.clone()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch, "randn", fixed)
        latent = sample_latent(transformer, replace(request, source_CTHW=None), Objective(), **settings)
    assert torch.randn is drawn
    return latent


def test_noise_levels_are_those_of_the_frames_that_are_there() -> None:
    flow, short = FlowToPoint(), FlowToPoint()
    kept = torch.tensor([True, False, False, False, True, True])
    sample_latent(flow, Request(TEXT, LONG, 2.0, kept_T=kept), Objective(), num_steps=4)
    sample_latent(short, Request(TEXT, SHAPE, 2.0), Objective(), num_steps=4)
    assert levels(flow.packs) == levels(short.packs)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_end_of_a_loop_repeats_its_beginning(sampler: str) -> None:
    objective = Objective("ddpm_cosine", "v")
    request = Request(TEXT, LONG, 2.0, period=3)
    latent = sample_latent(random_transformer(), request, objective, sampler=sampler, num_steps=4)
    assert torch.equal(latent[:, 1:3], latent[:, 4:6])
    assert not torch.allclose(latent[:, 3], latent[:, 1], atol=1e-2)


def test_what_is_seen_at_both_places_of_a_loop_counts_alike() -> None:
    """Answers differ by frame; those of frames 1 and 4, and of 2 and 5, are averaged."""

    class Frames(FlowToPoint):
        def forward(self, pack: Pack) -> Tensor:
            self.packs.append(pack)
            frame_N1 = torch.from_numpy(pack.table.place_N3[:, :1]).float()
            return frame_N1.expand(pack.tokens_NP.shape)

    flow = Frames()
    latent = sample_latent(flow, Request(None, LONG, 2.0, period=3), Objective(), num_steps=1)
    answers = torch.tensor([0.0, 2.5, 3.5, 3.0, 2.5, 3.5]).view(6, 1, 1)
    noise = noise_of(LONG)
    noise[:, 4:] = noise[:, 1:3]
    torch.testing.assert_close(latent, noise - answers)
    torch.testing.assert_close(flow.packs[0].tokens_NP, patchify(noise, PATCH))


def test_loops_that_are_sampled_together_are_those_that_are_sampled_alone() -> None:
    transformer = random_transformer(replace(CONFIG, patch=(2, 2, 2)))
    requests = [Request(TEXT + i, (4, 8, 4, 4), 2.0, seed=i, period=4) for i in range(2)]
    together = sample_latents(transformer, requests, Objective(), num_steps=2)
    for request, latent in zip(requests, together, strict=True):
        alone = sample_latent(transformer, request, Objective(), num_steps=2)
        torch.testing.assert_close(latent, alone, rtol=1e-4, atol=1e-4)
        assert torch.equal(latent[:, 2:4], latent[:, 6:8])


@pytest.mark.parametrize(("frames", "period", "patch"), [(6, 5, 1), (6, 2, 1), (6, 0, 1), (8, 3, 2), (4, 2, 2)])
def test_a_loop_must_be_shown_whole_and_in_part_twice(frames: int, period: int, patch: int) -> None:
    flow = FlowToPoint(replace(CONFIG, patch=(patch, 2, 2)))
    with pytest.raises(ValueError, match=f"{frames} latent frames does not show a loop of {period}"):
        sample_latent(flow, Request(TEXT, (4, frames, 4, 4), 2.0, period=period), Objective())


@pytest.mark.parametrize("changes", [{"period": 3}, {"kept_T": torch.tensor([True] * 5 + [False])}])
def test_requests_that_are_not_alike_are_refused(changes: dict[str, Any]) -> None:
    requests = [Request(TEXT, LONG, 2.0), replace(Request(TEXT, LONG, 2.0), **changes)]
    with pytest.raises(ValueError, match="must have one shape"):
        sample_latents(FlowToPoint(), requests, Objective())


def test_one_video_goes_over_into_another() -> None:
    first, second = torch.zeros(4, 5, 2, 2), torch.ones(4, 5, 2, 2)
    assert crossfaded(first, second)[0, :, 0, 0].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
