"""The captioner backends by name, and what is known of each before it is loaded.

To add one: a file in this folder, a loader and a line here, and its name in `schemas/recipe/caption.py` (for an engine
also in `schemas/recipe/engine.py`). Loaders import what they need, such as torch, so that this module stays light.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from model.builtin import BUILTIN, COCA_FOLDER
from pipeline.caption.backends.checkpoints import BUILTIN_FOLDER
from pipeline.caption.backends.engine_captioner import PROMPT_NAMES, REWRITE_NAMES, EngineCaptioner
from pipeline.caption.captioner import Captioner
from pipeline.caption.engine import Engine
from pipeline.caption.prompts.templates import load_prompt
from schemas.recipe.caption import CaptionConfig
from schemas.recipe.engine import EngineSettings


@dataclass(frozen=True)
class Backend:
    """A captioner backend: an engine, which takes any prompt, or a captioner of its own, which takes none.

    builtin: the folder that the checkpoint "builtin" means.
    for_footage: a checkpoint to recommend to those who caption footage.
    is_server: the network runs behind a URL, not here.
    calls_at_once: batches that one actor works on side by side, where the engine puts their requests together: a batch
        that waits for its last answers, or for a second try, then leaves no capacity unused.
    """

    engine: Callable[[EngineSettings], Engine] | None = None
    captioner: Callable[[CaptionConfig], Captioner] | None = None
    builtin: Path = BUILTIN_FOLDER
    for_footage: str = "Qwen/Qwen2.5-VL-7B-Instruct"
    is_server: bool = False
    calls_at_once: int = 1

    @property
    def takes_prompt(self) -> bool:
        return self.engine is not None


def _transformers(settings: EngineSettings) -> Engine:
    from pipeline.caption.backends.transformers_engine import TransformersEngine

    return TransformersEngine(settings)


def _vllm(settings: EngineSettings) -> Engine:
    from pipeline.caption.backends.vllm_engine import VllmEngine

    return VllmEngine(settings)


def _openai(settings: EngineSettings) -> Engine:
    from pipeline.caption.backends.openai_engine import OpenAIEngine

    return OpenAIEngine(settings)


def _coca(config: CaptionConfig) -> Captioner:
    from pipeline.caption.backends.coca_captioner import CocaCaptioner

    return CocaCaptioner(config)


BACKENDS: dict[str, Backend] = {
    "transformers": Backend(_transformers),
    "vllm": Backend(_vllm, calls_at_once=8),
    "openai": Backend(_openai, calls_at_once=8, is_server=True),
    "coca": Backend(
        captioner=_coca, builtin=COCA_FOLDER, for_footage="coca_ViT-L-14/mscoco_finetuned_laion2b_s13b_b90k"
    ),
}


def load_engine(settings: EngineSettings) -> Engine:
    """Load the network (seconds with transformers, about a minute with vLLM), or reach the server.

    Raises:
        ValueError: no such engine, or wrong settings.
        OSError: the checkpoint cannot be found.
    """
    engines = {name: backend.engine for name, backend in BACKENDS.items() if backend.engine}
    if settings.backend not in engines:
        raise ValueError(f"backend {settings.backend!r} is not one of {', '.join(engines)}")
    _require_builtin(settings)
    return engines[settings.backend](settings)


def load_captioner(config: CaptionConfig) -> Captioner:
    """Load the engine with its prompts, or the captioner, that a recipe names.

    Raises:
        ValueError: no such backend or prompt, or wrong settings.
        OSError: the checkpoint cannot be found.
    """
    backend = BACKENDS.get(config.backend)
    if backend is not None and backend.captioner is not None:
        _require_builtin(config)
        return backend.captioner(config)
    template = load_prompt(config.prompt, PROMPT_NAMES)
    rewrite = load_prompt(config.rewrite, REWRITE_NAMES) if config.rewrite else None
    engine, rewriter = load_engine(config), None
    if rewrite is not None and config.rewrite_checkpoint:
        rewriter = load_engine(replace(config, checkpoint=config.rewrite_checkpoint))
    return EngineCaptioner(config, engine, template, rewrite, rewriter)


def _require_builtin(settings: EngineSettings) -> None:
    backend = BACKENDS[settings.backend]
    if settings.checkpoint == BUILTIN and not backend.is_server and not backend.builtin.is_dir():
        raise ValueError(f"no builtin checkpoint in {backend.builtin}: fit it with `make weights`")
