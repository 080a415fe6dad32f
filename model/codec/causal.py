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

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.checkpoint import load_weights, read_config, save_model, with_tuples
from model.codec.folders import codec_folder
from model.codec.spec import CAUSAL_STRIDE_THW
from schemas.identity import folder_digest

STRIDE_T, STRIDE_HW, _ = CAUSAL_STRIDE_THW

TimeCache = dict[nn.Module, Tensor]
"""Of a video that is seen in pieces (`model.codec.streaming`): the last two frames that each convolution in time has
seen, (B, 2, H, W, C); empty before the first piece."""


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


class NormSiLU(nn.Module):
    """Root-mean-square norm over the channels of each position, which mixes neither time nor space; then SiLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        x = x_BTHWC.float()
        scale = torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-6)
        return F.silu(x * scale * self.weight).to(x_BTHWC.dtype)


class SpaceConv(nn.Conv2d):
    """3 x 3 convolution within each frame."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        frames = super().forward(x_BTHWC.flatten(0, 1).permute(0, 3, 1, 2))
        return frames.permute(0, 2, 3, 1).unflatten(0, x_BTHWC.shape[:2])


class CausalTimeConv(nn.Linear):
    """Convolution over the two frames before and the present one; the first frame is repeated into its past.

    With a cache, the past is that of the pieces before, and the cache then holds that of the next piece.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(3 * channels, channels)
        nn.init.zeros_(self.weight)  # a block starts as the identity

    def forward(self, x_BTHWC: Tensor, cache: TimeCache | None = None) -> Tensor:
        frames, first = x_BTHWC.shape[1], x_BTHWC[:, :1]
        past = [cache[self]] if cache and self in cache else [first, first]
        seen = torch.cat([*past, x_BTHWC], dim=1)
        if cache is not None:
            cache[self] = seen[:, -2:].clone()
        return super().forward(torch.cat([seen[:, :frames], seen[:, 1:-1], seen[:, 2:]], dim=-1))


class Block(nn.Module):
    """Residual block: a convolution in space, then one in time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            NormSiLU(channels), SpaceConv(channels, channels), NormSiLU(channels), CausalTimeConv(channels)
        )

    def forward(self, x_BTHWC: Tensor, cache: TimeCache | None = None) -> Tensor:
        *in_space, in_time = self.layers
        x = x_BTHWC
        for layer in in_space:
            x = layer(x)
        return x_BTHWC + in_time(x, cache)


class Blocks(nn.Sequential):
    """Blocks one after another."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__(*[Block(channels) for _ in range(count)])

    def forward(self, x_BTHWC: Tensor, cache: TimeCache | None = None) -> Tensor:
        for block in self:
            x_BTHWC = block(x_BTHWC, cache)
        return x_BTHWC


def fold(x_BTHWC: Tensor, t: int, hw: int) -> Tensor:
    """Move t x hw x hw patches into the channels: (B, T, H, W, C) to (B, T/t, H/hw, W/hw, C*t*hw*hw)."""
    B, T, H, W, C = x_BTHWC.shape
    x = x_BTHWC.reshape(B, T // t, t, H // hw, hw, W // hw, hw, C)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(B, T // t, H // hw, W // hw, C * t * hw * hw)


def unfold(x_BTHWC: Tensor, t: int, hw: int) -> Tensor:
    """The inverse of `fold`."""
    B, T, H, W, C = x_BTHWC.shape
    x = x_BTHWC.reshape(B, T, H, W, C // (t * hw * hw), t, hw, hw)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(B, T * t, H * hw, W * hw, -1)


class Autoencoder(nn.Module):
    """Encoder and decoder. `fingerprint` names the weights it was loaded from and is empty before that."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: AutoencoderConfig = AutoencoderConfig()) -> None:
        super().__init__()
        self.config = config
        self.fingerprint = ""
        fine, coarse, detail = config.fine_channels, config.coarse_channels, config.detail_channels
        self.encoder = nn.ModuleDict(
            {
                "enter": nn.Linear(3 * STRIDE_T * 16, fine),
                "fine": Blocks(fine, config.encoder_blocks[0]),
                "down": nn.Linear(4 * fine, coarse),
                "coarse": Blocks(coarse, config.encoder_blocks[1]),
                "leave": nn.Sequential(NormSiLU(coarse), nn.Linear(coarse, config.latent_channels)),
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
        """Raw latents of a video.

        Args:
            video_BCTHW: (B, 3, 4k+1, H, W) in [-1, 1]; H and W multiples of 8.
        Returns:
            (B, latent_channels, k+1, H/8, W/8).
        Raises:
            ValueError: the shape is not of this form.
        """
        check_video_shape(video_BCTHW.shape)
        first = video_BCTHW[:, :, :1].expand(-1, -1, STRIDE_T - 1, -1, -1)
        return self.encode_groups(torch.cat([first, video_BCTHW], dim=2))

    def encode_groups(self, video_BCTHW: Tensor, cache: TimeCache | None = None) -> Tensor:
        """Raw latents of whole groups of frames: (B, 3, 4n, 8h, 8w) to (B, latent_channels, n, h, w)."""
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
    save_model(folder, autoencoder, asdict(autoencoder.config), dtype=torch.float16)


def load_autoencoder(name: str = "builtin") -> Autoencoder:
    """Load an autoencoder for inference, in float32 on the CPU.

    Args:
        name: `builtin`, or the path of a folder written by `save_autoencoder`.
    Raises:
        ValueError: no checkpoint there.
    """
    folder = codec_folder(name)
    autoencoder = Autoencoder(AutoencoderConfig(**with_tuples(read_config(folder))))
    load_weights(folder, autoencoder)
    autoencoder.fingerprint = folder_digest(folder)
    return autoencoder.eval().requires_grad_(False)


def psnr_db(video: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio of two videos in [-1, 1], in dB; the first is clipped to that range."""
    return float(10 * torch.log10(4.0 / F.mse_loss(video.clamp(-1, 1).float(), truth.float())))


def _per_channel(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1, 1)
