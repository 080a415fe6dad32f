"""A small causal 3D autoencoder: video to latents of stride 4x8x8, and back.

Frames are taken in groups of four, the first frame standing for a whole group of its own (as in MAGVIT-v2, Yu et al.
2024), so T = 4k + 1 frames give k + 1 latent frames and an image is a video of one frame. Every layer looks at its own
group and earlier ones only and no norm mixes time, so the latents of a prefix are the prefix of the latents.
Patches are folded into channels before the first layer and unfolded after the last, which leaves the convolutions
few positions to visit: the network is meant for two CPU cores.

Shapes: B batch, C channels, T frames, H and W pixels, or their counts of latents. Channels are last inside, where a
convolution in time is one product of matrices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.checkpoint import load_weights, read_config, save_model, with_tuples
from model.codec.bottlenecks.config import BottleneckConfig, NoisedConfig, as_entry, bottleneck_config
from model.codec.bottlenecks.making import make_bottleneck
from model.codec.folders import codec_folder
from model.codec.layers import Blocks, NormSiLU, SpaceConv, TimeCache, fold, unfold
from model.codec.spec import CAUSAL_STRIDE_THW
from schemas.identity import folder_digest

STRIDE_T, STRIDE_HW, _ = CAUSAL_STRIDE_THW


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes of the network, and the statistics of its latents over the clips it was fitted on."""

    latent_channels: int = 8
    fine_channels: int = 128
    """Width at 1/4 of the frame size."""
    coarse_channels: int = 192
    """Width at 1/8 of the frame size, where the latents live."""
    detail_channels: int = 48
    """Width of the decoder's last layers, at 1/2 of the frame size and the full frame rate."""
    encoder_blocks: tuple[int, int] = (2, 2)
    """Blocks at 1/4, 1/8."""
    decoder_blocks: tuple[int, int, int] = (3, 3, 2)
    """Blocks at 1/8, 1/4, 1/2."""
    latent_mean: tuple[float, ...] = (0.0,) * 8
    latent_std: tuple[float, ...] = (1.0,) * 8
    bottleneck: BottleneckConfig = NoisedConfig()
    """What makes a latent of the encoder's output; as the built-in one was fitted."""

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> AutoencoderConfig:
        """Of a config.json; ValueError for a bottleneck that is not known."""
        sizes = with_tuples({key: value for key, value in config.items() if key != "bottleneck"})
        return cls(**sizes, bottleneck=bottleneck_config(config.get("bottleneck")))


class Autoencoder(nn.Module):
    """Encoder, bottleneck and decoder. `fingerprint` names the weights it was loaded from and is empty before that."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: AutoencoderConfig = AutoencoderConfig()) -> None:
        super().__init__()
        self.config = config
        self.fingerprint = ""
        self.bottleneck = make_bottleneck(config.bottleneck, config.latent_channels)
        fine, coarse, detail = config.fine_channels, config.coarse_channels, config.detail_channels
        self.encoder = nn.ModuleDict(
            {
                "enter": nn.Linear(3 * STRIDE_T * 16, fine),
                "fine": Blocks(fine, config.encoder_blocks[0]),
                "down": nn.Linear(4 * fine, coarse),
                "coarse": Blocks(coarse, config.encoder_blocks[1]),
                "leave": nn.Sequential(NormSiLU(coarse), nn.Linear(coarse, self.bottleneck.encoder_channels)),
            }
        )
        self.decoder = nn.ModuleDict(
            {
                "enter": SpaceConv(config.latent_channels, coarse),
                "coarse": Blocks(coarse, config.decoder_blocks[0]),
                "up": nn.Linear(coarse, 4 * fine),
                "fine": Blocks(fine, config.decoder_blocks[1]),
                "unroll": nn.Linear(fine, 4 * STRIDE_T * detail),
                "detail": Blocks(detail, config.decoder_blocks[2]),
                "leave": SpaceConv(detail, 3 * 4),
            }
        )
        self.register_buffer("latent_mean", _per_channel(config.latent_mean), persistent=False)
        self.register_buffer("latent_std", _per_channel(config.latent_std), persistent=False)

    def encode(self, video_BCTHW: Tensor) -> Tensor:
        """Raw latents of a video, as they are stored.

        Args:
            video_BCTHW: (B, 3, 4k+1, H, W) in [-1, 1]; H and W multiples of 8.
        Returns:
            (B, latent_channels, k+1, H/8, W/8).
        Raises:
            ValueError: the shape is not of this form.
        """
        return self.bottleneck.latent(self.before_bottleneck(video_BCTHW))

    def before_bottleneck(self, video_BCTHW: Tensor) -> Tensor:
        """What the bottleneck is given of a video; as `encode`, but with the bottleneck's `encoder_channels`."""
        check_video_shape(video_BCTHW.shape)
        first = video_BCTHW[:, :, :1].expand(-1, -1, STRIDE_T - 1, -1, -1)
        return self._encoded(torch.cat([first, video_BCTHW], dim=2))

    def encode_groups(self, video_BCTHW: Tensor, cache: TimeCache | None = None) -> Tensor:
        """Raw latents of whole groups of frames: (B, 3, 4n, 8h, 8w) to (B, latent_channels, n, h, w)."""
        return self.bottleneck.latent(self._encoded(video_BCTHW, cache))

    def _encoded(self, video_BCTHW: Tensor, cache: TimeCache | None = None) -> Tensor:
        net = self.encoder
        x = net["enter"](fold(video_BCTHW.permute(0, 2, 3, 4, 1), STRIDE_T, 4))
        x = net["down"](fold(net["fine"](x, cache), 1, 2))
        return net["leave"](net["coarse"](x, cache)).permute(0, 4, 1, 2, 3)

    def decode(self, latent_BCTHW: Tensor) -> Tensor:
        """The video of raw latents: (B, latent_channels, k+1, h, w) to (B, 3, 4k+1, 8h, 8w), near [-1, 1] but not
        clipped."""
        return self.decode_groups(latent_BCTHW)[:, :, STRIDE_T - 1 :]

    def decode_groups(self, latent_BCTHW: Tensor, cache: TimeCache | None = None) -> Tensor:
        """Whole groups of frames of raw latents: (B, latent_channels, n, h, w) to (B, 3, 4n, 8h, 8w)."""
        net = self.decoder
        x = net["coarse"](net["enter"](latent_BCTHW.permute(0, 2, 3, 4, 1)), cache)
        x = net["fine"](unfold(net["up"](x), 1, 2), cache)
        x = net["detail"](unfold(net["unroll"](x), STRIDE_T, 2), cache)
        return unfold(net["leave"](x), 1, 2).permute(0, 4, 1, 2, 3)

    def whiten(self, latent_BCTHW: Tensor) -> Tensor:
        """Raw latents to ones of about zero mean and unit variance per channel."""
        return (latent_BCTHW - self.latent_mean) / self.latent_std

    def unwhiten(self, latent_BCTHW: Tensor) -> Tensor:
        """The inverse of `whiten`."""
        return latent_BCTHW * self.latent_std + self.latent_mean


def check_video_shape(shape: tuple[int, ...]) -> None:
    """Raise ValueError unless `shape` is (B, 3, 4k+1, 8h, 8w)."""
    if len(shape) != 5 or shape[1] != 3 or shape[2] % STRIDE_T != 1 or shape[3] % STRIDE_HW or shape[4] % STRIDE_HW:
        raise ValueError(f"a video must be (B, 3, 4k+1, 8h, 8w), got {tuple(shape)}")


def save_autoencoder(folder: Path | str, autoencoder: Autoencoder) -> None:
    """Write weights (fp16) and config; `load_autoencoder` reads them."""
    config = asdict(autoencoder.config) | {"bottleneck": as_entry(autoencoder.config.bottleneck)}
    save_model(folder, autoencoder, config, dtype=torch.float16)


def load_autoencoder(name: str = "builtin") -> Autoencoder:
    """Load an autoencoder for inference, in float32 on the CPU.

    Args:
        name: `builtin`, or the path of a folder written by `save_autoencoder`.
    Raises:
        ValueError: no checkpoint there.
    """
    folder = codec_folder(name)
    autoencoder = Autoencoder(AutoencoderConfig.read(read_config(folder)))
    load_weights(folder, autoencoder)
    autoencoder.fingerprint = folder_digest(folder)
    return autoencoder.eval().requires_grad_(False)


def _per_channel(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1, 1)
