"""The measures by name: how each is made, its code's version, and the settings that its numbers depend on.

A new measure is its file, a row type under its name in `schemas/tables/measures.py`, and one entry here; a clip measure
with settings has a section of its name in the recipe as well. Importing this loads no model: what needs torch is
imported when a measure is made.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from model.builtin import clip_folder
from pipeline import decode
from pipeline.measure.clip.open_nsfw import open_nsfw_digest
from pipeline.measure.clip.overlay_text import measure as overlay_text
from pipeline.measure.kinds import ClipKind, ClipMeasure, StreamKind
from pipeline.measure.stream.letterbox import LetterboxMeasure
from pipeline.measure.stream.motion import MotionMeasure
from pipeline.measure.stream.technical.measure import TechnicalMeasure
from pipeline.measure.stream.tells.measure import TellsMeasure
from pipeline.measure.stream.video_hash import FingerprintMeasure
from schemas.identity import digest, file_digest, folder_digest
from schemas.recipe import Recipe
from schemas.recipe.measure import MeasureConfig
from schemas.recipe.safety import OPEN_NSFW

STREAM_KINDS: tuple[StreamKind, ...] = (
    StreamKind(("technical",), TechnicalMeasure, version=1),
    StreamKind(("motion", "camera"), MotionMeasure, version=2),
    StreamKind(("letterbox",), LetterboxMeasure, version=1),
    StreamKind(("tells",), TellsMeasure, version=1),
    StreamKind(("fingerprint",), FingerprintMeasure, version=2),
)


def _embedding(recipe: Recipe) -> ClipMeasure:
    from pipeline.measure.clip.embedding import ClipEmbedder

    return ClipEmbedder(recipe.embedding)


def _aesthetic(recipe: Recipe) -> ClipMeasure:
    from pipeline.measure.clip.aesthetic import AestheticMeasure

    return AestheticMeasure(recipe.aesthetic)


def _safety(recipe: Recipe) -> ClipMeasure:
    from pipeline.measure.clip.safety import SafetyMeasure

    return SafetyMeasure(recipe.safety)


def clip_weights(model: str) -> str:
    """A digest of a folder's files, or the name that open_clip knows."""
    folder = clip_folder(model)
    return folder_digest(folder) if folder is not None else model


def _classifier_weights(model: str) -> str | tuple[str, str]:
    """A digest of the files of a package or a folder, or the name that the hub of transformers knows."""
    if model == OPEN_NSFW:
        return open_nsfw_digest()
    return folder_digest(model) if Path(model).is_dir() else model


CLIP_KINDS: tuple[ClipKind, ...] = (
    ClipKind(
        "overlay_text",
        lambda recipe: overlay_text.OverlayTextMeasure(recipe.overlay_text),
        version=1,
        settings=lambda recipe: (asdict(recipe.overlay_text),),
        sampling=overlay_text.sampling,
    ),
    ClipKind(
        "embedding",
        _embedding,
        version=1,
        settings=lambda recipe: (clip_weights(recipe.embedding.model), asdict(recipe.frames)),
    ),
    ClipKind(
        "aesthetic",
        _aesthetic,
        version=1,
        settings=lambda recipe: (
            file_digest(recipe.aesthetic.head),
            clip_weights(recipe.aesthetic.model),
            asdict(recipe.frames),
        ),
    ),
    ClipKind(
        "safety",
        _safety,
        version=1,
        settings=lambda recipe: (
            _classifier_weights(recipe.safety.model),
            list(recipe.safety.unsafe_labels),
            asdict(recipe.frames),
        ),
    ),
)


def stream_fingerprints(config: MeasureConfig) -> dict[str, str]:
    """The fingerprint of each stream measure. The settings of all of them are the recipe's section [measure]."""
    settings = asdict(config)
    return {name: digest(name, decode.VERSION, kind.version, settings) for kind in STREAM_KINDS for name in kind.covers}


def clip_measure_fingerprints(recipe: Recipe) -> dict[str, str]:
    """The fingerprint of each clip measure that is on."""
    on = recipe.clip_measures
    return {
        kind.name: digest(kind.name, decode.VERSION, kind.version, *kind.settings(recipe))
        for kind in CLIP_KINDS
        if kind.name in on
    }


def uses_gpu(recipe: Recipe) -> bool:
    """Whether a clip measure that is on runs on a GPU."""
    sections = (getattr(recipe, name, None) for name in recipe.clip_measures)
    return any(getattr(section, "device", "cpu").startswith("cuda") for section in sections)
