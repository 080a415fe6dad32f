"""Sampling with a stand-in for the transformer whose flow ends where the text says."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.diffusion.guidance import Guidance
from model.diffusion.objectives import Objective
from model.diffusion.requests import Given, Request
from model.diffusion.samplers import SAMPLERS, Course, ddpm
from model.diffusion.sampling import sample_latent, sample_latents
from model.diffusion.timesteps import timesteps
from model.packing.packs import LoneFrame, Pack
from model.packing.patches import patchify
from model.training.examples import latent_shift
from model.transformer.config import TransformerConfig
from model.transformer.transformer import Transformer

CONFIG = TransformerConfig(width=24, depth=1, num_heads=2, latent_channels=4, text_dim=3)
SHAPE = (4, 3, 4, 6)
TEXT = torch.full((2, 3), 5.0)


class FlowToPoint(nn.Module):
    """Answers the exact velocity of data at one point: the mean of the document's text, or -1 without text."""

    def __init__(self, config: TransformerConfig = CONFIG) -> None:
        super().__init__()
        self.config = config
        self.final = nn.Linear(1, 1)
        self.packs: list[Pack] = []

    def forward(self, pack: Pack) -> Tensor:
        self.packs.append(pack)
        texts = pack.text_ME.split(list(pack.table.text_lengths))
        points = [text.mean() if len(text) else torch.tensor(-1.0) for text in texts]
        parts = zip(pack.tokens_NP.split(pack.table.lengths), points, pack.timestep_B, strict=True)
        return torch.cat([(x - point) / t for x, point, t in parts])


class NoFlow(FlowToPoint):
    def forward(self, pack: Pack) -> Tensor:
        return torch.zeros_like(pack.tokens_NP)


def levels(packs: Sequence[Pack]) -> list[float]:
    return [pack.timestep_B[0].item() for pack in packs]


@pytest.mark.parametrize(
    ("text", "guidance", "end", "documents"), [(TEXT, 3.0, -1 + 3 * 6, 2), (TEXT, 1.0, 5, 1), (None, 3.0, -1, 1)]
)
def test_samples_end_where_the_guided_flow_ends(text, guidance, end, documents):
    """Away from where the flow without text ends; without text or guidance the transformer is asked once a step."""
    flow = FlowToPoint()
    latent = sample_latent(flow, Request(text, SHAPE, 2.0), Objective(), num_steps=3, guidance=guidance)
    torch.testing.assert_close(latent, torch.full(SHAPE, float(end)), rtol=1e-4, atol=1e-4)
    assert {len(pack.timestep_B) for pack in flow.packs} == {documents}


def test_a_scale_of_one_is_the_model_with_text_whatever_else_is_set() -> None:
    plain = sample_latent(FlowToPoint(), Request(TEXT, SHAPE, 2.0), Objective(), num_steps=3, guidance=1.0)
    flow = FlowToPoint()
    guidance = Guidance(1.0, interval=(0.2, 0.9), rescale=1.0)
    assert torch.equal(
        sample_latent(flow, Request(TEXT, SHAPE, 2.0), Objective(), num_steps=3, guidance=guidance), plain
    )
    assert {len(pack.timestep_B) for pack in flow.packs} == {1}


def test_outside_the_interval_only_the_answer_with_text_is_asked_for() -> None:
    times = timesteps(6, latent_shift(SHAPE, CONFIG.patch))
    flow = FlowToPoint()
    guidance = Guidance(3.0, interval=(times[3], times[1]))
    latent = sample_latent(flow, Request(TEXT, SHAPE, 2.0), Objective(), num_steps=6, guidance=guidance)
    assert levels(flow.packs) == pytest.approx(times[:-1])
    assert [len(pack.timestep_B) for pack in flow.packs] == [1, 2, 2, 2, 1, 1]
    x = patchify(torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)), CONFIG.patch)
    for now, after, end in zip(times, times[1:], (5.0, 17.0, 17.0, 17.0, 5.0, 5.0), strict=False):
        x = x + (after - now) * (x - end) / now
    torch.testing.assert_close(patchify(latent, CONFIG.patch), x, rtol=1e-4, atol=1e-4)


def test_each_request_is_rescaled_over_its_own_noisy_tokens() -> None:
    """The prefixes, of which answers mean nothing, do not count; nor does what else is sampled."""
    torch.manual_seed(0)
    transformer = Transformer(CONFIG)
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    requests = [
        Request(text, SHAPE, 2.0, seed=i, given=(Given(10 * torch.randn(4, 1, 4, 6)),))
        for i, text in enumerate((TEXT, TEXT[:1] - 4))
    ]
    settings = {"num_steps": 2, "guidance": Guidance(6.0, rescale=0.9)}
    together = sample_latents(transformer, requests, Objective(), **settings)
    for request, latent in zip(requests, together, strict=True):
        torch.testing.assert_close(
            latent, sample_latent(transformer, request, Objective(), **settings), rtol=1e-4, atol=1e-4
        )
    seen: list[Tensor] = []
    transformer.register_forward_hook(lambda module, given, answer: seen.append(answer))
    latent = sample_latent(transformer, requests[0], Objective(), num_steps=1, guidance=settings["guidance"])
    conditional, unconditional = (answer[6:] for answer in seen[0].chunk(2))  # six tokens are of the prefix
    expected = settings["guidance"].guide(conditional, unconditional, [12])
    start = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(patchify(latent, CONFIG.patch)[6:], patchify(start, CONFIG.patch)[6:] - expected)


def test_the_default_is_thirty_steps_with_guidance_four():
    flow = FlowToPoint()
    latent = sample_latent(flow, Request(TEXT, SHAPE, 2.0), Objective())
    torch.testing.assert_close(latent, torch.full(SHAPE, -1.0 + 4 * 6), rtol=1e-3, atol=1e-3)
    assert len(flow.packs) == 30


def test_noise_levels_are_shifted_by_the_size_of_the_latent():
    """3 latent frames of 2 x 3 tokens."""
    flow = FlowToPoint()
    sample_latent(flow, Request(None, SHAPE, 2.0), Objective(), num_steps=4)
    shift = (1 + 2 * (6 - 256) / (4096 - 256)) * 3**0.5
    assert levels(flow.packs) == pytest.approx([shift * t / (1 + (shift - 1) * t) for t in (1.0, 0.75, 0.5, 0.25)])


class SeesPoint(nn.Module):
    """Answers data at the mean of the document's text, whatever is predicted."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.config, self.objective = CONFIG, objective
        self.final = nn.Linear(1, 1)

    def forward(self, pack: Pack) -> Tensor:
        level = pack.timestep_B[0]
        alpha, sigma = self.objective.path.at(level)
        point = torch.full_like(pack.tokens_NP, float(pack.text_ME.mean()))
        return self.objective.target(point, (pack.tokens_NP - alpha * point) / sigma, level)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("prediction", ["x0", "v", "velocity"])
@pytest.mark.parametrize("path", ["rectified_flow", "ddpm_cosine"])
def test_what_is_predicted_by_whichever_sampler_ends_at_the_data(path: str, prediction: str, sampler: str) -> None:
    objective = Objective(path, prediction)
    prefix = torch.randn(4, 1, 4, 6)
    request = Request(TEXT, SHAPE, 2.0, given=(Given(prefix),))
    latent = sample_latent(SeesPoint(objective), request, objective, sampler=sampler, num_steps=40, guidance=1.0)
    assert torch.equal(latent[:, :1], prefix)
    torch.testing.assert_close(latent[:, 1:], torch.full((4, 2, 4, 6), 5.0), rtol=0, atol=0.05)


def test_a_sample_starts_from_the_noise_of_its_seed():
    for seed in (0, 7):
        noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(sample_latent(NoFlow(), Request(TEXT, SHAPE, 2.0, seed=seed), Objective()), noise)
    assert Request(TEXT, SHAPE, 2.0).seed == 0


def test_noise_that_a_sampler_adds_goes_on_from_that_of_the_start():
    objective, request = Objective("ddpm_cosine", "v"), Request(TEXT, SHAPE, 2.0, seed=3)
    found = sample_latent(NoFlow(), request, objective, sampler="ddpm", num_steps=2, guidance=1.0)
    generator = torch.Generator().manual_seed(3)
    x = patchify(torch.randn(SHAPE, generator=generator), CONFIG.patch)
    times = timesteps(2, latent_shift(SHAPE, CONFIG.patch))
    course = Course(lambda x, t: objective.solve(0 * x, x, torch.tensor(t)), objective.path, times, [generator])
    torch.testing.assert_close(patchify(found, CONFIG.patch), ddpm(x, course), rtol=1e-4, atol=1e-4)


class Halves(FlowToPoint):
    """Sees half of what it is shown as data."""

    def forward(self, pack: Pack) -> Tensor:
        return pack.tokens_NP / 2


class SaysVariance(Halves):
    """Says, besides, v = 0.5 with text and -1 without."""

    def forward(self, pack: Pack) -> Tensor:
        v_B = torch.tensor([0.5 if length else -1.0 for length in pack.table.text_lengths])
        v_N1 = v_B.repeat_interleave(torch.tensor(pack.table.lengths))[:, None]
        return torch.cat([super().forward(pack), v_N1.expand_as(pack.tokens_NP)], dim=1)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_learned_variance_is_that_of_the_answer_with_text(guidance: float) -> None:
    objective = Objective("ddpm_linear", "x0", variance="learned")
    request = Request(TEXT, SHAPE, 2.0, seed=3)
    found = sample_latent(SaysVariance(), request, objective, sampler="ddpm", num_steps=3, guidance=guidance)

    def with_variance(x: Tensor, timestep: float) -> tuple[Tensor, Tensor, Tensor]:
        return *objective.solve(x / 2, x, torch.tensor(timestep)), torch.full_like(x, 0.5)

    generator = torch.Generator().manual_seed(3)
    x = patchify(torch.randn(SHAPE, generator=generator), CONFIG.patch)
    times = timesteps(3, latent_shift(SHAPE, CONFIG.patch))
    course = Course(lambda x, t: with_variance(x, t)[:2], objective.path, times, [generator], with_variance)
    torch.testing.assert_close(patchify(found, CONFIG.patch), ddpm(x, course), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS.keys() - {"ddpm"}))
def test_other_samplers_leave_a_learned_variance_aside(sampler: str) -> None:
    learned, fixed = (Objective("ddpm_linear", "x0", variance=variance) for variance in ("learned", "fixed"))
    settings = {"sampler": sampler, "num_steps": 3, "guidance": 1.0}
    found = sample_latent(SaysVariance(), Request(TEXT, SHAPE, 2.0), learned, **settings)
    assert torch.equal(found, sample_latent(Halves(), Request(TEXT, SHAPE, 2.0), fixed, **settings))


def test_what_is_sampled_does_not_depend_on_the_other_requests() -> None:
    objective = Objective("ddpm_cosine", "v")
    torch.manual_seed(0)
    transformer = Transformer(CONFIG)
    for parameter in transformer.parameters():  # of which some start as zero
        torch.nn.init.normal_(parameter, std=0.1)
    texts = (TEXT, TEXT[:1] - 4, None)
    requests = [
        Request(text, SHAPE, 2.0, seed=i, given=(Given(torch.randn(4, 1, 4, 6)),)) for i, text in enumerate(texts)
    ]
    together = sample_latents(transformer, requests, objective, sampler="ddpm", num_steps=3)
    for request, latent in zip(requests, together, strict=True):
        alone = sample_latent(transformer, request, objective, sampler="ddpm", num_steps=3)
        torch.testing.assert_close(latent, alone, rtol=1e-4, atol=1e-4)


def test_requests_that_are_not_alike_are_refused() -> None:
    requests = [Request(TEXT, SHAPE, 2.0), Request(TEXT, (4, 3, 6, 4), 2.0)]
    with pytest.raises(ValueError, match="must have one shape"):
        sample_latents(FlowToPoint(), requests, Objective())


def test_a_prefix_is_seen_clean_and_stays_as_given():
    flow, prefix = FlowToPoint(), torch.randn(4, 2, 4, 6)
    latent = sample_latent(
        flow, Request(TEXT, SHAPE, 2.5, given=(Given(prefix),)), Objective(), num_steps=2, guidance=2.0
    )
    assert torch.equal(latent[:, :2], prefix)
    torch.testing.assert_close(latent[:, 2:], torch.full((4, 1, 4, 6), -1.0 + 2 * 6), rtol=1e-4, atol=1e-4)
    for pack in flow.packs:
        assert pack.clean_N.tolist() == ([True] * 12 + [False] * 6) * 2
        assert np.unique(pack.table.seconds_N).tolist() == pytest.approx([0.0, 1 / 2.5, 2 / 2.5])


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Given(torch.zeros(4, 3, 4, 6)), "all of the clip is given"),
        (Given(torch.zeros(4, 4, 4, 6)), "latent frames 0 to 4 are given of a clip that has 3"),
        (Given(torch.zeros(4, 1, 4, 6), start=3), "latent frames 3 to 4"),
        (Given(torch.zeros(4, 1, 4, 6), start=-1), "latent frames -1 to 0"),
        (Given(torch.zeros(4, 1, 4, 4)), "what is given is a latent of"),
        (Given(torch.zeros(3, 1, 4, 6)), "what is given is a latent of"),
    ],
)
def test_what_does_not_fit_the_clip_is_refused(part: Given, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample_latent(FlowToPoint(), Request(TEXT, SHAPE, 2.0, given=(part,)), Objective())


def test_any_part_may_be_given_and_stays_as_it_is() -> None:
    """The end, and of one frame a region that is finer than a patch: its tokens are as noisy as the rest."""
    flow, end, frame = FlowToPoint(), torch.randn(4, 1, 4, 6), torch.randn(4, 1, 4, 6)
    mask = torch.zeros(1, 4, 6, dtype=torch.bool)
    mask[:, :3] = True
    given = (Given(end, start=2), Given(frame, start=1, mask_THW=mask))
    latent = sample_latent(flow, Request(TEXT, SHAPE, 2.0, given=given), Objective(), num_steps=4, guidance=1.0)
    assert torch.equal(latent[:, 2:], end)
    assert torch.equal(latent[:, 1:2, :3], frame[:, :, :3])
    for part in (latent[:, :1], latent[:, 1:2, 3:]):
        torch.testing.assert_close(part, torch.full_like(part, 5.0), rtol=1e-4, atol=1e-4)
    for pack in flow.packs:
        assert pack.clean_N.tolist() == [False] * 6 + [True] * 3 + [False] * 3 + [True] * 6
        assert torch.equal(pack.tokens_NP[pack.given_NP], flow.packs[0].tokens_NP[pack.given_NP])


def test_frames_on_their_own_are_tokens_of_each_request() -> None:
    config = replace(CONFIG, lone_frames=True)
    torch.manual_seed(0)
    transformer = Transformer(config)
    for parameter in transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    last = [(LoneFrame(torch.randn(4, 4, 6), 1.0),) for _ in range(2)]
    requests = [Request(TEXT, SHAPE, 2.0, seed=i, frames=frames) for i, frames in enumerate(last)]
    together = sample_latents(transformer, requests, Objective(), num_steps=2)
    for request, latent in zip(requests, together, strict=True):
        assert latent.shape == SHAPE
        alone = sample_latent(transformer, request, Objective(), num_steps=2)
        torch.testing.assert_close(latent, alone, rtol=1e-4, atol=1e-4)
        without = sample_latent(transformer, replace(request, frames=()), Objective(), num_steps=2)
        assert not torch.allclose(latent, without, atol=1e-3)
    with pytest.raises(ValueError, match="as many frames on their own"):
        sample_latents(transformer, [requests[0], replace(requests[1], frames=())], Objective(), num_steps=2)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_edit_of_no_strength_is_the_source_and_of_full_strength_has_nothing_of_it(sampler: str) -> None:
    source = torch.randn(SHAPE)
    request = Request(TEXT, SHAPE, 2.0, source_CTHW=source)
    objective = Objective("rectified_flow", "velocity")
    same = sample_latent(SeesPoint(objective), request, objective, sampler=sampler, strength=0.0)
    assert torch.equal(same, source)
    settings = {"sampler": sampler, "num_steps": 5, "guidance": 1.0}
    full = sample_latent(SeesPoint(objective), request, objective, strength=1.0, **settings)
    free = sample_latent(SeesPoint(objective), replace(request, source_CTHW=None), objective, **settings)
    torch.testing.assert_close(full, free)


def test_an_edit_starts_from_the_source_noised_to_its_strength() -> None:
    flow, source = FlowToPoint(), torch.randn(SHAPE)
    request = Request(None, SHAPE, 2.0, seed=3, source_CTHW=source)
    sample_latent(flow, request, Objective(), num_steps=4, strength=0.5)
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(flow.packs[0].tokens_NP, patchify(0.5 * source + 0.5 * noise, CONFIG.patch))
    free = FlowToPoint()
    sample_latent(free, replace(request, source_CTHW=None), Objective(), num_steps=4)
    assert levels(flow.packs) == pytest.approx([0.5, *(level for level in levels(free.packs) if level < 0.5)])
    with pytest.raises(ValueError, match="there is nothing to edit"):
        sample_latent(flow, replace(request, source_CTHW=None), Objective(), strength=0.5)
    with pytest.raises(ValueError, match="from 0 to 1, not 2"):
        sample_latent(flow, request, Objective(), strength=2.0)
