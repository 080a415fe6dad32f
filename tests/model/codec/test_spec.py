"""What a codec's files say of it is what its network says; and every size is padded to the least that holds it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch

from model.builtin import WEIGHTS
from model.codec.causal import Autoencoder, AutoencoderConfig, load_autoencoder, save_autoencoder
from model.codec.spec import CodecSpec, codec_spec, num_frames

BUILTIN = WEIGHTS / "autoencoder"
CODECS = {
    "causal": CodecSpec((4, 8, 8), 8, (0.0,) * 8, (1.0,) * 8, "a"),
    "ltx": CodecSpec((8, 32, 32), 128, (0.0,) * 128, (1.0,) * 128, "b"),
    "wan 2.2": CodecSpec((4, 16, 16), 48, (0.0,) * 48, (1.0,) * 48, "c"),
    "oblong": CodecSpec((1, 2, 3), 4, (0.0,) * 4, (1.0,) * 4, "d"),
}
PATCHES = ((1, 1, 1), (1, 2, 2), (2, 1, 3))
CODECS_AND_PATCHES = pytest.mark.parametrize(("name", "patch"), list(product(CODECS, PATCHES)))
SIZES = ((1, 1, 1), (2, 96, 64), (9, 97, 65), (64, 1920, 1080), (17, 7, 300), (5, 33, 31), (121, 854, 480))


def test_the_files_say_what_the_loaded_network_says() -> None:
    network, spec = load_autoencoder(), codec_spec()
    assert spec.fingerprint == network.fingerprint
    assert spec.channels == network.config.latent_channels
    assert (spec.mean, spec.std) == (network.config.latent_mean, network.config.latent_std)


@pytest.mark.parametrize(("frames", "width", "height"), [(1, 16, 8), (9, 40, 24)])
def test_a_plan_is_what_the_network_takes_and_gives(frames: int, width: int, height: int) -> None:
    spec = codec_spec()
    plan = spec.plan(frames, width, height)
    encoded_frames, encoded_width, encoded_height = plan.encoded
    latent = load_autoencoder().encode(torch.zeros(1, 3, encoded_frames, encoded_height, encoded_width))
    assert tuple(latent.shape[1:]) == plan.latent_shape


def test_another_folder_has_its_own_statistics_and_name(tmp_path: Path) -> None:
    statistics = {"latent_mean": (1.0, 2.0), "latent_std": (3.0, 4.0)}
    save_autoencoder(tmp_path, Autoencoder(replace(AutoencoderConfig(latent_channels=2), **statistics)))
    spec = codec_spec(str(tmp_path))
    assert (spec.channels, spec.mean, spec.std) == (2, (1.0, 2.0), (3.0, 4.0))
    assert spec.fingerprint == load_autoencoder(str(tmp_path)).fingerprint != codec_spec().fingerprint


def test_a_changed_byte_is_another_name(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BUILTIN, tmp_path / "codec"))
    assert codec_spec(str(folder)) == codec_spec()
    (folder / "note.txt").write_text("another")
    assert codec_spec(str(folder)) == replace(codec_spec(), fingerprint=load_autoencoder(str(folder)).fingerprint)
    assert codec_spec(str(folder)).fingerprint != codec_spec().fingerprint


def test_neither_torch_nor_a_network_is_loaded() -> None:
    program = (
        "import sys; from model.codec.spec import codec_spec; "
        "codec_spec().plan(64, 96, 64); print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


@pytest.mark.parametrize("fault", ["nothing", "no weights", "half of the weights", "config of another kind"])
def test_a_folder_without_a_checkpoint_is_named_in_one_line(tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "codec"
    if fault != "nothing":
        shutil.copytree(BUILTIN, folder)
    weights = folder / "model.safetensors"
    if fault == "no weights":
        weights.unlink()
    if fault == "half of the weights":
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    if fault == "config of another kind":
        (folder / "config.json").write_text(json.dumps({"z_dim": 16}))
    with pytest.raises(ValueError, match=str(folder)) as raised:
        codec_spec(str(folder))
    assert "\n" not in str(raised.value)


def test_statistics_are_of_each_channel() -> None:
    with pytest.raises(ValueError, match="4 latent channels cannot have 4 means and 3 deviations"):
        CodecSpec((4, 8, 8), 4, (0.0,) * 4, (1.0,) * 3, "")
    with pytest.raises(ValueError, match=r"stride of \(4, 0, 8\)"):
        CodecSpec((4, 0, 8), 4, (0.0,) * 4, (1.0,) * 4, "")


@pytest.mark.parametrize(
    ("name", "clip", "patch", "encoded", "latent"),
    [
        ("causal", (64, 96, 64), (1, 1, 1), (65, 96, 64), (8, 17, 8, 12)),
        ("causal", (65, 1920, 1080), (1, 2, 2), (65, 1920, 1088), (8, 17, 136, 240)),
        ("causal", (57, 854, 480), (1, 2, 2), (57, 864, 480), (8, 15, 60, 108)),
        ("causal", (1, 100, 50), (1, 1, 1), (1, 104, 56), (8, 1, 7, 13)),
        ("ltx", (64, 1216, 704), (1, 1, 1), (65, 1216, 704), (128, 9, 22, 38)),
        ("ltx", (121, 1280, 720), (1, 1, 1), (121, 1280, 736), (128, 16, 23, 40)),
        ("wan 2.2", (120, 1280, 720), (1, 2, 2), (121, 1280, 736), (48, 31, 46, 80)),
    ],
)
def test_sizes_of_known_clips(name: str, clip: tuple, patch: tuple, encoded: tuple, latent: tuple) -> None:
    plan = CODECS[name].plan(*clip, patch)
    assert (plan.encoded, plan.valid, plan.latent_shape) == (encoded, clip, latent)


@CODECS_AND_PATCHES
@pytest.mark.parametrize("clip", SIZES)
def test_a_clip_is_held_whole_on_the_grid(name: str, patch: tuple, clip: tuple[int, int, int]) -> None:
    codec = CODECS[name]
    plan = codec.plan(*clip, patch)
    stride_t, stride_h, stride_w = codec.stride_thw
    (frames, width, height), (C, T, H, W) = plan.encoded, plan.latent_shape
    assert plan.valid == clip
    assert all(valid <= encoded for valid, encoded in zip(plan.valid, plan.encoded, strict=True))
    assert (frames - 1) % stride_t == width % stride_w == height % stride_h == 0
    assert (codec.channels, (frames - 1) // stride_t + 1, height // stride_h, width // stride_w) == (C, T, H, W)
    assert [side % multiple for side, multiple in zip((T, H, W), patch, strict=True)] == [0, 0, 0]


@CODECS_AND_PATCHES
@pytest.mark.parametrize("clip", SIZES)
def test_padding_is_the_least(name: str, patch: tuple, clip: tuple[int, int, int]) -> None:
    """One patch less in any direction would not hold the clip."""
    codec = CODECS[name]
    plan = codec.plan(*clip, patch)
    (stride_t, stride_h, stride_w), (pt, ph, pw) = codec.stride_thw, patch
    frames, width, height = plan.encoded
    fewer_frames = frames - pt * stride_t
    assert fewer_frames < plan.valid[0]
    assert width - pw * stride_w < plan.valid[1]
    assert height - ph * stride_h < plan.valid[2]


@CODECS_AND_PATCHES
@pytest.mark.parametrize("clip", SIZES)
def test_a_size_on_the_grid_stays_as_it_is(name: str, patch: tuple, clip: tuple[int, int, int]) -> None:
    first = CODECS[name].plan(*clip, patch)
    again = CODECS[name].plan(*first.encoded, patch)
    assert again.encoded == again.valid == first.encoded
    assert again.latent_shape == first.latent_shape


def test_frames_and_latent_frames_lead_to_each_other() -> None:
    for codec, latent_frames in product(CODECS.values(), range(1, 20)):
        frames = num_frames(latent_frames, codec.stride_thw[0])
        assert codec.plan(frames, 1, 1).latent_shape[1] == latent_frames
        assert codec.plan(frames + 1, 1, 1).latent_shape[1] == latent_frames + 1


@pytest.mark.parametrize("clip", [(0, 8, 8), (1, 0, 8), (1, 8, -8)])
def test_nothing_cannot_be_encoded(clip: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="clip of"):
        CODECS["causal"].plan(*clip)
    with pytest.raises(ValueError, match="patch of"):
        CODECS["causal"].plan(1, 8, 8, clip)
