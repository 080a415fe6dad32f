"""The captioner that asks an engine: a prompt and a clip's frames in, JSON out, held to the schema by a grammar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.caption.captioner import Caption, Captioner, ClipFrames, Rewrite, caption_by_windows
from pipeline.caption.engine import Answer, Engine, Fault, Request, Sampling
from pipeline.caption.frames import fit_frames
from pipeline.caption.prompts.asking import ask
from pipeline.caption.prompts.templates import PromptTemplate
from schemas.recipe.caption import LANGUAGES, CaptionConfig
from schemas.structured_caption import from_json, json_schema

PROMPT_NAMES = ("language", "hints")
REWRITE_NAMES = ("caption", "title")
"""What the templates of a caption and of a rewrite may have in braces."""


@dataclass(frozen=True)
class EngineCaptioner(Captioner):
    """Asks an engine for captions, and for captions merged with the text that came with their clips."""

    config: CaptionConfig
    engine: Engine
    template: PromptTemplate
    rewrite_template: PromptTemplate | None = None
    rewriter: Engine | None = None
    """Who merges captions with titles, if it is not the engine that captions."""

    def __post_init__(self) -> None:
        if self.engine.grid_px is None:
            raise ValueError(f"checkpoint {self.config.checkpoint!r} is of text alone: it cannot see the clips")

    @property
    def prompt(self) -> str:
        return self.template.shown

    def caption(self, clips: Sequence[ClipFrames], hints: Sequence[str], sampling: Sampling) -> list[Caption]:
        def answers(windows: Sequence[ClipFrames], hints: Sequence[str]) -> Sequence[Answer | Fault]:
            return self.engine.answer([self._request(*asked) for asked in zip(windows, hints, strict=True)], sampling)

        return caption_by_windows(clips, hints, self.config.num_frames, answers, from_json)

    @property
    def rewrites(self) -> Rewrite | None:
        return self._rewrite if self.rewrite_template else None

    def _rewrite(self, captions: Sequence[str], titles: Sequence[str]) -> list[Answer | Fault]:
        """Each caption merged with a title, by greedy decoding."""
        assert self.rewrite_template is not None
        asked = [{"caption": caption, "title": title} for caption, title in zip(captions, titles, strict=True)]
        return ask(self.rewriter or self.engine, self.rewrite_template, asked, self.greedy)

    def _request(self, clip: ClipFrames, hint: str) -> Request:
        config = self.config
        assert self.engine.grid_px is not None
        frames = fit_frames(clip.frames, config.num_frames, config.max_pixels_px, self.engine.grid_px)
        fps = self.engine.told_fps or clip.fps(config.num_frames)
        user = self.template.fill(language=LANGUAGES.get(config.language, config.language), hints=hint)
        return Request(user, self.template.system, frames, fps, json_schema(), self.template.turns)
