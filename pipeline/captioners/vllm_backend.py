"""Captions by vLLM's own engine, in this process: any checkpoint that vLLM serves, continuous batching.

The engine runs inside the process that loads it (no server, no engine child process), so an actor of Ray Data holds it
like any other model. On a CPU it wants few settings that are wrong by default for a small machine; they are set here
and can be overridden from outside.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from transformers import AutoProcessor

from pipeline.captioners.captioner import Answer, CaptionerConfig, Request
from pipeline.captioners.checkpoints import grid_px, prompt_text, told_fps, video_metadata

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
"""Room for the frames, the question and the answer, where `engine_options` does not say otherwise."""


class VllmEngine:
    """vLLM's `LLM` behind the captioner seam."""

    def __init__(self, config: CaptionerConfig) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from vllm import LLM, SamplingParams

        options: dict[str, Any] = {
            "max_model_len": MAX_MODEL_TOKENS,
            "enforce_eager": True,
            "limit_mm_per_prompt": {"video": 1, "image": 0},
            "seed": 0,
            **config.engine_options,
        }
        self.llm: Any = LLM(config.folder_or_name, dtype=config.dtype, **options)
        self.sampling = SamplingParams(temperature=0.0, max_tokens=config.max_new_tokens)
        self.processor = AutoProcessor.from_pretrained(config.folder_or_name)
        checkpoint = self.llm.llm_engine.model_config.hf_config
        self.grid_px, self.told_fps = grid_px(checkpoint), told_fps(checkpoint)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Greedy answers, in the order asked; all requests are handed over at once."""
        prompts = [
            {
                "prompt": prompt_text(self.processor, request.prompt),
                "multi_modal_data": {
                    "video": [(request.frames, {**video_metadata(request), "do_sample_frames": False})]
                },
            }
            for request in requests
        ]
        outputs = self.llm.generate(prompts, self.sampling, use_tqdm=False)
        return [self._answer(output.outputs[0]) for output in outputs]

    @staticmethod
    def _answer(output: Any) -> Answer:
        cut = output.finish_reason == "length"
        num_tokens = len(output.token_ids) if cut else len(output.token_ids) - 1  # the end mark is no word
        return Answer(output.text.strip(), num_tokens, cut)
