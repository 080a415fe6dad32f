"""Settings that are those of a preset, or of a transformer that there is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from model.builtin import TRANSFORMER_FOLDER
from model.packing.packs import Document, pack_documents
from model.packing.patches import unpatchify
from model.training.checkpoints import RunFolder
from model.training.exported import config_in, load_transformer
from model.training.model_settings import OWN, whole_model, with_preset
from model.training.parallel import ALONE
from model.training.samples import HeldSamples
from model.training.step import TrainState, transformer_config
from model.transformer.config import TransformerConfig
from model.transformer.presets import PRESETS
from model.transformer.transformer import Transformer
from schemas.recipe.train import ModelConfig
from tests.model.training.drawn import STATISTICS, TEXT_DIM, changed, colour_samples

OF_DATA = {"latent_channels": 8, "text_dim": 64, "answer_factor": 1}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_taken_over_and_fitted_to_the_data(name: str) -> None:
    model = whole_model(ModelConfig(preset=name))
    assert transformer_config(model, 8, 64) == TransformerConfig(**PRESETS[name] | OF_DATA)
    assert model.preset == ""
    assert whole_model(model) == model


def test_what_is_set_goes_before_the_preset() -> None:
    model = whole_model(ModelConfig(preset="dit-s/2", depth=3, text="in_context", num_heads=6))
    expected = PRESETS["dit-s/2"] | OF_DATA | {"depth": 3, "text": "in_context"}
    assert transformer_config(model, 8, 64) == TransformerConfig(**expected)


def test_every_setting_of_a_transformer_can_be_set_but_those_of_the_data() -> None:
    assert set(OWN) | OF_DATA.keys() == asdict(TransformerConfig()).keys()
    ours, theirs = asdict(ModelConfig()), asdict(TransformerConfig())
    assert {name: ours[name] for name in OWN} == {name: theirs[name] or ours[name] for name in OWN}


def test_a_folder_with_a_transformer_is_a_preset(tmp_path: Path) -> None:
    config = TransformerConfig(width=24, depth=1, num_heads=2, positions="frames", rotary_dims=(4, 4, 4))
    RunFolder(tmp_path).save(1, {}, {"transformer": asdict(config)}, keep=1)
    assert transformer_config(whole_model(ModelConfig(preset=str(tmp_path))), 8, 64) == config
    builtin = config_in(TRANSFORMER_FOLDER)
    found = transformer_config(whole_model(ModelConfig(preset="builtin")), builtin.latent_channels, builtin.text_dim)
    assert found == builtin


def test_a_preset_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^preset = 'dit-s2': no preset and no folder; did you mean dit-s/2\?$"):
        whole_model(ModelConfig(preset="dit-s2"))
    with pytest.raises(ValueError, match=r"^preset = '/nosuch': no preset and no folder; presets are dit-s/2, dit-b"):
        whole_model(ModelConfig(preset="/nosuch"))
    with pytest.raises(ValueError, match=r"^preset = .*: .* has no checkpoint"):
        whole_model(ModelConfig(preset=str(tmp_path)))
    with pytest.raises(ValueError, match="preset = 'dit-s/2': take its settings first"):
        transformer_config(ModelConfig(preset="dit-s/2"), 8, 64)


def test_a_preset_is_kept_where_there_is_one() -> None:
    assert with_preset(ModelConfig(depth=2), "dit-s/2") == ModelConfig(depth=2, preset="dit-s/2")
    assert with_preset(ModelConfig(preset="builtin"), "dit-s/2").preset == "builtin"


def test_a_run_from_a_wan_of_diffusers_answers_as_that_before_its_first_step(tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    from tests.model.transformer.published.tiny import saved, tiny_wan

    theirs = tiny_wan(text_dim=TEXT_DIM)
    folder = saved(theirs, tmp_path / "wan")
    config = changed(model=whole_model(ModelConfig(preset=str(folder))))
    state = TrainState(HeldSamples(colour_samples()), config, STATISTICS, TEXT_DIM, ALONE)
    state.begin_from(load_transformer(folder).state_dict())
    generator = torch.Generator().manual_seed(1)
    latent, text = torch.randn(4, 3, 4, 6, generator=generator), torch.randn(5, TEXT_DIM, generator=generator)
    expected = theirs(latent[None], torch.tensor([250.0]), text[None]).sample[0]
    found = answer(state.model, latent, text)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)
    unconditional = theirs(latent[None], torch.tensor([250.0]), torch.zeros(1, 1, TEXT_DIM)).sample[0]
    torch.testing.assert_close(answer(state.model, latent, None), unconditional, rtol=0, atol=2e-5)


def answer(transformer: Transformer, latent: torch.Tensor, text: torch.Tensor | None) -> torch.Tensor:
    document = Document(latent, torch.zeros(1, 1, 1, dtype=torch.bool), 0.25, 2.0, text)
    config = transformer.config
    with torch.no_grad():
        return unpatchify(transformer(pack_documents([document], config.patch, TEXT_DIM)), latent.shape, config.patch)
