"""Answers by vLLM's own engine, in this process: any checkpoint that vLLM serves, continuous batching.

The engine runs inside the process that loads it (no server, no engine child process), so an actor of Ray Data holds it
like any other model. On a CPU it wants few settings that are wrong by default for a small machine; they are set here
and can be overridden from outside.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from transformers import AutoProcessor

from pipeline.engines.checkpoints import grid_px, prompt_text, told_fps, video_metadata
from pipeline.engines.engine import Answer, Fault, Request, Sampling, answer_each, checkpoint_of, draw_seed
from pipeline.engines.guidance import grammar
from schemas.looking import EngineSettings

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    # GiB of key-value cache on a CPU; the default asks for half the machine.
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Bound threads fight with other actors over the same cores.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
MAX_MODEL_TOKENS = 4096
"""Room for the frames, the question and the answer, where `options` does not say otherwise."""


class VllmEngine:
    """vLLM's `LLM` behind the engine seam."""

    def __init__(self, settings: EngineSettings) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from vllm import LLM

        options: dict[str, Any] = {
            "max_model_len": MAX_MODEL_TOKENS,
            "enforce_eager": True,
            "limit_mm_per_prompt": {"video": 1, "image": 0},
            "structured_outputs_config": {"backend": "xgrammar"},
            "seed": 0,
            **settings.engine_options,
        }
        self.llm: Any = LLM(checkpoint_of(settings), dtype=settings.dtype, **options)
        self.processor = AutoProcessor.from_pretrained(checkpoint_of(settings))
        checkpoint = self.llm.llm_engine.model_config.hf_config
        self.grid_px, self.told_fps = grid_px(checkpoint), told_fps(checkpoint)

    def answer(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer | Fault]:
        """An answer or a fault for each, in order; all requests are handed over at once."""
        return answer_each(self._answer_all, requests, sampling, self.grid_px)

    def _answer_all(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer | Fault]:
        from vllm.exceptions import VLLMClientError

        prompts = [self._prompt(request) for request in requests]
        params = [_sampling_params(request, sampling) for request in requests]
        try:
            outputs = self.llm.generate(
                prompts, params, use_tqdm=False, tokenization_kwargs={"add_special_tokens": False}
            )
        except VLLMClientError as error:
            raise ValueError(str(error)) from error
        return [self._answer(output.outputs[0]) for output in outputs]

    def _prompt(self, request: Request) -> dict[str, Any]:
        prompt: dict[str, Any] = {"prompt": prompt_text(self.processor, request)}
        if request.frames is not None:
            video = (request.frames, {**video_metadata(request), "do_sample_frames": False})
            prompt["multi_modal_data"] = {"video": [video]}
        return prompt

    @staticmethod
    def _answer(output: Any) -> Answer | Fault:
        if output.finish_reason not in ("stop", "length"):
            return Fault(f"vLLM gave the request up: {output.finish_reason}")
        cut = output.finish_reason == "length"
        num_tokens = len(output.token_ids) if cut else len(output.token_ids) - 1  # the end mark is no word
        return Answer(output.text.strip(), num_tokens, cut)


def _sampling_params(request: Request, sampling: Sampling) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    held_to = None if request.schema is None else StructuredOutputsParams(grammar=grammar(request.schema))
    seed = draw_seed(request, sampling) if sampling.temperature > 0 else None
    return SamplingParams(
        temperature=sampling.temperature, max_tokens=sampling.max_new_tokens, seed=seed, structured_outputs=held_to
    )
