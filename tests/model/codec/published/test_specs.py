"""Files of diffusers' codecs say what the published ones are, and what is amiss is told in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.codec.loading import load_codec
from model.codec.published import specs
from model.codec.spec import codec_spec
from tests.model.codec.tiny_codecs import MEAN, STD, cogvideox, ltx, save_tiny, wan

WAN21 = {
    "_class_name": "AutoencoderKLWan",
    "base_dim": 96,
    "dim_mult": [1, 2, 4, 4],
    "latents_mean": [-0.7571] * 16,
    "latents_std": [2.8184] * 16,
    "num_res_blocks": 2,
    "temperal_downsample": [False, True, True],
    "z_dim": 16,
}
"""As it was first published: without keys that the class got later."""
WAN22 = WAN21 | {"patch_size": 2, "z_dim": 48, "latents_mean": [0.1] * 48, "latents_std": [0.9] * 48}
LTX090 = {
    "_class_name": "AutoencoderKLLTXVideo",
    "latent_channels": 128,
    "patch_size": 4,
    "patch_size_t": 1,
    "scaling_factor": 1.0,
    "spatio_temporal_scaling": [True, True, True, False],
}
LTX095 = LTX090 | {
    "down_block_types": ["LTXVideo095DownBlock3D"] * 4,
    "downsample_type": ["spatial", "temporal", "spatiotemporal", "spatiotemporal"],
    "spatio_temporal_scaling": [True] * 4,
}
COGVIDEOX = {
    "_class_name": "AutoencoderKLCogVideoX",
    "block_out_channels": [128, 256, 256, 512],
    "latent_channels": 16,
    "scaling_factor": 0.7,
}


def folder_of(folder: Path, config: dict[str, Any], **tensors: torch.Tensor) -> str:
    """A folder with a config, and weights that hold these tensors alone."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors or {"a": torch.zeros(1)}, folder / specs.WEIGHTS_FILE)
    return str(folder)


@pytest.mark.parametrize(
    ("config", "stride_thw", "channels", "mean", "std", "causal"),
    [
        (WAN21, (4, 8, 8), 16, -0.7571, 2.8184, True),
        (WAN22, (4, 16, 16), 48, 0.1, 0.9, True),
        (LTX090, (8, 32, 32), 128, 0.0, 1.0, True),
        (LTX095, (8, 32, 32), 128, 0.0, 1.0, True),
        (COGVIDEOX, (4, 8, 8), 16, 0.0, 1 / 0.7, False),
    ],
)
def test_published_configs(tmp_path, config, stride_thw, channels, mean, std, causal):
    spec = codec_spec(folder_of(tmp_path / "codec", config))
    assert (spec.stride_thw, spec.channels, spec.causal) == (stride_thw, channels, causal)
    assert (spec.mean, spec.std) == ((mean,) * channels, (std,) * channels)
    assert spec.decodes_whole == ("LTX" in config["_class_name"])


def test_scaling_and_statistics_of_half_precision_are_those_of_the_weights(tmp_path):
    tensors = {"latents_mean": torch.tensor(MEAN).bfloat16(), "latents_std": torch.tensor(STD).half()}
    spec = codec_spec(folder_of(tmp_path / "codec", LTX090 | {"latent_channels": 4, "scaling_factor": 2.0}, **tensors))
    assert (spec.mean, spec.std) == (MEAN, tuple(value / 2 for value in STD))


@pytest.mark.parametrize(("kind", "make"), [("wan", wan), ("ltx", ltx), ("cogvideox", cogvideox)])
def test_weights_may_be_in_several_files(tmp_path, kind, make):
    one = codec_spec(save_tiny(kind, tmp_path / "one"))
    torch.manual_seed(0)
    make().save_pretrained(tmp_path / "more", max_shard_size="60KB")
    assert len(list((tmp_path / "more").glob("*.safetensors"))) > 1
    more = load_codec(str(tmp_path / "more"))
    assert (more.spec.mean, more.spec.std) == (one.mean, one.std)
    video = torch.rand(1, 3, 1, 32, 32)
    expected = next(load_codec(str(tmp_path / "one")).encode_stream([video]))
    torch.testing.assert_close(next(more.encode_stream([video])), expected)
    next((tmp_path / "more").glob("*00001-of*")).unlink()
    with pytest.raises(ValueError, match="00001-of"):
        codec_spec(str(tmp_path / "more"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (WAN21 | {"_class_name": "AutoencoderKLMochi"}, "AutoencoderKLMochi, which is no codec that is known here"),
        (WAN21 | {"temperal_downsample": [True] * 3}, "another temperal_downsample"),
        (WAN21 | {"latents_std": [1.0]}, "16 latent channels cannot have 16 means and 1 deviations"),
        ({"_class_name": "AutoencoderKLWan"}, "it has no 'temperal_downsample'"),
        (LTX090 | {"patch_size_t": 2}, "another patch_size_t"),
        (LTX090 | {"encoder_causal": False}, "another encoder_causal"),
        (COGVIDEOX | {"temporal_compression_ratio": 8}, "another temporal_compression_ratio"),
        (COGVIDEOX | {"use_quant_conv": True}, "another use_quant_conv"),
        (COGVIDEOX | {"use_post_quant_conv": True}, "another use_post_quant_conv"),
    ],
)
def test_what_is_not_known_is_named_in_one_line(tmp_path, config, message):
    with pytest.raises(ValueError, match=message) as raised:
        codec_spec(folder_of(tmp_path / "codec", config))
    assert "\n" not in str(raised.value)


def test_without_the_library_its_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(specs, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"AutoencoderKLWan; to use it, install Reelmill with the extra `diffusers`$"):
        codec_spec(folder_of(tmp_path / "codec", WAN21))


@pytest.mark.parametrize("fault", ["none", "half"])
def test_a_folder_without_weights_is_named(tmp_path, fault):
    weights = Path(save_tiny("wan", tmp_path / "codec")) / specs.WEIGHTS_FILE
    half = weights.read_bytes()[: weights.stat().st_size // 2]
    weights.unlink()
    if fault == "half":
        weights.write_bytes(half)
    with pytest.raises(ValueError, match=f"{tmp_path / 'codec'} holds no checkpoint"):
        codec_spec(str(tmp_path / "codec"))


def test_weights_that_are_missing_or_of_another_size_are_not_drawn_at_random(tmp_path):
    name = save_tiny("wan", tmp_path / "codec")
    weights = load_file(tmp_path / "codec" / specs.WEIGHTS_FILE)
    del weights["encoder.conv_in.bias"]
    save_file(weights, tmp_path / "codec" / specs.WEIGHTS_FILE, {"format": "pt"})
    with pytest.raises(ValueError, match=r"no weights for 1 tensors of its config, such as encoder\.conv_in\.bias"):
        load_codec(name)
    weights["encoder.conv_in.bias"] = torch.zeros(3)
    save_file(weights, tmp_path / "codec" / specs.WEIGHTS_FILE, {"format": "pt"})
    with pytest.raises(ValueError, match="cannot be loaded as AutoencoderKLWan") as raised:
        load_codec(name)
    assert "\n" not in str(raised.value)


def test_statistics_that_the_weights_leave_out_are_none(tmp_path):
    name = save_tiny("ltx", tmp_path / "codec")
    weights = load_file(tmp_path / "codec" / specs.WEIGHTS_FILE)
    save_file(
        {key: value for key, value in weights.items() if not key.startswith("latents_")},
        tmp_path / "codec" / specs.WEIGHTS_FILE,
        {"format": "pt"},
    )
    spec = load_codec(name).spec
    assert (spec.mean, spec.std) == ((0.0,) * 4, (1 / 1.25,) * 4)


def test_a_pipeline_has_its_codec_in_vae(tmp_path):
    name = save_tiny("wan", tmp_path / "pipeline" / "vae")
    (tmp_path / "pipeline" / "model_index.json").write_text('{"_class_name": "WanPipeline"}')
    assert load_codec(str(tmp_path / "pipeline")).spec == codec_spec(name)


@pytest.mark.parametrize("inside", ["", "vae"])
def test_a_name_of_the_hub_is_what_was_downloaded(tmp_path, monkeypatch, inside):
    """A cache as the hub's client keeps it, of a pipeline and of a codec alone."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--somebody--codec"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    name = save_tiny("wan", tmp_path / "codec")
    shutil.copytree(name, repository / "snapshots" / commit / inside)
    if inside:
        (repository / "snapshots" / commit / "model_index.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert load_codec("somebody/codec").spec == codec_spec(name)


def test_a_name_that_is_not_here_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="'nobody/nothing' is no checkpoint folder, was not downloaded") as raised:
        codec_spec("nobody/nothing")
    assert "\n" not in str(raised.value)
