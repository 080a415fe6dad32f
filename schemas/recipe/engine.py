"""What [caption] and [expand] share: which model runs on what."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from pydantic import PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from schemas.recipe.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class EngineSettings:
    """Which model runs on what. All but `checkpoint` and `dtype` say how fast, not what."""

    backend: Literal["transformers", "vllm", "openai"] = "transformers"
    """`openai` asks a server of that protocol, as `vllm serve` is."""
    checkpoint: str = "builtin"
    """`builtin`, a folder, or a model hub's name; for `openai` the name that the server knows the model by."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    engine_options: dict[str, Any] = field(default_factory=dict)
    """Given to the engine as they are, as vLLM's tensor_parallel_size."""
    batch: PositiveInt = 16
    """Requests that transformers takes at once."""
    url: str = ""
    """Of the server, up to /v1."""
    api_key_env: str = ""
    """Name of the environment variable that holds the server's key."""
    concurrency: PositiveInt = 16
    timeout_s: PositiveFloat = 120.0
    attempts: PositiveInt = 4
    """Requests in flight, patience for each, and how often one is tried."""
