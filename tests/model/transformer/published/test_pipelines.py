"""What is exported as a pipeline is loaded by diffusers, and samples there what we sample of the same noise."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from model.checkpoint import read_json
from model.diffusion.objectives import Objective
from model.diffusion.published_schedulers import scheduler_settings
from model.diffusion.sampling import Request, sample_latent
from model.training.examples import latent_shift
from model.training.exported import config_in, load_transformer
from model.training.model_settings import whole_model
from model.training.step import transformer_config
from model.transformer.config import TransformerConfig
from model.transformer.published import dit, wan
from model.transformer.published.folders import published_class
from model.transformer.published.pipelines import write_pipeline
from model.transformer.transformer import Transformer
from schemas.recipe.train import ModelConfig
from tests.model.codec.tiny_codecs import save_tiny
from tests.model.transformer.published.tiny import randomised, saved, tiny_dit, tiny_wan

diffusers = pytest.importorskip("diffusers")
SHAPE = (4, 3, 4, 6)
FLOW = Objective()
NOISE = Objective("ddpm_linear", "noise", variance="learned")


def exported(folder: Path, transformer: Transformer, objective: Objective, autoencoder: str, rows: int = 0) -> Path:
    shift = latent_shift(SHAPE, transformer.config.patch)
    settings = scheduler_settings(objective, shift)
    write_pipeline(folder, transformer, published_class(transformer.config), settings, autoencoder, rows=rows)
    return folder


def trained_wan() -> Transformer:
    """With all settings of Wan, but none of its weights."""
    torch.manual_seed(0)
    settings = asdict(wan.config_of(tiny_wan().config))
    return randomised(Transformer(TransformerConfig(**settings)))  # type: ignore[return-value]


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("codec", ["builtin", "wan"])
def test_a_pipeline_of_wan_samples_as_we_do(tmp_path: Path, guidance: float, codec: str) -> None:
    autoencoder = codec if codec == "builtin" else save_tiny(codec, tmp_path / "codec")
    ours = trained_wan()
    folder = exported(tmp_path / "out", ours, FLOW, autoencoder)
    absent = dict.fromkeys(["text_encoder", "tokenizer"] + ["vae"] * (codec == "builtin"))
    pipeline = diffusers.WanPipeline.from_pretrained(folder, **absent)
    pipeline.set_progress_bar_config(disable=True)
    assert (pipeline.vae is None) == (codec == "builtin")
    if pipeline.vae is not None:
        assert pipeline.vae.config.latents_mean == read_json(Path(autoencoder) / "config.json")["latents_mean"]
    text_LE = torch.randn(5, 10, generator=torch.Generator().manual_seed(3))
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(7))
    theirs = pipeline(
        prompt_embeds=text_LE[None],
        negative_prompt_embeds=torch.zeros(1, 1, 10),
        latents=noise[None],
        height=32,
        width=48,
        num_frames=9,
        num_inference_steps=5,
        guidance_scale=guidance,
        output_type="latent",
    ).frames[0]
    request = Request(text_LE, SHAPE, latent_fps=2.0, seed=7)
    found = sample_latent(ours, request, FLOW, num_steps=5, guidance=guidance, spacing="diffusers")
    assert (found - noise).abs().max() > 0.1
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-4)
    even = sample_latent(ours, request, FLOW, num_steps=5, guidance=guidance)
    assert (even - theirs).abs().max() > 1e-3


def test_a_dit_samples_as_that_of_diffusers(tmp_path: Path) -> None:
    """Its pipeline wants a codec of still images, which there is none of here: its steps are taken one by one."""
    theirs = tiny_dit()
    ours = load_transformer(saved(theirs, tmp_path / "dit"))
    folder = exported(tmp_path / "out", ours, NOISE, "builtin", rows=8)
    index = read_json(folder / "model_index.json")
    assert (index["_class_name"], index["vae"]) == ("DiTPipeline", [None, None])
    network = diffusers.DiTTransformer2DModel.from_pretrained(folder / "transformer")
    scheduler = diffusers.DDIMScheduler.from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(10)
    noise = x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(7))
    for step in scheduler.timesteps:
        with torch.no_grad():
            answer = network(x, step[None], torch.tensor([3])).sample[:, :4]
        x = scheduler.step(answer, step, x).prev_sample
    request = Request(None, (4, 1, 8, 8), latent_fps=1.0, seed=7, told={"label": 3})
    found = sample_latent(ours, request, NOISE, sampler="ddim", num_steps=10, spacing="diffusers")
    assert (found[:, 0] - noise[0]).abs().max() > 0.1
    torch.testing.assert_close(found[:, 0], x[0], rtol=1e-4, atol=1e-4)


def test_a_pipeline_can_be_started_from(tmp_path: Path) -> None:
    ours = trained_wan()
    folder = exported(tmp_path, ours, FLOW, "builtin")
    assert config_in(folder) == ours.config
    again = load_transformer(folder).state_dict()
    assert all(torch.equal(again[name], value) for name, value in ours.state_dict().items())
    model = whole_model(ModelConfig(preset=str(folder)))
    assert transformer_config(model, 4, 10) == ours.config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"qk_norm": "head"}, "qk_norm = 'head', not 'width', which is that of diffusers' WanTransformer3DModel"),
        ({"null_text": "learned"}, "null_text = 'learned', not 'zeros'"),
        ({"positions": "seconds", "registers": 2}, "positions = 'seconds', not 'frames'; registers = 2, not 0"),
        ({"mlp_ratio": 2.3}, None),
        ({"rotary_dims": None}, None),
        ({"rotary_dims": (8, 2, 2)}, r"rotary_dims = \(8, 2, 2\), not \(4, 4, 4\)"),
    ],
)
def test_settings_that_diffusers_does_not_have_are_named(changes: dict[str, Any], message: str | None) -> None:
    config = replace(wan.config_of(tiny_wan().config), **changes)
    if message is None:
        assert published_class(config) == wan.CLASS
        return
    with pytest.raises(ValueError, match=message):
        published_class(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_dim": 77, "text_projection": "mlp"}, None),
        ({"timesteps": "thousandths"}, "timesteps = 'thousandths', not 'steps', which is that of diffusers' DiT"),
        ({"num_labels": 0}, "num_labels = 0, not 1"),
        ({"patch": (2, 2, 2)}, r"patch = \(2, 2, 2\), not \(1, 2, 2\)"),
        ({"mlp_ratio": 3.0}, "mlp_ratio = 3.0, not 4.0"),
        ({"width": 36}, None),
    ],
)
def test_so_are_those_that_its_dit_does_not_have(changes: dict[str, Any], message: str | None) -> None:
    """Heads of 9 channels are no heads of a Wan."""
    config = replace(dit.config_of(tiny_dit().config), **changes)
    if message is None:
        assert published_class(config) == dit.CLASS
        return
    with pytest.raises(ValueError, match=message):
        published_class(config)
