"""Captions by transformers: greedy, in batches of equal prompts and frame sizes. The reference for other backends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from pipeline.captioners.captioner import Answer, CaptionerConfig, Request
from pipeline.captioners.checkpoints import grid_px, prompt_text, told_fps, video_metadata


class TransformersEngine:
    """Any video-language checkpoint of transformers, on the GPU if there is one."""

    def __init__(self, config: CaptionerConfig) -> None:
        self.config = config
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = getattr(torch, config.dtype)
        self.processor: Any = AutoProcessor.from_pretrained(config.folder_or_name)
        self.net: Any = AutoModelForImageTextToText.from_pretrained(
            config.folder_or_name, dtype=dtype, **config.engine_options
        )
        self.net.to(self.device).eval()
        self.grid_px, self.told_fps = grid_px(self.net.config), told_fps(self.net.config)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Greedy answers, in the order asked. Requests of one size are answered together, so none is padded."""
        alike: dict[tuple, list[int]] = {}
        for i, request in enumerate(requests):
            alike.setdefault((request.frames.shape, request.prompt), []).append(i)
        answers: dict[int, Answer] = {}
        for indices in alike.values():
            for start in range(0, len(indices), self.config.batch):
                chosen = indices[start : start + self.config.batch]
                answers |= zip(chosen, self._answer_batch([requests[i] for i in chosen]), strict=True)
        return [answers[i] for i in range(len(requests))]

    @torch.inference_mode()
    def _answer_batch(self, requests: list[Request]) -> list[Answer]:
        inputs = self.processor(
            text=[prompt_text(self.processor, request.prompt) for request in requests],
            videos=[torch.from_numpy(request.frames).permute(0, 3, 1, 2) for request in requests],
            video_metadata=[video_metadata(request) for request in requests],
            do_sample_frames=False,
            return_tensors="pt",
        ).to(self.device)
        limit = self.config.max_new_tokens
        ids = self.net.generate(
            **inputs, max_new_tokens=limit, do_sample=False, top_k=None, top_p=None, temperature=None
        )
        said = ids[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._answer(row) for row in said]

    def _answer(self, ids: list[int]) -> Answer:
        ends = self.net.generation_config.eos_token_id
        ends = set(ends) if isinstance(ends, list) else {ends}
        length = next((i for i, token in enumerate(ids) if token in ends), None)
        words = ids[:length]
        text = self.processor.tokenizer.decode(words, skip_special_tokens=True).strip()
        return Answer(text, num_tokens=len(words), cut=length is None)
