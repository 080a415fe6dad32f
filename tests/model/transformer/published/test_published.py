"""The same weights give the same answer here and in diffusers, and go back as they came."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from model.packing.packs import Document, pack_documents
from model.packing.patches import unpatchify
from model.transformer.published.folders import PUBLISHED, published_folder, write_published
from model.transformer.published.weights import to_ours
from model.transformer.transformer import Transformer
from tests.model.transformer.published.tiny import WAN, saved, tiny_dit, tiny_wan

pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def dit(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    theirs = tiny_dit()
    return theirs, saved(theirs, tmp_path_factory.mktemp("dit"))


@pytest.fixture(scope="module")
def wan(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    theirs = tiny_wan()
    return theirs, saved(theirs, tmp_path_factory.mktemp("wan"))


def ours_in(folder: Path) -> Transformer:
    found = published_folder(folder)
    assert found is not None
    return found.transformer().eval().requires_grad_(False)


def answers(transformer: Transformer, documents: list[Document]) -> list[Tensor]:
    """Each as (answer_factor, C, T, H, W)."""
    config = transformer.config
    pack = pack_documents(documents, config.patch, config.text_dim)
    parts = transformer(pack).split(pack.table.lengths)
    return [
        torch.stack([unpatchify(g, d.latent_CTHW.shape, config.patch) for g in part.chunk(config.answer_factor, dim=1)])
        for part, d in zip(parts, documents, strict=True)
    ]


NOTHING = torch.zeros(1, 1, 1, dtype=torch.bool)


def test_a_dit_answers_as_that_of_diffusers(dit: tuple[nn.Module, Path]) -> None:
    theirs, folder = dit
    ours = ours_in(folder)
    latents = torch.randn(3, 4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    steps, labels = [7, 400, 999], [3, 10, 0]
    documents = [
        Document(latent, NOTHING, (step + 1) / 1000, 1.0, None, told={"label": label})
        for latent, step, label in zip(latents, steps, labels, strict=True)
    ]
    expected = theirs(latents[:, :, 0], torch.tensor(steps), torch.tensor(labels)).sample
    for found, answer in zip(answers(ours, documents), expected, strict=True):
        torch.testing.assert_close(found.reshape(8, 8, 8), answer, rtol=0, atol=2e-5)


def test_a_wan_answers_as_that_of_diffusers(wan: tuple[nn.Module, Path]) -> None:
    """Of other sizes and lengths of text in one pack, and one by one there."""
    theirs, folder = wan
    ours = ours_in(folder)
    generator = torch.Generator().manual_seed(1)
    documents = [
        Document(
            torch.randn(4, *shape, generator=generator),
            NOTHING,
            timestep,
            2.0,
            torch.randn(length, 10, generator=generator),
        )
        for shape, timestep, length in (((3, 4, 6), 0.25, 5), ((1, 8, 4), 0.9, 2))
    ]
    for document, found in zip(documents, answers(ours, documents), strict=True):
        assert document.text_LE is not None
        expected = theirs(
            document.latent_CTHW[None], torch.tensor([1000 * document.timestep]), document.text_LE[None]
        ).sample[0]
        torch.testing.assert_close(found[0], expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("name", "more"), [("dit", {"rows": 8}), ("wan", {})])
def test_weights_go_back_as_they_came(
    name: str, more: dict[str, int], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    theirs, folder = request.getfixturevalue(name)
    write_published(tmp_path / "back" / "transformer", ours_in(folder), type(theirs).__name__, **more)
    again = type(theirs).from_pretrained(tmp_path / "back" / "transformer", torch_dtype=torch.float32)
    state = again.state_dict()
    for key, value in theirs.state_dict().items():
        assert torch.equal(state[key], value), key
    assert ours_in(tmp_path / "back").config == ours_in(folder).config


def test_what_is_not_expressed_is_refused(wan: tuple[nn.Module, Path], tmp_path: Path) -> None:
    _, folder = wan
    ours = ours_in(folder)
    with pytest.raises(ValueError, match="DiTTransformer2DModel does not express this transformer"):
        write_published(tmp_path, ours, "DiTTransformer2DModel", rows=8)
    assert not any(tmp_path.iterdir())
    with pytest.raises(ValueError, match="with image_dim = 8 is not known here"):
        PUBLISHED["WanTransformer3DModel"].config_of(WAN | {"image_dim": 8})
    assert published_folder(tmp_path) is None
    found = published_folder(folder)
    assert found is not None
    entries = found.module.entries(found.module.config_of(found.settings))
    with pytest.raises(ValueError, match=r"missing .*'blocks\.0"):
        to_ours(entries, {})
