"""The fingerprint of a captioner: one value for everything that decides what it says of a given clip.

Backends give the same greedy text, so they share it. What only decides how fast, or where, a captioner runs is listed
here and left out; every other setting and engine option counts, one that is new included.
"""

from __future__ import annotations

import json

from pipeline import decode
from pipeline.caption.backends.catalogue import BACKENDS
from pipeline.caption.backends.checkpoints import checkpoint_digest
from pipeline.caption.backends.engine_captioner import PROMPT_NAMES, REWRITE_NAMES
from pipeline.caption.prompts.templates import load_prompt
from schemas.identity import digest
from schemas.recipe.caption import CaptionConfig

VERSION = 3
"""Raised when the code of frames, windows or merging changes what a captioner says."""

SPEED_SETTINGS = frozenset(
    (
        *("backend", "url", "api_key_env", "concurrency", "timeout_s", "attempts"),
        *("batch", "batch_clips", "stall_s", "num_gpus", "num_actors"),
    )
)
"""Fields of `CaptionConfig` that change no text."""

SPEED_OPTIONS = frozenset(
    (
        # vLLM: memory, parallelism, scheduling and caches. `max_model_len` is room: what it has no room for is a fault
        # or a cut answer. `seed` is the engine's own; each request that is drawn has a seed of its own.
        *("gpu_memory_utilization", "kv_cache_memory_bytes", "cpu_offload_gb", "block_size"),
        *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "distributed_executor_backend"),
        *("max_model_len", "max_num_seqs", "max_num_batched_tokens", "enable_chunked_prefill", "seed"),
        *("enable_prefix_caching", "mm_processor_cache_gb", "mm_processor_cache_type"),
        *("enforce_eager", "compilation_config", "download_dir", "disable_log_stats"),
        # transformers: where weights are put, and by which kernel attention is computed.
        *("device_map", "low_cpu_mem_usage", "attn_implementation", "cache_dir", "local_files_only"),
    )
)
"""Keys of `engine_options` that change no text, but for rounding. Others, as `quantization` or `extra_body`, do."""


def fingerprint(config: CaptionConfig) -> str:
    """16 hex characters over weights, prompts, settings and engine options.

    A folder counts by its files' bytes, a hub name by itself: pin a revision by downloading it to a folder.

    Raises:
        ValueError: a prompt template cannot be read.
    """
    backend = BACKENDS[config.backend]
    weights = checkpoint_digest(config.checkpoint, backend.builtin)
    templates = [load_prompt(config.prompt, PROMPT_NAMES).counted()] if backend.takes_prompt else []
    if config.rewrite and backend.takes_prompt:
        templates.append(load_prompt(config.rewrite, REWRITE_NAMES).counted())
        if config.rewrite_checkpoint:
            templates.append({"by": checkpoint_digest(config.rewrite_checkpoint)})
    counted_otherwise = {"checkpoint", "prompt", "rewrite", "rewrite_checkpoint", "engine_options"}
    names = [name for name in CaptionConfig.__dataclass_fields__ if name not in SPEED_SETTINGS | counted_otherwise]
    settings = [getattr(config, name) for name in names]
    options = {key: value for key, value in config.engine_options.items() if key not in SPEED_OPTIONS}
    counted = [json.dumps(options, sort_keys=True, default=str)] if options else []
    return digest("captioner", decode.VERSION, VERSION, weights, templates, *settings, *counted)


def known_prompts(config: CaptionConfig) -> dict[str, str]:
    """The prompt of the captioner of these settings, by its fingerprint; empty for one that takes none."""
    if config.backend == "none":
        return {}
    takes_prompt = BACKENDS[config.backend].takes_prompt
    return {fingerprint(config): load_prompt(config.prompt, PROMPT_NAMES).shown if takes_prompt else ""}
