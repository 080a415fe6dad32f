"""What [caption] and [expand] share: which model runs on what."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from pydantic import PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from schemas.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class EngineSettings:
    """Which model runs on what. `pipeline/caption/fingerprint.py` says which of this changes what a model writes."""

    backend: Literal["transformers", "vllm", "openai"] = "transformers"
    """`openai` asks a server that speaks OpenAI's protocol, such as `vllm serve`."""
    checkpoint: str = "builtin"
    """`builtin`, a folder, or a model hub's name; `smollm2-135m` for texts alone, with the extra `smollm2`; for
    `openai` the name that the server knows the model by."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the weights; `bfloat16` is usual on GPUs."""
    engine_options: dict[str, Any] = field(default_factory=dict)
    """Passed to the engine as they are, such as vLLM's tensor_parallel_size; for `openai` see `ServerOptions`."""
    batch: PositiveInt = 16
    """Requests that transformers or CoCa takes at once."""
    url: str = ""
    """The server's, up to /v1."""
    api_key_env: str = ""
    """Name of the environment variable that holds the server's key."""
    concurrency: PositiveInt = 16
    """Requests in flight at once."""
    timeout_s: PositiveFloat = 120.0
    """Longest wait for one answer, in seconds."""
    attempts: PositiveInt = 4
    """How often a request is sent before it counts as failed."""
