"""[aesthetic]: a head that scores how much people like a picture."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from schemas.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class AestheticConfig:
    """A head on image embeddings that says how much people like a picture; off without one."""

    head: str = ""
    """Path of the head's weights (.safetensors or .pth), for example LAION's for ViT-L/14."""
    model: str = "ViT-L-14-quickgelu/openai"
    """The open_clip model that the head was fitted on."""
    device: str = "cpu"
    """PyTorch device that the model runs on, such as `cuda`."""

    @property
    def enabled(self) -> bool:
        """Whether there is a head."""
        return bool(self.head)
