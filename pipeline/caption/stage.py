"""The caption graph's callables: frames, captions with their checks. No Ray here.

Models are imported where they are loaded, in the actors, so that the driver stays light. Between stages a row carries
the clip, pickled, and its frames as bytes with a shape. A failure travels in the row, so every clip that goes in comes
out with a caption or with the reason why it has none.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from model.builtin import BUILTIN, BUILTIN_CAPTIONER
from pipeline.caption.backends.catalogue import load_captioner
from pipeline.caption.captioner import Caption, ClipFrames, Rewrite
from pipeline.caption.checks.measure import VERSION, check, check_again
from pipeline.caption.engine import Answer, Sampling
from pipeline.caption.fingerprint import fingerprint
from pipeline.caption.source_text import hint_of, invented_words, title_of
from pipeline.decode.clip_frames import Clip, VideoClips, frames_of, row_of, sample_video, spread
from pipeline.decode.clip_frames import Sampling as FrameTimes
from pipeline.store.retrying import NOT_FAILED, failure_columns
from pipeline.store.run_statistics import Reporter, Work, timed, timed_items
from schemas import CAPTIONS
from schemas.contradiction import CONTRADICTS_CAMERA, contradicts_camera
from schemas.identity import digest
from schemas.recipe import Recipe
from schemas.rules import reasons_against
from schemas.structured_caption import text_of
from schemas.tables.captions import FAILED, OK, REJECTED
from schemas.words import num_words, words

Row = dict[str, Any]
HEADROOM = 2
"""Frames are read with this many times the pixels that the captioner sees, to be reduced to its grid, not enlarged."""


@dataclass(frozen=True)
class FrameSampling:
    """From the clips of one video to a row for each, with `caption.num_frames` frames for each window."""

    recipe: Recipe
    report: Reporter

    def __call__(self, clips: Sequence[Clip]) -> Iterator[Row]:
        video = VideoClips.of(clips, self._samplings)
        read = timed_items(self.report, "frames", sample_video(self.recipe.limits, video))
        for number, (sampled,) in read:
            yield row_of(video.clips[number], sampled)

    def _samplings(self, clip: Clip) -> list[FrameTimes]:
        caption = self.recipe.caption
        num_windows = max(math.ceil((clip["end_us"] - clip["start_us"]) * 1e-6 / caption.window_s), 1)
        return [spread(clip, caption.num_frames * num_windows, HEADROOM * caption.max_pixels_px)]


def clips_of(batch: pa.Table) -> list[dict[str, Any]]:
    return [pickle.loads(data) for data in batch["clip"].to_pylist()]


@dataclass(frozen=True)
class CaptionInput:
    """One clip to caption: the `clips` row, its frames, and measured facts in words."""

    clip: Mapping[str, Any]
    frames: ClipFrames
    hint: str


@dataclass
class Try:
    """A row of `captions`, and what the rules of the recipe have against it now: in the tables that is a decision."""

    row: Row
    reasons: Sequence[str] = ()

    @property
    def outcome(self) -> str:
        return FAILED if self.row["failure"] is not None else REJECTED if self.reasons else OK


@dataclass(frozen=True)
class CheckingAgain:
    """From rows of `captions` whose checks were made by other code to the same rows with those of now."""

    prompts: Mapping[str, str]
    """By captioner, of those whose prompt is known."""
    report: Reporter

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        with timed(self.report, "checks of captions") as work:
            work.rows = len(rows)
            names = CAPTIONS.unstamped_names
            return [
                {name: row[name] for name in names} | check_again(row, self.prompts.get(row["captioner"]))
                for row in rows
            ]


class Captioning:
    """Loads captioner and text encoder once; makes a row of `captions` for each clip.

    A caption that a rule rejects by its own scores, or that is no JSON, is retried once with other sampling.
    """

    def __init__(self, recipe: Recipe, report: Reporter) -> None:
        self._recipe, self._report = recipe, report
        self._captioner = load_captioner(recipe.caption)
        self._fingerprint = fingerprint(recipe.caption)
        self._rules = {
            name: rule
            for name, rule in recipe.caption_rules.items()
            if rule.column in (*CAPTIONS.schema.names, CONTRADICTS_CAMERA.name)
        }
        self._embedder = None
        if recipe.embedding.model != "none":
            from pipeline.measure.clip.embedding import ClipEmbedder

            self._embedder = ClipEmbedder(recipe.embedding)

    def rows(self, batch: pa.Table) -> list[Row]:
        """Rows of `captions` for clips with their frames."""
        return [made.row for made in self.tries(batch)]

    def tries(self, batch: pa.Table) -> list[Try]:
        """The same with what the rules have against each."""
        with timed(self._report, "caption") as work:
            clips = clips_of(batch)
            batch_id = digest(*(clip["clip_id"] for clip in clips))
            inputs = [
                CaptionInput(clip, ClipFrames(frames, times_s), hint_of(clip) if self._recipe.caption.hints else "")
                for clip, frames, times_s in zip(clips, frames_of(batch), batch["times_s"].to_pylist(), strict=True)
            ]
            failures = batch["failure"].to_pylist()
            tries = [
                Try(self._failed(clip, why, transient=transient))
                for clip, why, transient in zip(clips, failures, batch["transient"].to_pylist(), strict=True)
            ]
            readable = [i for i, failure in enumerate(failures) if not failure]
            for i, made in zip(readable, self.caption([inputs[i] for i in readable]), strict=True):
                tries[i] = made
            for place, made in enumerate(tries):
                made.row |= {"batch_id": batch_id, "batch_place": place}
            self._count(work, tries)
        return tries

    def without_captions(self, batch: pa.Table, why: str) -> list[Row]:
        """Rows for clips that all failed, for one reason."""
        with timed(self._report, "caption") as work:
            tries = [Try(self._failed(clip, why, transient=True)) for clip in clips_of(batch)]
            self._count(work, tries)
        return [made.row for made in tries]

    def _count(self, work: Work, tries: Sequence[Try]) -> None:
        work.rows = len(tries)
        for made in tries:
            work.count("output tokens", made.row["num_output_tokens"])
            work.count("captions " + made.outcome)

    def caption(self, inputs: Sequence[CaptionInput]) -> list[Try]:
        """Of each clip, in order, the first or the second try."""
        captioner = self._captioner
        others = self._ask(inputs, captioner.other) if self._recipe.caption.compare_samples else [None] * len(inputs)
        captions = self._ask(inputs, captioner.greedy)
        tries = self._tries(inputs, captions, others)
        again = [
            i
            for i, first in enumerate(tries)
            if first.outcome == REJECTED or (captions[i].answer is not None and not first.row["short"])
        ]
        asked = [inputs[i] for i in again]
        seconds = self._tries(asked, self._ask(asked, captioner.other), [others[i] for i in again])
        for i, second in zip(again, seconds, strict=True):
            spent = tries[i].row["num_output_tokens"] + second.row["num_output_tokens"]
            if second.outcome == OK or not tries[i].row["short"]:
                tries[i] = second
            tries[i].row |= {"num_attempts": 2, "num_output_tokens": spent}
        if captioner.rewrites is not None:
            self._merge(captioner.rewrites, inputs, tries)
        return tries

    def _ask(self, inputs: Sequence[CaptionInput], sampling: Sampling) -> list[Caption]:
        return self._captioner.caption([one.frames for one in inputs], [one.hint for one in inputs], sampling)

    def _tries(
        self, inputs: Sequence[CaptionInput], captions: Sequence[Caption], others: Sequence[Caption | None]
    ) -> list[Try]:
        rows = [
            self._row(one.clip, caption, other) for one, caption, other in zip(inputs, captions, others, strict=True)
        ]
        self._add_similarities([one.clip for one in inputs], rows)
        return [Try(row, self._reasons(one.clip, row)) for one, row in zip(inputs, rows, strict=True)]

    def _reasons(self, clip: Mapping[str, Any], row: Row) -> list[str]:
        """What the rules have against a caption, by its own scores and those of the camera."""
        if row["failure"] is not None:
            return []
        contradicts = {CONTRADICTS_CAMERA.name: contradicts_camera(row["camera_claims"], clip)}
        return reasons_against(self._rules, row | contradicts)

    def _row(self, clip: Mapping[str, Any], caption: Caption, other: Caption | None) -> Row:
        row = self._failed(clip, caption.failure or "", transient=caption.transient)
        row |= {"num_output_tokens": caption.num_output_tokens}
        if caption.structured is None:
            return row
        texts = {length: text_of(caption.structured, length) for length in ("short", "medium", "detailed")}
        scores = check(
            caption.structured,
            answer=(caption.answer or "").rpartition("\n")[2],
            was_cut=caption.was_cut,
            language=self._recipe.caption.language,
            prompt=self._captioner.prompt,
            other=other.structured if other else None,
        )
        facts = {"num_words": round(num_words(words(texts["detailed"]))), **NOT_FAILED}
        facts |= {"was_cut": caption.was_cut, "checks_version": VERSION}
        return row | asdict(caption.structured) | texts | scores | facts

    def _failed(self, clip: Mapping[str, Any], why: str, *, transient: bool) -> Row:
        """A row without a caption, which is also the start of a row with one."""
        checkpoint = self._recipe.caption.checkpoint
        return dict.fromkeys(CAPTIONS.schema.names) | {
            "clip_id": clip["clip_id"],
            "captioner": self._fingerprint,
            "captioner_name": BUILTIN_CAPTIONER if checkpoint == BUILTIN else checkpoint,
            "language": self._recipe.caption.language,
            "num_output_tokens": 0,
            "num_attempts": 1,
            "shown_box": clip["content_box"],
            "given": clip["given"],
            **failure_columns(why, clip["failures"], self._recipe.limits.max_failures, transient=transient),
        }

    def _add_similarities(self, clips: Sequence[Mapping[str, Any]], rows: list[Row]) -> None:
        """Add the cosine similarity of each caption with its clip's embedding, if that is by the same model."""
        if self._embedder is None:
            return
        from pipeline.measure.clip.embedding import text_video_similarity

        pairs = [
            i
            for i, (clip, row) in enumerate(zip(clips, rows, strict=True))
            if row["detailed"] and clip["encoder"] == self._embedder.fingerprint
        ]
        texts = self._embedder.embed_texts([rows[i]["detailed"] for i in pairs])
        vectors = np.array([clips[i]["embedding"] for i in pairs], np.float32).reshape(texts.shape)
        for i, text, similarity in zip(pairs, texts, text_video_similarity(texts, vectors).tolist(), strict=True):
            rows[i] |= {"text_video_similarity": similarity, "text_embedding": text.tolist()}
            rows[i] |= {"similarity_encoder": self._embedder.fingerprint}

    def _merge(self, rewrite: Rewrite, inputs: Sequence[CaptionInput], tries: Sequence[Try]) -> None:
        """Merge accepted captions with the text of their source; a merged text with invented words is not used.

        If the model could not be asked, the caption stands without, and is made again at the next run.
        """
        titles = [title_of(one.clip["source"]) for one in inputs]
        rows = [made.row for made in tries]
        wanted = [i for i, made in enumerate(tries) if made.outcome == OK and titles[i]]
        answers = rewrite([rows[i]["detailed"] for i in wanted], [titles[i] for i in wanted])
        for i, answer in zip(wanted, answers, strict=True):
            if isinstance(answer, Answer):
                rows[i]["num_output_tokens"] += answer.num_tokens
                rows[i]["invented"] = invented_words(answer.text, rows[i]["detailed"], titles[i])
                if not answer.cut and not rows[i]["invented"]:
                    rows[i]["merged"] = answer.text
            elif answer.transient:
                rows[i] |= {"transient": True, "num_failures": inputs[i].clip["failures"] + 1}
