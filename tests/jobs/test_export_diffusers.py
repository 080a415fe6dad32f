"""Runs exported for diffusers: a pipeline that samples there what the run samples, low-rank additions, and refusals."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from jobs.cli import run_job
from jobs.training.run_config import read_run_config, write_run_config
from model.codec.video_codec import unwhiten
from model.diffusion.objectives import Objective
from model.diffusion.sampling import Request, sample_latent
from model.training.additions import checkpoint_weights, lora_state
from model.training.checkpoints import RunFolder
from model.training.exported import base_at, load_transformer, write_base
from model.transformer.config import TransformerConfig
from model.transformer.lora import add_lora, additions
from model.transformer.published import wan
from model.transformer.transformer import Transformer
from schemas.recipe import Recipe
from schemas.recipe.train import LoraConfig
from tests.jobs.training.runs import run_config, write_run
from tests.model.transformer.published.tiny import WAN, randomised

diffusers = pytest.importorskip("diffusers")
CONFIG = wan.config_of(WAN | {"in_channels": 8, "out_channels": 8, "text_dim": 128})
ADDED = LoraConfig(rank=2, alpha=4.0)


def wan_run(folder: Path, config: TransformerConfig = CONFIG, **objective: str) -> Path:
    """A run of a Wan with random weights."""
    train = Recipe().as_dict()["train"]
    write_run_config(folder, run_config(train=train | {"objective": train["objective"] | objective}))
    weights = randomised(Transformer(config)).state_dict()
    RunFolder(folder).save(2, {"model": weights, "average": weights}, {"transformer": asdict(config)}, keep=1)
    return folder


def lora_run(folder: Path, base: Path) -> Path:
    """A run of random additions to another."""
    transformer = load_transformer(base)
    write_run_config(folder, read_run_config(base))
    write_base(folder, note := base_at(base, transformer.state_dict()))
    add_lora(transformer, ADDED)
    for parameter in additions(transformer).values():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(parameter)))
    tensors = dict.fromkeys(("model", "average"), checkpoint_weights(transformer))
    state = {"transformer": asdict(transformer.config), "lora": lora_state(ADDED, note.fingerprint)}
    RunFolder(folder).save(2, tensors, state, keep=1)
    return folder


def export(run: Path | str, out: Path, *words: str) -> int:
    return run_job("export", [str(run), "-o", str(out), *words])


def test_a_pipeline_samples_what_the_run_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The usual clip of the run, whose size the shift of the scheduler is for."""
    run, out = wan_run(tmp_path / "run"), tmp_path / "out"
    assert export(run, out, "--format", "diffusers", "--json") == 0
    transformer = load_transformer(run)
    num_parameters = sum(parameter.numel() for parameter in transformer.parameters())
    assert json.loads(capsys.readouterr().out)["parameters"] == num_parameters
    absent = dict.fromkeys(["text_encoder", "tokenizer", "vae"])
    pipeline = diffusers.WanPipeline.from_pretrained(out, **absent)
    pipeline.set_progress_bar_config(disable=True)
    text_LE = torch.randn(4, 128, generator=torch.Generator().manual_seed(1))
    request = Request(text_LE, (8, 3, 8, 12), latent_fps=2.0, seed=5)
    noise = torch.randn(request.latent_shape, generator=torch.Generator().manual_seed(5))
    theirs = pipeline(
        prompt_embeds=text_LE[None],
        negative_prompt_embeds=torch.zeros(1, 1, 128),
        latents=noise[None],
        **{"height": 64, "width": 96, "num_frames": 9},
        num_inference_steps=4,
        guidance_scale=2.0,
        output_type="latent",
    ).frames[0]
    found = sample_latent(transformer, request, Objective(), num_steps=4, guidance=2.0, spacing="diffusers")
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-4)
    assert torch.isfinite(unwhiten(theirs[None], read_run_config(out).codec)).all()


def test_a_pipeline_is_sampled_from_like_its_run(tmp_path: Path) -> None:
    run, out = wan_run(tmp_path / "run"), tmp_path / "out"
    assert export(run, out, "--format", "diffusers") == 0
    pictures = []
    for folder in (run, out):
        words = [str(folder), "a red circle", "--steps", "2", "--spacing", "diffusers", "-o", str(tmp_path / "a.png")]
        assert run_job("sample", words) == 0
        with Image.open(tmp_path / "a.png") as image:
            pictures.append(np.asarray(image))
    assert (pictures[0] == pictures[1]).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_additions_are_merged_unless_they_are_asked_for(tmp_path: Path, dtype: str) -> None:
    base = wan_run(tmp_path / "base")
    run = lora_run(tmp_path / "run", base)
    assert export(run, tmp_path / "merged", "--dtype", dtype) == 0
    assert export(run, tmp_path / "pipeline", "--format", "diffusers", "--dtype", dtype) == 0
    assert export(run, tmp_path / "lora", "--format", "lora", "--dtype", dtype) == 0
    truth, before = load_transformer(run).state_dict(), load_transformer(base).state_dict()
    precision = getattr(torch, dtype)
    for folder in ("merged", "pipeline"):
        found = load_transformer(tmp_path / folder).state_dict()
        assert all(torch.equal(found[name], value.to(precision).float()) for name, value in truth.items())
    assert [path.name for path in (tmp_path / "lora").iterdir()] == ["pytorch_lora_weights.safetensors"]
    added = load_file(tmp_path / "lora" / "pytorch_lora_weights.safetensors")
    layer = "transformer.blocks.1.attn2.to_v"
    a, b = added[f"{layer}.lora_A.weight"], added[f"{layer}.lora_B.weight"]
    assert (a.dtype, a.shape, b.shape) == (precision, (2, 48), (48, 2))
    name = "blocks.1.text_attention.to_kv.weight"
    change = (truth[name] - before[name])[48:]
    torch.testing.assert_close(b.float() @ a.float(), change, rtol=0.02, atol=1e-5 if dtype == "float32" else 0.02)


@pytest.mark.parametrize(
    ("config", "objective", "message"),
    [
        (
            replace(CONFIG, qk_norm="head"),
            {},
            "--format diffusers: train.model: qk_norm = 'head', not 'width', ",
        ),
        (CONFIG, {"prediction": "x0"}, "--format diffusers: train.objective: prediction = 'x0': on rectified_flow"),
        (
            CONFIG,
            {"path": "ddpm_linear", "prediction": "noise"},
            "train.objective.path = 'ddpm_linear': a WanTransformer3DModel is sampled with FlowMatchEuler",
        ),
    ],
)
def test_what_diffusers_does_not_have_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    config: TransformerConfig,
    objective: dict[str, Any],
    message: str,
) -> None:
    run = wan_run(tmp_path / "run", config, **objective)
    assert export(run, tmp_path / "out", "--format", "diffusers") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_dit_makes_square_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from model.transformer.published import dit
    from tests.model.transformer.published.tiny import DIT

    config = dit.config_of(DIT | {"in_channels": 8, "out_channels": 16, "patch_size": 2})
    objective = {"path": "ddpm_linear", "prediction": "noise", "variance": "learned"}
    run = wan_run(tmp_path / "run", config, **objective)
    assert export(run, tmp_path / "out", "--format", "diffusers") == 2
    message = "a DiTTransformer2DModel makes square images, and the usual clip of this run has 9 frames of 96x64"
    assert message in capsys.readouterr().err
    squares = replace(read_run_config(run), usual_width_px=64, usual_num_frames=1)
    write_run_config(run, squares)
    assert export(run, tmp_path / "out", "--format", "diffusers") == 0
    network = diffusers.DiTTransformer2DModel.from_pretrained(tmp_path / "out" / "transformer")
    assert network.config.sample_size == 8


def test_runs_without_additions_or_of_no_class_have_none_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(wan_run(tmp_path / "run"), tmp_path / "out", "--format", "lora") == 2
    assert "--format lora: the run trained all weights (train.lora.rank = 0)" in capsys.readouterr().err
    run = lora_run(tmp_path / "added", write_run(tmp_path / "base"))
    assert export(run, tmp_path / "out", "--format", "lora") == 2
    assert "--format lora: train.model: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_builtin_model_is_no_model_of_diffusers_but_is_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("builtin", tmp_path / "out") == 0
    assert "parameters, the averaged weights in float32" in capsys.readouterr().out
    assert export("builtin", tmp_path / "other", "--format", "diffusers") == 2
    assert "text = 'in_context'" in capsys.readouterr().err
