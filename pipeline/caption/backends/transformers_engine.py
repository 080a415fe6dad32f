"""Answers by transformers, in batches of equal frame sizes. The reference for the other engines.

If a video lasts longer than its grid is wide (at Qwen2.5-VL's two steps a second: more seconds than half its rows or
columns of patches), transformers 5 gives the text after it another position than vLLM 0.32 does, and answers may
differ.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
)

from pipeline.caption.backends.checkpoints import (
    checkpoint_of,
    grid_px,
    prompt_text,
    tokenizer_of,
    told_fps,
    video_metadata,
)
from pipeline.caption.backends.guidance import grammar
from pipeline.caption.engine import Answer, Fault, Request, Sampling, answer_each, draw_seed
from schemas.recipe.engine import EngineSettings


class TransformersEngine:
    """Any image-text-to-text or text checkpoint of transformers, on the GPU if there is one."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        name, dtype = checkpoint_of(settings), getattr(torch, settings.dtype)
        self.processor: Any = AutoProcessor.from_pretrained(name)
        self.tokenizer = tokenizer_of(self.processor)
        self.tokenizer.padding_side = "left"
        sees = grid_px(AutoConfig.from_pretrained(name)) is not None
        kind: Any = AutoModelForImageTextToText if sees else AutoModelForCausalLM
        self.net: Any = kind.from_pretrained(name, dtype=dtype, **settings.engine_options)
        self.net.to(self.device).eval()
        self.grid_px, self.told_fps = grid_px(self.net.config), told_fps(self.net.config)
        self.text_config = self.net.config.get_text_config()
        # A checkpoint's own sampling settings (Qwen's repetition penalty) would make its answers differ from vLLM's.
        wanted = self.net.generation_config
        ends, pad = wanted.eos_token_id, self.tokenizer.pad_token_id
        self.ends = set(ends if isinstance(ends, list) else [ends])
        self.net.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=pad)

    def answer(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer | Fault]:
        """An answer or a fault for each, in order.

        A batch has frames of one size and one schema, and texts of similar length, so that only text is padded.
        """
        alike: dict[tuple, list[int]] = {}
        for i, request in enumerate(requests):
            shape = None if request.frames is None else request.frames.shape
            alike.setdefault((shape, json.dumps(request.schema)), []).append(i)
        found: dict[int, Answer | Fault] = {}
        for indices in alike.values():
            indices.sort(key=lambda i: len(requests[i].user) + len(requests[i].system))
            for start in range(0, len(indices), self.settings.batch):
                chosen = indices[start : start + self.settings.batch]
                asked = [requests[i] for i in chosen]
                found |= zip(chosen, answer_each(self._answer_batch, asked, sampling, self.grid_px), strict=True)
        return [found[i] for i in range(len(requests))]

    @torch.inference_mode()
    def _answer_batch(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer]:
        inputs = self._inputs(requests).to(self.device)
        num_asked, limit = inputs["input_ids"].shape[1], self.text_config.max_position_embeddings
        room = limit - num_asked
        # An answer is cut where the context ends, as by vLLM; it is asked for alone, so that padding takes no tokens.
        if room < 1 or (room < sampling.max_new_tokens and len(requests) > 1):
            raise ValueError(f"a question of {num_asked} tokens to a network that holds {limit}")
        logits_processor = LogitsProcessorList()
        if requests[0].schema is not None:
            logits_processor.append(self._guide(grammar(requests[0].schema), len(requests)))
        if sampling.temperature > 0:
            seeds = [draw_seed(request, sampling) for request in requests]
            logits_processor.append(Draw(sampling.temperature, seeds))
        limits = {"max_new_tokens": min(sampling.max_new_tokens, room), "do_sample": False}
        ids = self.net.generate(**inputs, **limits, logits_processor=logits_processor)
        return [self._answer(row) for row in ids[:, num_asked:].tolist()]

    def _inputs(self, requests: Sequence[Request]) -> Any:
        """Requests as tensors; either all have frames, of one shape, or none has any."""
        videos = {}
        if requests[0].frames is not None:
            frames = [torch.from_numpy(request.frames).permute(0, 3, 1, 2) for request in requests]
            metadata = [video_metadata(request) for request in requests]
            videos = {"videos": frames, "video_metadata": metadata, "do_sample_frames": False}
        text = [prompt_text(self.processor, request) for request in requests]
        return self.processor(text=text, padding=True, add_special_tokens=False, return_tensors="pt", **videos)

    def _answer(self, ids: list[int]) -> Answer:
        length = next((i for i, token in enumerate(ids) if token in self.ends), None)
        words = ids[:length]
        text = self.tokenizer.decode(words, skip_special_tokens=True).strip()
        return Answer(text, num_tokens=len(words), cut=length is None)

    def _guide(self, ebnf: str, num_rows: int) -> LogitsProcessor:
        from xgrammar.contrib.hf import LogitsProcessor as Guide

        return Guide([self._compiler.compile_grammar(ebnf)] * num_rows)

    @cached_property
    def _compiler(self) -> Any:
        import xgrammar

        vocabulary = xgrammar.TokenizerInfo.from_huggingface(self.tokenizer, vocab_size=self.text_config.vocab_size)
        return xgrammar.GrammarCompiler(vocabulary, max_threads=1)


class Draw(LogitsProcessor):
    """Samples by adding Gumbel noise before the greedy choice, with a generator for each row: rows are independent.

    The largest of logits with Gumbel noise is a sample of their softmax (Maddison et al. 2014, arXiv:1411.0030).
    """

    def __init__(self, temperature: float, seeds: Sequence[int]) -> None:
        self.temperature = temperature
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores (B, vocabulary) at the temperature, with noise."""
        smallest = torch.finfo(torch.float32).tiny
        waits = torch.stack([torch.empty(scores.shape[1]).exponential_(generator=g) for g in self.generators])
        return scores / self.temperature - waits.clamp_min(smallest).log().to(scores.device)
