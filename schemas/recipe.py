"""Recipes: the complete, typed configuration of every job, read from TOML.

A recipe is a tree of frozen dataclasses. An unknown key, a value of the wrong type or one out of range is an error that
names the key, found before any work starts.
The resolved recipe is stored with every run.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import (
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from schemas.errors import UsageError
from schemas.identity import digest

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

Fraction = Annotated[float, Field(ge=0, le=1)]


class RecipeError(UsageError):
    """A recipe that cannot be used; the message is one line and names the key."""


@dataclass(frozen=True, config=STRICT)
class SplitConfig:
    """How a video becomes shots. PySceneDetect's adaptive detector, with thresholds from its own benchmark."""

    adaptive_threshold: PositiveFloat = 3.5
    """Content change over its rolling average (PySceneDetect benchmark: 3.5 with window 3, mean F1 76.3)."""
    window_frames: PositiveInt = 3
    min_content_val: NonNegativeFloat = 15.0
    """Content change below which nothing is a cut (PySceneDetect's default)."""
    min_shot_s: NonNegativeFloat = 0.2
    """A cut that follows another more closely is ignored. The benchmark's 0.6 s hides true cuts: it finds 7 of the 10
    in the real test videos and 25 of 26 drawn ones; 0.2 s finds 8 and 26, with no boundary where nothing changes."""
    max_clip_s: PositiveFloat = 60.0
    """Longer shots are divided into equal parts (cosmos-curate: 60 s)."""


@dataclass(frozen=True, config=STRICT)
class MeasureConfig:
    """How frames are looked at while they stream past."""

    work_side_px: Annotated[int, Field(ge=16)] = 256
    """Longer side to which frames are reduced, by the nearest whole factor, for shots and optical flow."""
    sample_hz: PositiveFloat = 5.0
    """How often a second flow, brightness and bars are measured, over the whole clip."""
    bar_luma: Annotated[int, Field(ge=0, le=255)] = 24
    """Luma (0-255) that no pixel of a letterbox bar exceeds; video black is 16."""


@dataclass(frozen=True, config=STRICT)
class Rule:
    """Reject what lies outside [min, max] of a column. A null score is not judged: it has no meaning for that row."""

    column: str
    reason: str
    min: float | None = None
    max: float | None = None
    source: str = ""

    def rejects(self, row: Mapping[str, Any]) -> bool:
        value = row[self.column]
        if value is None:
            return False
        return (self.min is not None and value < self.min) or (self.max is not None and value > self.max)


def reasons_against(rules: Mapping[str, Rule], row: Mapping[str, Any]) -> list[str]:
    """Every reason that applies to a row, in the order of the rules, without repeats."""
    return list(dict.fromkeys(rule.reason for rule in rules.values() if rule.rejects(row)))


@dataclass(frozen=True, config=STRICT)
class FramesConfig:
    """The frames that models look at: spread over the whole clip, native aspect ratio, a pixel budget."""

    num_frames: PositiveInt = 8
    max_pixels_px: PositiveInt = 128 * 128


@dataclass(frozen=True, config=STRICT)
class CaptionConfig:
    """Who writes the captions."""

    backend: Literal["transformers", "vllm", "none"] = "transformers"
    """`none` writes no captions."""
    checkpoint: str = "builtin"
    """`builtin`, a folder, or a model hub's name."""
    num_frames: PositiveInt = 8
    max_pixels_px: PositiveInt = 64 * 48
    """Pixel budget of a frame as the model sees it; the built-in one was fitted at this."""
    max_new_tokens: PositiveInt = 96
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    engine_options: dict[str, Any] = field(default_factory=dict)
    """Given to the engine as they are, as vLLM's tensor_parallel_size; they say how fast, not what."""
    batch_clips: PositiveInt = 16
    num_gpus: NonNegativeFloat = 0.0
    """GPUs of each captioner actor; 0 runs on the CPU."""
    num_actors: PositiveInt = 1


@dataclass(frozen=True, config=STRICT)
class EmbeddingConfig:
    """The open_clip model for embeddings and text-video similarity; `batch` and `device` change speed only."""

    model: str = "builtin"
    """`builtin`, a folder, or an open_clip name."""
    batch: int = 64
    device: str = "cpu"


@dataclass(frozen=True, config=STRICT)
class EncodeConfig:
    """How a released clip becomes latents."""

    autoencoder: str = "builtin"
    text_encoder: str = "builtin"
    fps: PositiveFloat = 8.0
    """Frame rate at which clips are encoded; a clip is sampled by time."""
    max_frames: PositiveInt = 17
    """At most this many frames, from the clip's middle; rounded down to 4k + 1."""
    max_pixels_px: PositiveInt = 64 * 96
    """Pixel budget of a frame; larger ones are reduced, aspect ratio kept, sides rounded to 16."""

    @property
    def transform(self) -> str:
        """Fingerprint of what happens to frames before the autoencoder; part of a latent's key."""
        return digest("transform", self.fps, self.max_frames, self.max_pixels_px)


@dataclass(frozen=True, config=STRICT)
class ModelConfig:
    """Size of the diffusion transformer."""

    width: PositiveInt = 192
    depth: PositiveInt = 6
    num_heads: PositiveInt = 6
    patch: tuple[PositiveInt, PositiveInt, PositiveInt] = (1, 2, 2)
    mlp_ratio: PositiveFloat = 4.0


@dataclass(frozen=True, config=STRICT)
class TrainConfig:
    """The training run."""

    steps: PositiveInt = 200
    tokens_per_pack: PositiveInt = 2048
    packs_per_step: PositiveInt = 1
    """Packs whose mean loss makes a step, whatever the number of workers that share them."""
    learning_rate: PositiveFloat = 1e-3
    warmup_steps: NonNegativeInt = 20
    weight_decay: NonNegativeFloat = 0.0
    grad_clip: PositiveFloat = 1.0
    ema_decay: Fraction = 0.99
    text_drop: Fraction = 0.1
    """Share of samples whose text is dropped, for classifier-free guidance (Ho & Salimans 2022)."""
    seed: int = 0
    validate_every: PositiveInt = 50
    checkpoint_every: PositiveInt = 50
    keep_checkpoints: PositiveInt = 2
    num_workers: PositiveInt = 1
    use_gpu: bool = False
    model: ModelConfig = field(default_factory=ModelConfig)


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """Everything that the jobs read."""

    name: str = "default"
    split: SplitConfig = field(default_factory=SplitConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    rules: dict[str, Rule] = field(default_factory=dict)
    frames: FramesConfig = field(default_factory=FramesConfig)
    caption: CaptionConfig = field(default_factory=CaptionConfig)
    caption_rules: dict[str, Rule] = field(default_factory=dict)
    embedding: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    encode: EncodeConfig = field(default_factory=EncodeConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def load_recipe(name_or_file: str = "default", settings: Iterable[str] = ()) -> Recipe:
    """Read a recipe by its name (one in `jobs/recipes`) or from a TOML file, then apply `key=value` settings.

    Raises:
        RecipeError: no such recipe, bad TOML, unknown key, or a value of the wrong type or out of range; one line.
    """
    tree = _read_toml(name_or_file)
    for setting in settings:
        _apply(tree, setting)
    return decode_recipe(tree, origin=name_or_file)


def decode_recipe(tree: Mapping[str, Any], *, origin: str = "recipe") -> Recipe:
    """Turn a tree of plain values into a recipe, strictly."""
    try:
        # Through JSON, where strict means no "8" for 8, yet a list may stand for a tuple.
        recipe = TypeAdapter(Recipe).validate_json(json.dumps(tree, default=str), strict=True)
    except ValidationError as error:
        raise RecipeError(f"recipe {origin}: {_first_problem(error)}") from None
    _check_rules(recipe, origin)
    return recipe


def _check_rules(recipe: Recipe, origin: str) -> None:
    from schemas.captions import CAPTIONS
    from schemas.clips import CLIPS

    for section, rules, table in (("rules", recipe.rules, CLIPS), ("caption_rules", recipe.caption_rules, CAPTIONS)):
        for key, rule in rules.items():
            if problem := _rule_problem(rule, table.schema):
                raise RecipeError(f"recipe {origin}: {section}.{key}{problem} (table {table.name})")


def _rule_problem(rule: Rule, schema: pa.Schema) -> str | None:
    if rule.column not in schema.names:
        return f".column: no column {rule.column!r}"
    arrow_type = schema.field(rule.column).type
    if not (pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type) or pa.types.is_boolean(arrow_type)):
        return f".column: column {rule.column!r} is no number"
    if rule.min is None and rule.max is None:
        return ": neither min nor max"
    if rule.min is not None and rule.max is not None and rule.min > rule.max:
        return f": min {rule.min:g} is above max {rule.max:g}"
    return None


def _read_toml(name_or_file: str) -> dict[str, Any]:
    builtin = resources.files("jobs") / "recipes" / f"{name_or_file}.toml"
    path = builtin if not name_or_file.endswith(".toml") and builtin.is_file() else Path(name_or_file)
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise RecipeError(f"recipe {name_or_file}: no recipe of this name and no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise RecipeError(f"recipe {name_or_file}: {error}") from None


def _apply(tree: dict[str, Any], setting: str) -> None:
    """Set one dotted key in the tree from `key=value`; the value is TOML, or else a plain string."""
    key, separator, text = setting.partition("=")
    if not separator or not key:
        raise RecipeError(f"--set {setting}: not of the form key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *path, last = key.strip().split(".")
    node = tree
    for name in path:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            raise RecipeError(f"--set {setting}: {name} is a value, not a section")
    node[last] = value


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown key {key}"
    return f"{key} = {problem.get('input')!r}: {problem['msg'].lower()}"
