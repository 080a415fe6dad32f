"""Streams: bit for bit the same for a video and its beginning, equal to the whole, in memory that does not grow."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from model.codec import streaming
from model.codec.causal import Autoencoder, load_autoencoder
from model.codec.spec import codec_spec
from model.codec.streaming import MAX_PIECE, CausalCodec, decode_stream, encode_stream, piece_length
from model.codec.video_codec import encode_frames

SHAPES_THW = [(25, 40, 16), (9, 128, 136)]
"""Videos of two pieces with several latent frames each, and of three with one."""


@pytest.fixture(scope="module")
def autoencoder() -> Autoencoder:
    return load_autoencoder()


def video_of(batch: int, frames: int, height: int, width: int) -> Tensor:
    """Noise that is smooth enough to have latents like those of videos, and changes from frame to frame."""
    coarse = torch.rand(batch, 3, frames, height // 8, width // 8, generator=torch.Generator().manual_seed(frames))
    return torch.nn.functional.interpolate(coarse * 2 - 1, scale_factor=(1, 8, 8))


def encoded(autoencoder: Autoencoder, *chunks: Tensor) -> Tensor:
    return torch.cat(list(encode_stream(autoencoder, chunks)), dim=2)


def decoded(autoencoder: Autoencoder, *chunks: Tensor) -> Tensor:
    return torch.cat(list(decode_stream(autoencoder, chunks)), dim=2)


def test_small_frames_are_taken_several_at_a_time_and_large_ones_alone():
    assert [piece_length(*size) for _, *size in SHAPES_THW] == [MAX_PIECE, 1]
    assert piece_length(64, 96) == 5
    assert piece_length(96, 128) == 2
    assert piece_length(2160, 3840) == 1


@pytest.mark.parametrize(("frames", "height", "width"), SHAPES_THW)
def test_latents_of_a_prefix_are_the_prefix_of_the_latents_bit_for_bit(autoencoder, frames, height, width):
    video = video_of(1, frames, height, width)
    latent = encoded(autoencoder, video)
    assert latent.shape == (1, 8, (frames + 3) // 4, height // 8, width // 8)
    for end in range(1, frames, 4):
        prefix = encoded(autoencoder, video[:, :, :end])
        assert prefix.shape[2] == (end + 3) // 4
        assert torch.equal(prefix, latent[:, :, : prefix.shape[2]])


@pytest.mark.parametrize(("frames", "height", "width"), SHAPES_THW)
def test_the_video_of_a_prefix_of_latents_is_the_prefix_of_the_video_bit_for_bit(autoencoder, frames, height, width):
    latent = autoencoder.encode(video_of(1, frames, height, width))
    video = decoded(autoencoder, latent)
    assert video.shape == (1, 3, frames, height, width)
    for num_latents in range(1, latent.shape[2]):
        prefix = decoded(autoencoder, latent[:, :, :num_latents])
        assert prefix.shape == (1, 3, 4 * num_latents - 3, height, width)
        assert torch.equal(prefix, video[:, :, : prefix.shape[2]])


def test_an_image_is_the_first_frame_of_a_video_bit_for_bit(autoencoder):
    video = video_of(1, 9, 64, 96)
    image = video[:, :, :1].clone()
    latent = encoded(autoencoder, image)
    assert torch.equal(latent, encoded(autoencoder, video)[:, :, :1])
    assert decoded(autoencoder, latent).shape == image.shape


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("frames", "height", "width"), SHAPES_THW)
def test_streamed_equals_whole_up_to_rounding(autoencoder, batch, frames, height, width):
    """Largest difference 1e-4, of latents with a standard deviation of about 2 and of pixels from -1 to 1."""
    video = video_of(batch, frames, height, width)
    whole = autoencoder.encode(video)
    torch.testing.assert_close(encoded(autoencoder, video), whole, rtol=0, atol=1e-4)
    torch.testing.assert_close(decoded(autoencoder, whole), autoencoder.decode(whole), rtol=0, atol=1e-4)
    assert whole.std() > 1


def test_lengths_and_memory_layout_of_chunks_change_no_bit(autoencoder):
    video = video_of(2, 25, 40, 16)
    latent = encoded(autoencoder, video)
    channels_last = video.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
    assert torch.equal(encoded(autoencoder, *channels_last.split([1, 2, 0, 21, 1], dim=2)), latent)
    shown = decoded(autoencoder, latent)
    channels_last = latent.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
    assert torch.equal(decoded(autoencoder, *channels_last.split([2, 1, 4], dim=2)), shown)


class LargestTensor(TorchDispatchMode):
    """Counts the elements of the largest tensor that any operation gives."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.elements = max([self.elements, *(tensor.untyped_storage().nbytes() // 4 for tensor in tensors)])
        return result


@pytest.mark.parametrize("piece_px", [1, 1 << 15])
def test_memory_does_not_grow_with_the_length(autoencoder, monkeypatch, piece_px):
    """Of 5 and of 65 frames the largest tensor is the same, and no more is asked for than the next piece takes."""
    largest, asked_for = [], 0

    def one_by_one(stream: Tensor) -> Iterator[Tensor]:
        nonlocal asked_for
        for i in range(stream.shape[2]):
            asked_for += 1
            yield stream[:, :, i : i + 1]

    monkeypatch.setattr(streaming, "PIECE_PX", piece_px)
    length = piece_length(24, 16)
    for frames in (5, 65):
        video = torch.zeros(1, 3, 1, 24, 16).expand(-1, -1, frames, -1, -1)
        with LargestTensor() as seen:
            latents, given, asked_for = [], 0, 0
            for chunk in encode_stream(autoencoder, one_by_one(video)):
                latents.append(chunk)
                given += chunk.shape[2]
                assert asked_for <= given * 4 - 3
            given, asked_for = 0, 0
            for chunk in decode_stream(autoencoder, one_by_one(torch.cat(latents, dim=2))):
                given += chunk.shape[2]
                assert chunk.shape[2] <= length * 4
                assert asked_for <= (given + 3) // 4
        assert given == frames
        largest.append(seen.elements)
    assert largest[0] == largest[1] > 0


def test_what_is_remembered_of_a_piece_does_not_keep_it_in_memory(autoencoder):
    cache: dict = {}
    autoencoder.encode_groups(video_of(1, 20, 16, 24), cache)
    assert len(cache) == 4
    for past in cache.values():
        assert past.shape[1] == 2
        assert past.untyped_storage().nbytes() == past.numel() * 4


def test_frames_of_8_bits_become_floats_a_part_at_a_time(autoencoder):
    frames = torch.randint(0, 256, (25, 16, 24, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = autoencoder.encode(frames.permute(3, 0, 1, 2)[None].double().div(255).mul(2).sub(1).float())[0]
    codec = CausalCodec(codec_spec(), autoencoder)
    torch.testing.assert_close(encode_frames(codec, frames), expected, rtol=0, atol=1e-3)
    lengths = []

    class Recorded(CausalCodec):
        def encode_stream(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
            lengths.extend(chunk.shape[2] for chunk in frames)
            yield expected[None]

    encode_frames(Recorded(codec_spec(), autoencoder), frames)
    assert max(lengths) < len(frames) == sum(lengths)


def test_no_gradients_are_kept(autoencoder):
    video = video_of(1, 5, 16, 16).requires_grad_()
    latent = encoded(autoencoder, video)
    assert not latent.requires_grad
    assert not decoded(autoencoder, latent.clone().requires_grad_()).requires_grad


@pytest.mark.parametrize("frames", [2, 4, 8])
def test_a_length_other_than_4k_plus_1_is_refused_at_the_end(autoencoder, frames):
    with pytest.raises(ValueError, match="4k"):
        encoded(autoencoder, video_of(1, frames, 16, 16))


@pytest.mark.parametrize("shape", [(1, 1, 5, 16, 16), (1, 3, 5, 20, 16), (1, 3, 5, 16, 20), (3, 5, 16, 16)])
def test_chunks_of_another_form_are_refused(autoencoder, shape):
    with pytest.raises(ValueError, match=r"8h, 8w|5 dimensions"):
        encoded(autoencoder, torch.zeros(shape))


def test_chunks_that_do_not_fit_one_another_are_refused(autoencoder):
    with pytest.raises(ValueError, match="differ in length only"):
        encoded(autoencoder, torch.zeros(2, 3, 1, 16, 16), torch.zeros(1, 3, 4, 16, 16))
    with pytest.raises(ValueError, match="differ in length only"):
        decoded(autoencoder, torch.zeros(1, 8, 1, 2, 2), torch.zeros(1, 8, 1, 2, 3))


def test_nothing_is_no_video(autoencoder):
    with pytest.raises(ValueError, match="there are none"):
        encoded(autoencoder)
    with pytest.raises(ValueError, match="there are none"):
        decoded(autoencoder, torch.zeros(1, 8, 0, 2, 2))
