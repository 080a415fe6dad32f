"""What every video codec keeps to, whosever it is: sizes as planned, any chunks alike, images, names, errors."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.codec.loading import load_codec
from model.codec.spec import codec_spec
from model.codec.video_codec import VideoCodec, encode_frames, unwhiten, whiten
from tests.model.codec.tiny_codecs import BOTTLENECKS, DIFFUSERS, MEAN, STD, save_tiny

OURS = [f"ours {bottleneck}" for bottleneck in BOTTLENECKS]
KINDS = [*OURS, *DIFFUSERS]


@dataclass(frozen=True)
class Case:
    """A loaded codec, and videos of sizes that fit it."""

    kind: str
    name: str
    codec: VideoCodec

    def video(self, latents_THW: tuple[int, int, int], batch: int = 1) -> Tensor:
        """Noise of the size of so many latents, another in each frame."""
        stride_t, stride_h, stride_w = self.codec.spec.stride_thw
        frames, rows, columns = (latents_THW[0] - 1) * stride_t + 1, latents_THW[1], latents_THW[2]
        generator = torch.Generator().manual_seed(1)
        return torch.rand(batch, 3, frames, rows * stride_h, columns * stride_w, generator=generator) * 2 - 1

    def latents(self, *shape_THW: int) -> Tensor:
        return torch.randn(1, self.codec.spec.channels, *shape_THW, generator=torch.Generator().manual_seed(2))


def encoded(codec: VideoCodec, *chunks: Tensor) -> Tensor:
    return torch.cat(list(codec.encode_stream(chunks)), dim=2)


def decoded(codec: VideoCodec, *chunks: Tensor) -> Tensor:
    return torch.cat(list(codec.decode_stream(chunks)), dim=2)


@pytest.fixture(scope="module", params=KINDS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    name = save_tiny(request.param, tmp_path_factory.mktemp("codec") / "codec")
    return Case(request.param, name, load_codec(name))


@pytest.mark.parametrize(("frames", "width", "height"), [(1, 20, 9), (2, 33, 40), (12, 8, 64), (25, 32, 32)])
def test_latents_have_the_planned_shape_and_decode_to_the_planned_size(case, frames, width, height):
    plan = case.codec.spec.plan(frames, width, height)
    encoded_frames, encoded_width, encoded_height = plan.encoded
    video = torch.zeros(1, 3, encoded_frames, encoded_height, encoded_width)
    latent = encoded(case.codec, video)
    assert tuple(latent.shape[1:]) == plan.latent_shape
    assert decoded(case.codec, latent).shape == video.shape


def test_lengths_of_chunks_change_no_bit(case):
    video, latent = case.video((5, 1, 2), batch=2), case.latents(5, 1, 2)
    whole, shown = encoded(case.codec, video), decoded(case.codec, latent)
    frames = video.shape[2]
    for lengths in ([1] * frames, [2, 0, 3, frames - 5], [frames - 1, 1]):
        assert torch.equal(encoded(case.codec, *video.split(lengths, dim=2)), whole)
    for lengths in ([1] * 5, [2, 3], [4, 0, 1]):
        assert torch.equal(decoded(case.codec, *latent.split(lengths, dim=2)), shown)
    assert min(float(whole.std()), float(shown.std())) > 0.03


def test_two_streams_may_be_taken_in_turns(case):
    first, second = case.video((3, 1, 1)), -case.video((3, 1, 1))
    together = zip(case.codec.encode_stream([first]), case.codec.encode_stream([second]), strict=True)
    for found, video in zip(zip(*together, strict=True), (first, second), strict=True):
        assert torch.equal(torch.cat(found, dim=2), encoded(case.codec, video))


def test_a_stream_is_given_on_while_it_comes(case):
    """No more than three latents' frames are asked for ahead, and a stream is decoded likewise unless it says not."""
    asked_for = 0

    def counted(stream: Tensor):
        nonlocal asked_for
        for frame in stream.split(1, dim=2):
            asked_for += 1
            yield frame

    stride_t, given = case.codec.spec.stride_thw[0], 0
    latents, ahead = [], 5 if case.kind in OURS else 3
    for chunk in case.codec.encode_stream(counted(case.video((13, 1, 1)))):
        latents.append(chunk)
        given += chunk.shape[2]
        assert asked_for <= (given - 1) * stride_t + 1
        assert chunk.shape[2] <= ahead
    given, asked_for, most = 0, 0, 0
    for chunk in case.codec.decode_stream(counted(torch.cat(latents, dim=2))):
        given, most = given + chunk.shape[2], max(most, chunk.shape[2])
        assert asked_for <= (given - 1) // stride_t + 1
    assert given == 12 * stride_t + 1
    assert (most == given) == case.codec.spec.decodes_whole


def test_latents_of_a_prefix_are_the_prefix_of_the_latents(case):
    """Of any prefix where the codec is causal, and else of one that is whole pieces."""
    video = case.video((5, 1, 2))
    latent = encoded(case.codec, video)
    for num_latents in (1, 2, 3, 4) if case.codec.spec.causal else (3,):
        frames = (num_latents - 1) * case.codec.spec.stride_thw[0] + 1
        prefix = encoded(case.codec, video[:, :, :frames])
        torch.testing.assert_close(prefix, latent[:, :, :num_latents], rtol=0, atol=1e-5)
    if not case.codec.spec.causal:
        assert (encoded(case.codec, video[:, :, :1]) - latent[:, :, :1]).abs().max() > 1e-4


def test_an_image_is_a_video_of_one_frame(case):
    image = case.video((1, 2, 1))
    latent = encoded(case.codec, image)
    assert latent.shape[2:] == (1, 2, 1)
    assert decoded(case.codec, latent).shape == image.shape
    pixels = ((image[0, :, 0] + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)[None]
    exact = pixels.permute(3, 0, 1, 2)[None] / 127.5 - 1
    torch.testing.assert_close(encode_frames(case.codec, pixels), encoded(case.codec, exact)[0], rtol=0, atol=1e-5)


def test_frames_of_8_bits_are_encoded_from_minus_1_to_1(case):
    video = case.video((2, 1, 1))
    pixels = ((video[0] + 1) * 127.5).round().to(torch.uint8)
    expected = encoded(case.codec, pixels[None] / 127.5 - 1)[0]
    found = encode_frames(case.codec, pixels.permute(1, 2, 3, 0))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_loaded_codec_has_the_spec_of_its_files(case):
    assert case.codec.spec == codec_spec(case.name)
    assert case.codec.device == torch.device("cpu")


def test_a_changed_weight_is_another_name(case, tmp_path):
    other = Path(save_tiny(case.kind, tmp_path / "other"))
    assert codec_spec(str(other)) == case.codec.spec
    (file,) = other.glob("*.safetensors")
    weights = load_file(file)
    name = next(name for name in weights if name.startswith("encoder") and name.endswith("bias"))
    weights[name] += 1
    save_file(weights, file, {"format": "pt"})
    assert codec_spec(str(other)).fingerprint != case.codec.spec.fingerprint
    assert load_codec(str(other)).spec == codec_spec(str(other))
    video = case.video((2, 1, 1))
    assert not torch.equal(encoded(load_codec(str(other)), video), encoded(case.codec, video))


def test_whitening_takes_off_mean_and_deviation_of_each_channel(case):
    spec, raw = case.codec.spec, case.latents(2, 1, 1)
    expected = [(raw[:, i] - mean) / std for i, (mean, std) in enumerate(zip(spec.mean, spec.std, strict=True))]
    torch.testing.assert_close(whiten(raw, spec), torch.stack(expected, dim=1))
    torch.testing.assert_close(unwhiten(whiten(raw, spec), spec), raw)
    if case.kind in (*OURS, "wan", "wan 2.2"):
        assert (spec.mean, spec.std) == (MEAN, STD)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_codec_works_in_the_precision_that_it_is_loaded_in(case, dtype):
    video = case.video((3, 1, 1))
    codec = load_codec(case.name, dtype=dtype)
    latent = encoded(codec, video)
    assert latent.dtype == decoded(codec, latent).dtype == dtype
    torch.testing.assert_close(latent.float(), encoded(case.codec, video), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("fault", ["channels", "rows", "columns", "dimensions", "frames", "none", "sizes"])
def test_other_shapes_are_refused_in_one_line(case, fault):
    video = case.video((2, 1, 1))
    faulty = {
        "channels": [video[:, :1]],
        "rows": [video[:, :, :, :-1]],
        "columns": [video[..., :-1]],
        "dimensions": [video[0]],
        "frames": [video[:, :, :-1]],
        "none": [video[:, :, :0]],
        "sizes": [video, case.video((2, 1, 2))],
    }
    with pytest.raises(ValueError, match=r"frames|differ in length") as raised:
        encoded(case.codec, *faulty[fault])
    assert "\n" not in str(raised.value)


def test_other_latents_are_refused_in_one_line(case):
    latent = case.latents(2, 1, 1)
    for faulty in ([latent[:, 1:]], [latent[0]], [latent[:, :, :0]], [latent, case.latents(1, 1, 2)]):
        with pytest.raises(ValueError, match=r"latents") as raised:
            decoded(case.codec, *faulty)
        assert "\n" not in str(raised.value)


def test_no_gradients_are_kept(case):
    latent = encoded(case.codec, case.video((2, 1, 1)).requires_grad_())
    assert not latent.requires_grad
    assert not decoded(case.codec, latent.clone().requires_grad_()).requires_grad


def test_specs_are_read_without_torch_and_diffusers(tmp_path):
    names = [save_tiny(kind, tmp_path / kind) for kind in KINDS]
    program = (
        "import sys; from model.codec.spec import codec_spec; "
        "[codec_spec(name) for name in sys.argv[1:]]; print({'torch', 'diffusers'} & sys.modules.keys())"
    )
    found = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
