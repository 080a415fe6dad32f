"""What vLLM's engine is given: by device, and with the recipe's options on top. No vLLM and no GPU is needed."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from pipeline.caption.backends.vllm_engine import engine_options
from schemas.recipe.engine import EngineSettings


def options(device: str, **given: Any) -> dict[str, Any]:
    return engine_options(EngineSettings(backend="vllm", engine_options=given), device)


def test_a_gpu_has_cuda_graphs_and_a_cpu_none() -> None:
    assert options("cuda")["enforce_eager"] is False
    assert options("cpu")["enforce_eager"] is True


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_no_device_keeps_processed_frames(device: str) -> None:
    assert options(device)["mm_processor_cache_gb"] == 0


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_the_recipes_options_win(device: str) -> None:
    given = {"enforce_eager": "auto", "mm_processor_cache_gb": 2.5, "seed": 7, "quantization": "fp8"}
    assert options(device, **given) == options(device) | given


def test_vllm_knows_every_option() -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vllm is not installed")
    from vllm import AsyncEngineArgs

    assert set(options("cuda")) <= set(AsyncEngineArgs.__dataclass_fields__)
