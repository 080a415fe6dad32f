"""[embedding]: the open_clip model for embeddings and text-video similarity."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from schemas.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class EmbeddingConfig:
    """The open_clip model for embeddings and text-video similarity; `batch` and `device` change speed only."""

    model: str = "builtin"
    """`builtin`, a folder, an open_clip name, or `none`: no embeddings."""
    batch: int = 64
    """Frames that the model takes at once."""
    device: str = "cpu"
    """PyTorch device that the model runs on, such as `cuda`."""

    @property
    def enabled(self) -> bool:
        """Whether there is a model."""
        return self.model != "none"
