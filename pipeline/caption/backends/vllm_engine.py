"""Answers by vLLM's asynchronous engine: any checkpoint that vLLM serves, with continuous batching.

Requests of several calls run in one batch, so a call that waits for its last answers, or for a second try, leaves no
capacity unused. The network runs in a process of its own, while this one prepares frames and reads answers.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
from collections.abc import Sequence
from itertools import count
from typing import Any

from transformers import AutoProcessor

from pipeline.caption.backends.background import BackgroundLoop
from pipeline.caption.backends.checkpoints import checkpoint_of, grid_px, prompt_text, told_fps, video_metadata
from pipeline.caption.backends.guidance import grammar
from pipeline.caption.backends.parents import OWNER
from pipeline.caption.engine import (
    Answer,
    EngineLost,
    Fault,
    Request,
    Sampling,
    draw_seed,
    one_line,
)
from schemas.recipe.engine import EngineSettings

ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    # GiB of key-value cache on a CPU; the default asks for half the machine.
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Threads bound to cores compete with other actors for the same cores.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
"""Set where the environment does not set them."""
MAX_MODEL_TOKENS = 4096
"""Room for the frames, the question and the answer, where `engine_options` does not say otherwise."""

ENDING_S, POLL_S = 5.0, 1.0


class VllmEngine:
    """vLLM's `AsyncLLM` behind the engine seam; `answer` may be called by several threads at once."""

    def __init__(self, settings: EngineSettings) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        os.environ[OWNER] = str(os.getpid())
        from vllm import AsyncEngineArgs
        from vllm.platforms import current_platform
        from vllm.v1.engine.async_llm import AsyncLLM

        options = engine_options(settings, current_platform.device_type)
        checkpoint_name = checkpoint_of(settings)
        arguments = AsyncEngineArgs(model=checkpoint_name, dtype=settings.dtype, **options)
        self.llm: Any = AsyncLLM.from_engine_args(arguments)
        atexit.register(_end, self.llm)
        self.processor = AutoProcessor.from_pretrained(checkpoint_name)
        checkpoint = self.llm.model_config.hf_config
        self.grid_px, self.told_fps = grid_px(checkpoint), told_fps(checkpoint)
        self._numbers = count()
        self._loop = BackgroundLoop()

    def answer(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer | Fault]:
        """An answer or a fault for each, in order; all requests are handed over at once.

        Raises:
            EngineLost: the network's process died.
        """
        return self._loop.run(self._answer_all(requests, sampling))

    async def _answer_all(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer | Fault]:
        answers = asyncio.gather(*[self._answer(request, sampling) for request in requests])
        # vLLM never ends a request that was sent to its process just before that was killed.
        while not (await asyncio.wait([answers], timeout=POLL_S))[0]:
            if self.llm.errored:
                answers.cancel()
                raise EngineLost("vLLM's process died")
        return answers.result()

    async def _answer(self, request: Request, sampling: Sampling) -> Answer | Fault:
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError

        if fault := request.fault(self.grid_px):
            return Fault(fault)
        try:
            said = self.llm.generate(
                self._prompt(request),
                _sampling_params(request, sampling),
                request_id=str(next(self._numbers)),
                tokenization_kwargs={"add_special_tokens": False},
            )
            return [_read(whole.outputs[0]) async for whole in said][-1]
        except (ValueError, VLLMClientError) as error:
            return Fault(one_line(str(error)))
        except EngineDeadError as error:
            raise EngineLost("vLLM's process died") from error

    def _prompt(self, request: Request) -> dict[str, Any]:
        prompt: dict[str, Any] = {"prompt": prompt_text(self.processor, request)}
        if request.frames is not None:
            video = (request.frames, {**video_metadata(request), "do_sample_frames": False})
            prompt["multi_modal_data"] = {"video": [video]}
        return prompt


def engine_options(settings: EngineSettings, device: str) -> dict[str, Any]:
    """What vLLM's engine is given besides checkpoint and dtype; the recipe's `engine_options` win.

    Args:
        device: type of device as torch names it, "cpu" or "cuda".
    """
    return {
        "max_model_len": MAX_MODEL_TOKENS,
        # A GPU replays CUDA graphs, which spare it most of the time between kernels. A CPU has none, and would compile
        # for minutes.
        "enforce_eager": device == "cpu",
        # 4 GiB by default, in this process and again in the network's. A clip is asked about once, or twice at most.
        "mm_processor_cache_gb": 0,
        "limit_mm_per_prompt": {"video": 1, "image": 0},
        "structured_outputs_config": {"backend": "xgrammar"},
        "seed": 0,
        "disable_log_stats": True,
        **settings.engine_options,
    }


def _end(llm: Any) -> None:
    """End the network's process with this one, without the errors that vLLM logs when it is ended."""
    logging.disable()
    llm.shutdown(timeout=ENDING_S)


def _read(output: Any) -> Answer | Fault:
    if output.finish_reason not in ("stop", "length"):
        return Fault(f"vLLM gave the request up: {output.finish_reason}", transient=True)
    cut = output.finish_reason == "length"
    num_tokens = len(output.token_ids) if cut else len(output.token_ids) - 1  # less the end mark
    return Answer(output.text.strip(), num_tokens, cut)


def _sampling_params(request: Request, sampling: Sampling) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    held_to = None if request.schema is None else StructuredOutputsParams(grammar=grammar(request.schema))
    seed = draw_seed(request, sampling) if sampling.temperature > 0 else None
    return SamplingParams(
        temperature=sampling.temperature,
        max_tokens=sampling.max_new_tokens,
        seed=seed,
        structured_outputs=held_to,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
