"""Answers by any server with OpenAI's chat completions: a bounded number of requests in flight.

vLLM is sent the frames as one video of lossless pictures, all of which it uses (`video/jpeg` with pictures of any
format, joined by commas). Start it with `--trust-request-mm-kwargs`: each request states how many frames it has, and
their rate. Other servers are sent images.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from openai import APIConnectionError, APIStatusError, APITimeoutError, AsyncOpenAI

from model.builtin import BUILTIN
from pipeline.caption.backends.background import BackgroundLoop
from pipeline.caption.backends.checkpoints import BUILTIN_FOLDER, grid_px, told_fps
from pipeline.caption.backends.guidance import grammar
from pipeline.caption.engine import Answer, Fault, Request, Sampling, draw_seed, one_line
from schemas.recipe.engine import EngineSettings

LONGEST_WAIT_S = 8.0
"""The client retries after 0.5 s, then after twice as long each time, up to this, less up to a quarter at random."""
WRONG_SERVER = (401, 404)
"""Statuses of a wrong key, URL or model name, whatever the request is."""


@dataclass(frozen=True)
class ServerOptions:
    """What a server does not say of itself.

    grid_px, told_fps: facts of the checkpoint, where it is no folder on this machine.
    video_as: "video" is vLLM's way; the grammar of the other backends goes with it, so that greedy answers agree.
        "images" is OpenAI's: an image for each frame, without their rate, and the schema as `response_format`.
    extra_body: fields added to every request, as they are.
    """

    grid_px: int = 28
    told_fps: float | None = None
    video_as: Literal["video", "images"] = "video"
    extra_body: Mapping[str, Any] | None = None


class OpenAIEngine:
    """A model behind a server. An error of one request is its own fault; an error of all is the server's."""

    def __init__(self, settings: EngineSettings) -> None:
        """Sends nothing yet. Several threads may call `answer` at once and share the `concurrency`.

        Raises:
            ValueError: no URL, no key where one is named, or an option that is not of `ServerOptions`.
        """
        if not settings.url:
            raise ValueError("an openai engine needs the server's url, such as http://localhost:8000/v1")
        if settings.api_key_env and not os.environ.get(settings.api_key_env):
            raise ValueError(f"the environment has no {settings.api_key_env}, which should hold the server's key")
        self.settings = settings
        self._key = os.environ.get(settings.api_key_env, "none") if settings.api_key_env else "none"
        self._turn = asyncio.Semaphore(settings.concurrency)
        self._loop = BackgroundLoop()
        self.options = _server_options(settings.engine_options)
        self.grid_px: int | None = self.options.grid_px
        self.told_fps = self.options.told_fps
        folder = BUILTIN_FOLDER if settings.checkpoint == BUILTIN else Path(settings.checkpoint)
        if (folder / "config.json").is_file():
            self.grid_px, self.told_fps = _facts_of(folder)

    def answer(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer | Fault]:
        """An answer or a fault for each, in order.

        Raises:
            ConnectionError: no request was answered: the server cannot be reached, or does not know key or model.
        """
        found = self._loop.run(self._answer_all(requests, sampling))
        lost = [answer for answer in found if isinstance(answer, ServerFault)]
        if lost and not any(isinstance(answer, Answer) for answer in found):
            raise ConnectionError(f"{self.settings.url}: {lost[0].reason}")
        return [Fault(answer.reason, True) if isinstance(answer, ServerFault) else answer for answer in found]

    async def _answer_all(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer | Fault]:
        settings = self.settings
        async with AsyncOpenAI(
            base_url=settings.url, api_key=self._key, timeout=settings.timeout_s, max_retries=settings.attempts - 1
        ) as client:
            return await asyncio.gather(*[self._answer(client, request, sampling) for request in requests])

    async def _answer(self, client: AsyncOpenAI, request: Request, sampling: Sampling) -> Answer | Fault:
        if fault := request.fault(self.grid_px):
            return Fault(fault)
        # The client's timeout is for each read: a server that sends a byte now and then would never reach it.
        patience_s = self.settings.attempts * (self.settings.timeout_s + LONGEST_WAIT_S)
        async with self._turn:
            try:
                body = await asyncio.to_thread(self._body, request, sampling)
                async with asyncio.timeout(patience_s):
                    raw = await client.chat.completions.with_raw_response.create(**body)
                return read_answer(raw.text)
            except APIStatusError as error:
                reason = one_line(f"{error.status_code}: {_message(error)}")
                if error.status_code in WRONG_SERVER:
                    return ServerFault(reason)
                return Fault(reason, transient=error.status_code >= 500 or error.status_code in MAY_PASS)
            except (APITimeoutError, TimeoutError):
                return Fault(
                    f"no answer in {self.settings.timeout_s:g} s, {self.settings.attempts} times", transient=True
                )
            except APIConnectionError as error:
                return ServerFault(
                    one_line(f"no connection, {self.settings.attempts} times: {error.__cause__ or error}")
                )
            except ValueError as error:
                return Fault(one_line(str(error)))

    def _body(self, request: Request, sampling: Sampling) -> dict[str, Any]:
        """A chat completion's arguments."""
        extra = dict(self.options.extra_body or {})
        content: Any = request.user
        if request.frames is not None and self.options.video_as == "video":
            pictures = ",".join(map(_png, request.frames))
            content = [_part("video_url", f"data:video/jpeg;base64,{pictures}"), {"type": "text", "text": request.user}]
            # Without these vLLM takes 32 frames and states one a second.
            extra["media_io_kwargs"] = {"video": {"num_frames": -1, "fps": request.fps}}
        elif request.frames is not None:
            pictures = [_part("image_url", f"data:image/png;base64,{_png(frame)}") for frame in request.frames]
            content = [*pictures, {"type": "text", "text": request.user}]
        body: dict[str, Any] = {
            "model": self.settings.checkpoint,
            "messages": [
                *([{"role": "system", "content": request.system}] if request.system else []),
                *[
                    {"role": role, "content": text}
                    for turn in request.turns
                    for role, text in zip(("user", "assistant"), turn, strict=True)
                ],
                {"role": "user", "content": content},
            ],
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
        }
        if sampling.temperature > 0:
            body["seed"] = draw_seed(request, sampling)
        if request.schema is not None and self.options.video_as == "video":
            extra["structured_outputs"] = {"grammar": grammar(request.schema)}
        elif request.schema is not None:
            schema = {"name": "answer", "strict": True, "schema": dict(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body | {"extra_body": extra}


MAY_PASS = frozenset({408, 409, 425, 429})
"""Statuses below 500 that say that the same may be asked later (RFC 9110, 15.5; RFC 6585, RFC 8470)."""


class ServerFault(Fault):
    """A fault that is not the request's."""


def read_answer(body: str) -> Answer:
    """The answer in the body of a chat completion. The server counts the tokens; the end mark is left out.

    Raises:
        ValueError: it holds none.
    """
    try:
        said = json.loads(body)
        choice = said["choices"][0]
        text, reason = choice["message"]["content"], choice.get("finish_reason")
        num_tokens = int((said.get("usage") or {}).get("completion_tokens", 0))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"the server sent no chat completion but {body[:80]!r}") from error
    if not isinstance(text, str):
        raise ValueError(f"the server sent no text, having ended for {reason!r}")
    if reason == "content_filter":
        raise ValueError("the server's filter cut the answer")
    cut = reason == "length"
    return Answer(text.strip(), max(num_tokens - (not cut), 0), cut)


def _server_options(options: Mapping[str, Any]) -> ServerOptions:
    try:
        found = ServerOptions(**options)
    except TypeError as error:
        known = ", ".join(ServerOptions.__dataclass_fields__)
        raise ValueError(f"options of an openai engine are {known}, not {', '.join(options)}") from error
    if found.video_as not in ("video", "images"):
        raise ValueError(f"video_as {found.video_as!r} is not one of video, images")
    return found


def _facts_of(folder: Path) -> tuple[int | None, float | None]:
    from transformers import AutoConfig

    checkpoint = AutoConfig.from_pretrained(folder)
    return grid_px(checkpoint), told_fps(checkpoint)


def _part(kind: str, url: str) -> dict[str, Any]:
    return {"type": kind, kind: {"url": url}}


def _png(frame: np.ndarray) -> str:
    """Base64 of a frame (H, W, 3) uint8 RGB, without loss."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return base64.b64encode(encoded.tobytes()).decode()


def _message(error: APIStatusError) -> str:
    if isinstance(error.body, dict) and isinstance(error.body.get("message"), str):
        return error.body["message"]
    return error.response.text
