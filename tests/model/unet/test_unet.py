"""The U-Net: packed documents are answered as one by one, apart from one another, and a clip is learnt by heart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from model.diffusion.objectives import Objective
from model.diffusion.requests import Request
from model.diffusion.sampling import sample_latent
from model.diffusion.timesteps import Density
from model.packing.packs import Document, pack_documents
from model.training.examples import Sample, document_losses, draw_example, pack_examples
from model.unet.unet import UNet, UNetConfig
from schemas.recipe.train import TaskMix
from tests.model.training.drawn import STATISTICS

CONFIG = UNetConfig(channels=(8, 16, 24), num_heads=2, latent_channels=4, text_dim=6)
SHAPES = ((1, 4, 4), (3, 10, 6), (2, 2, 2), (3, 10, 6), (3, 6, 10))
LENGTHS = [4, 45, 2, 45, 45]
"""Tokens of documents of these shapes; some have odd sides at every level."""


@pytest.fixture
def unet() -> UNet:
    """Layers that start as zero would hide everything, so all weights are random."""
    torch.manual_seed(0)
    unet = UNet(CONFIG)
    for parameter in unet.parameters():
        parameter.data += torch.randn_like(parameter) * 0.1
    return unet


def random_documents() -> list[Document]:
    generator = torch.Generator().manual_seed(3)
    texts = [5, None, 2, 7, None]
    return [
        Document(
            torch.randn((4, *shape), generator=generator),
            (torch.arange(shape[0]) < i % 2).view(-1, 1, 1),
            timestep=0.15 * (i + 1),
            latent_fps=1.5 + i,
            text_LE=None if length is None else torch.randn((length, 6), generator=generator),
        )
        for i, (shape, length) in enumerate(zip(SHAPES, texts, strict=True))
    ]


def answer(unet: UNet, *documents: Document) -> Tensor:
    return unet(pack_documents(documents, CONFIG.patch, CONFIG.text_dim))


def gradients(unet: UNet, *packs: tuple[Document, ...]) -> list[Tensor]:
    """Of all weights, for the sum of the squares of all that is answered."""
    unet.zero_grad()
    for documents in packs:
        answer(unet, *documents).square().sum().backward()
    return [parameter.grad.clone() for parameter in unet.parameters()]


def test_packed_equals_one_by_one_in_outputs_and_gradients(unet: UNet) -> None:
    documents = random_documents()
    alone = [answer(unet, document) for document in documents]
    assert [len(part) for part in alone] == LENGTHS
    torch.testing.assert_close(answer(unet, *documents), torch.cat(alone), rtol=1e-4, atol=1e-4)
    together, apart = gradients(unet, tuple(documents)), gradients(unet, *((each,) for each in documents))
    largest = max(float(gradient.abs().max()) for gradient in apart)
    for one, other in zip(together, apart, strict=True):
        assert other.any()
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5 * largest)


def test_every_input_matters_to_its_own_document_and_to_no_other_one(unet: UNet) -> None:
    documents = random_documents()

    def answers(changed: Document) -> list[Tensor]:
        return list(answer(unet, documents[0], changed, *documents[2:]).split(LENGTHS))

    before, document = answers(documents[1]), documents[1]
    for change in (
        {"timestep": 0.9},
        {"latent_fps": 30.0},
        {"text_LE": torch.ones(3, 6)},
        {"given_THW": torch.tensor([False, False, True]).view(3, 1, 1)},
        {"latent_CTHW": document.latent_CTHW + 1},
    ):
        after = answers(replace(document, **change))
        assert not torch.allclose(before[1], after[1], atol=1e-3), change
        assert all(torch.equal(before[i], after[i]) for i in (0, 2, 3, 4)), change


def test_the_tokens_of_a_text_are_read_and_not_only_their_mean(unet: UNet) -> None:
    """Two texts with the same mean, whose tokens have the length that the norm gives them."""
    document, axes = random_documents()[0], torch.eye(6) * 3**0.5
    texts = [torch.stack([axes[0] + axes[other], axes[0] - axes[other]]) for other in (1, 2)]
    means = [unet.text(text, [2])[0].mean(dim=0) for text in texts]
    torch.testing.assert_close(means[0], means[1])
    answers = [answer(unet, replace(document, text_LE=text)) for text in texts]
    assert not torch.allclose(*answers, atol=1e-4)


def test_a_frame_sees_in_which_order_the_others_are(unet: UNet) -> None:
    """Norms are over all frames of a document, so that it is their order that tells convolutions from norms."""
    document = replace(random_documents()[1], given_THW=torch.zeros(3, 1, 1, dtype=torch.bool), latent_fps=1e9)
    other = replace(document, latent_CTHW=document.latent_CTHW[:, [1, 0, 2]])
    last, last_of_other = (answer(unet, each).view(3, -1)[2] for each in (document, other))
    assert not torch.allclose(last, last_of_other, atol=1e-3)


def test_details_go_past_the_smaller_levels(unet: UNet) -> None:
    for weights in unet.grow.parameters():
        torch.nn.init.zeros_(weights)
    document = random_documents()[1]
    changed = replace(document, latent_CTHW=document.latent_CTHW.flip(2))
    assert not torch.allclose(answer(unet, document), answer(unet, changed), atol=1e-3)


def test_a_fresh_unet_answers_zero() -> None:
    assert not answer(UNet(CONFIG), *random_documents()).any()


def test_as_many_values_are_answered_as_are_asked_for() -> None:
    twice = replace(CONFIG, answer_factor=2)
    assert answer(UNet(twice), *random_documents()).shape == (sum(LENGTHS), 2 * CONFIG.patch_values)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"channels": ()}, "give each level a multiple of 8"),
        ({"channels": (12,)}, "give each level a multiple of 8"),
        ({"num_heads": 5}, "num_heads = 5 does not divide the 24 last channels"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **changed)


def test_a_clip_is_learnt_by_heart() -> None:
    rows, columns = np.mgrid[:6, :6] / 3.0 - 1
    latent = np.stack([rows, columns, rows * columns, -rows])[:, None] * np.array([1.0, -1.0])[:, None, None]
    sample = Sample("clip", (0.5 + 2 * latent).astype(np.float32), [np.ones((2, 6), np.float32)], latent_fps=2.0)
    objective = Objective(prediction="x0", weighting="velocity")
    torch.manual_seed(0)
    unet = UNet(CONFIG)
    optimizer = torch.optim.Adam(unet.parameters(), lr=5e-3)
    settings = {"patch": CONFIG.patch, "seed": 0, "text_drop": 0.1, "tasks": TaskMix(1, 0, 0, 0)}
    losses = []
    for step in range(120):
        examples = [
            draw_example(sample, STATISTICS, objective, Density(), epoch=4 * step + i, **settings) for i in range(4)
        ]
        pack, targets = pack_examples(examples, CONFIG.patch, CONFIG.text_dim)
        loss = document_losses(unet(pack), targets, pack, objective).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.1 * np.mean(losses[:10])
    request = Request(torch.ones(2, 6), (4, 2, 6, 6), 2.0)
    found = sample_latent(unet, request, objective, num_steps=10, guidance=1.0)
    assert float((found - STATISTICS.whiten(sample.latent_CTHW)).abs().mean()) < 0.15
