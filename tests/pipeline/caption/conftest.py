"""One vLLM engine for all tests of a run, and vLLM's server of it: an engine takes long to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.caption.backends.vllm_engine import VllmEngine
from tests.pipeline.caption.serving import start_vllm, vllm_server


@pytest.fixture(scope="session")
def vllm_engine() -> VllmEngine:
    """vLLM with the built-in captioner. A test that harms its engine starts one of its own."""
    return start_vllm()


@pytest.fixture(scope="session")
def vllm_url(vllm_engine: VllmEngine) -> Iterator[str]:
    """The URL of the API of a live vLLM server with the built-in captioner."""
    with vllm_server(vllm_engine) as url:
        yield url
