"""[safety]: a classifier of unsafe pictures."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from schemas.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class SafetyConfig:
    """An image classifier that tells unsafe pictures; off without one."""

    model: str = ""
    """A folder or a hub name, for example Falconsai/nsfw_image_detection."""
    unsafe_labels: tuple[str, ...] = (
        "nsfw",
        "porn",
        "pornography",
        "hentai",
        "hentai picture",
        "sexy",
        "enticing or sensual",
    )
    """Labels of the model that count as unsafe; upper or lower case is the same."""
    device: str = "cpu"
    """PyTorch device that the model runs on, such as `cuda`."""

    @property
    def enabled(self) -> bool:
        """Whether there is a classifier."""
        return bool(self.model)
