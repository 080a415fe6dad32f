"""One vLLM engine and one vLLM server for all tests of a run: each takes long to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.caption.engine import Engine
from tests.pipeline.caption.serving import start_vllm, vllm_server


@pytest.fixture(scope="session")
def vllm_engine() -> Engine:
    """vLLM with the built-in captioner. A test that harms its engine starts one of its own."""
    return start_vllm()


@pytest.fixture(scope="session")
def vllm_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the API of a live vLLM server with the built-in captioner."""
    with vllm_server(tmp_path_factory.mktemp("served") / "vllm.log") as url:
        yield url
