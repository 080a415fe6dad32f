"""What the tests of engines ask: vLLM in a process of ours, vLLM's own server, and a server that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from model.builtin import BUILTIN
from pipeline.caption.backends.catalogue import load_engine
from pipeline.caption.backends.checkpoints import BUILTIN_FOLDER
from pipeline.caption.backends.vllm_engine import VllmEngine
from schemas.identity import digest
from schemas.recipe.engine import EngineSettings

VLLM_OPTIONS = {
    "max_model_len": 2048,
    # The network in the engine's own process and not in a third one, which would import all of vLLM once more.
    "distributed_executor_backend": "vllm.v1.executor.uniproc_executor.UniProcExecutor",
}
OLD_NAMES = [
    # vLLM 0.32 gives xgrammar 0.2.8 an argument that it no longer needs.
    pytest.mark.filterwarnings("ignore:max_rollback_tokens is deprecated:DeprecationWarning"),
    # OpenAI's new name for it; servers other than OpenAI's own know the old one, and some that alone.
    pytest.mark.filterwarnings("ignore:max_tokens is deprecated:DeprecationWarning"),
]
"""Marks for tests that vLLM's own code runs in."""
Reply = tuple[int, str]
"""A status and a body."""


def start_vllm() -> VllmEngine:
    """vLLM's engine with the built-in captioner."""
    require_vllm()
    settings = EngineSettings(backend="vllm", checkpoint=str(BUILTIN_FOLDER), engine_options=VLLM_OPTIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of vLLM's own imports
        engine = load_engine(settings)
    assert isinstance(engine, VllmEngine)
    return engine


def require_vllm() -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vllm is not installed")


@contextlib.contextmanager
def vllm_server(engine: VllmEngine) -> Iterator[str]:
    """vLLM's own server of an engine that runs already, on a free port; the URL of its API.

    Its requests name the captioner as a recipe does, or by the path of its folder.
    """
    words = ["--model", str(BUILTIN_FOLDER), "--served-model-name", str(BUILTIN_FOLDER), BUILTIN]
    words += ["--trust-request-mm-kwargs"]
    server, ended = engine._loop.run(_serve(engine, words))
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        engine._loop.run(_wait(ended))


async def _serve(engine: VllmEngine, words: Sequence[str]) -> tuple[Any, asyncio.Task[None]]:
    """uvicorn's server that listens, and the task that ends with it; in the engine's event loop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of vLLM's own imports
        import uvicorn
        from vllm.entrypoints.launchers.api_server.app_state import init_app_state
        from vllm.entrypoints.launchers.app import build_app
        from vllm.entrypoints.launchers.cli_args import make_arg_parser
        from vllm.utils.argparse_utils import FlexibleArgumentParser

        args = make_arg_parser(FlexibleArgumentParser()).parse_args([*words])
        tasks = await engine.llm.get_supported_tasks()
        app = build_app(args, tasks, engine.llm.model_config)
        await init_app_state(engine.llm, app.state, args, tasks)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    ended = asyncio.create_task(server.serve())
    while not server.started:
        assert not ended.done(), ended.exception()
        await asyncio.sleep(0.02)
    return server, ended


async def _wait(task: asyncio.Task[None]) -> None:
    await task


class ScriptedServer:
    """Chat completions answered by a function of the question asked and of how often it has been asked before.

    The question is the last message's text; of a message with pictures, a digest of all its parts.
    """

    def __init__(self, reply: Callable[[str, int], Reply]) -> None:
        self.reply = reply
        self.bodies: list[dict] = []
        self.asked: dict[str, int] = {}
        self.most_at_once = 0
        self.at_once = 0
        self.lock = threading.Lock()

    def answer(self, body: dict) -> Reply:
        content = body["messages"][-1]["content"]
        question = content if isinstance(content, str) else digest(content)
        with self.lock:
            self.bodies.append(body)
            before = self.asked.get(question, 0)
            self.asked[question] = before + 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return self.reply(question, before)
        finally:
            with self.lock:
                self.at_once -= 1

    @contextlib.contextmanager
    def listening(self) -> Iterator[str]:
        """The URL of its API while it listens."""
        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, text = answer(body)
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.end_headers()
                    self.wfile.write(text.encode())
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client did not wait

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def completion(text: str | None, finish_reason: str = "stop", num_tokens: int = 3) -> str:
    """The body of a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    return json.dumps({"choices": [choice], "usage": {"completion_tokens": num_tokens}})
