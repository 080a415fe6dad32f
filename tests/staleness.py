"""The staleness matrix: which products must be made again when a field of the recipe, a field of a prompt or a
version of code changes.

`python -m tests.staleness` prints it. Values that products read are in `test_staleness.py`: as that no other camera
motion makes a caption again, which is held against what the caption claims when it is judged.

A product is stale when its key is another, or when the tables say that it is missing; both are asked of the functions
that the jobs ask.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

from model.builtin import clip_folder
from model.codec.causal import load_autoencoder
from model.readers.text_encoder_spec import text_encoder_spec
from pipeline import decode
from pipeline.caption import fingerprint as captioning
from pipeline.caption.checks import measure as checks
from pipeline.caption.prompts.templates import PromptTemplate
from pipeline.dedup import search
from pipeline.encode import latents
from pipeline.encode.latents import clip_transform
from pipeline.measure import registry
from pipeline.measure.registry import clip_measure_fingerprints, stream_fingerprints
from pipeline.rules.captions import CAPTION_SUBJECT
from pipeline.rules.clips import CLIP_SUBJECT
from pipeline.split import clips
from pipeline.split.detectors import catalogue
from pipeline.split.fingerprint import split_fingerprint
from schemas.identity import digest
from schemas.recipe import Recipe, change_recipe, load_recipe
from schemas.recipe.keys import recipe_keys
from schemas.rules import Rule

STREAM = ("technical", "motion", "camera", "letterbox", "tells", "fingerprint")
SHOWN = ("embedding", "aesthetic", "safety")
"""Clip measures that are shown the shared frames."""
PRODUCTS = (
    "clips",
    *STREAM,
    "overlay_text",
    *SHOWN,
    "duplicates",
    "captions",
    "caption checks",
    "latents",
    "frame latents",
    "texts",
    "decisions",
    "verdicts",
)
"""`decisions` are on clips, `verdicts` on captions."""
CLIP = {"content_box": [0, 10, 160, 100]}


def keys_of(recipe: Recipe) -> dict[str, str]:
    """The key of each product of one clip; a product that is off has none."""
    keys = {"clips": split_fingerprint(recipe.split)}
    keys |= stream_fingerprints(recipe.measure) | clip_measure_fingerprints(recipe)
    keys["duplicates"] = search.grouping_of(recipe.duplicates)
    if recipe.caption.backend != "none":
        keys["captions"] = captioning.fingerprint(recipe.caption)
    keys["caption checks"] = str(checks.VERSION)
    autoencoder = load_autoencoder(recipe.encode.autoencoder).fingerprint
    keys["latents"] = digest(autoencoder, clip_transform(CLIP, recipe.encode.transform))
    of_frames = (clip_transform(CLIP, recipe.encode.transform, frame) for frame in recipe.encode.single_frames)
    keys["frame latents"] = digest(autoencoder, *of_frames)
    texts = recipe.encode.text_encoder, recipe.encode.text_dtype
    keys["texts"] = text_encoder_spec(*texts).fingerprint
    keys["decisions"] = digest(*CLIP_SUBJECT.settings(recipe))
    keys["verdicts"] = digest(*CAPTION_SUBJECT.settings(recipe))
    return keys


def stale(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    """Products whose key is another; one that is off now is not stale, it is not wanted."""
    return {name for name, key in after.items() if before.get(name) != key}


@dataclass(frozen=True)
class Change:
    """One field changed, and what must be stale then: exactly that."""

    what: str
    settings: tuple[str, ...]
    expected: frozenset[str]


@dataclass(frozen=True)
class Ground:
    """A recipe in which every product is on, and folders of other weights to change to."""

    folder: Path

    @cached_property
    def recipe(self) -> Recipe:
        (self.folder / "head.safetensors").write_bytes(b"head")
        (self.folder / "classifier").mkdir(exist_ok=True)
        (self.folder / "classifier" / "config.json").write_text("{}")
        rules = {"dark": Rule("brightness", "x", min=0.1)}
        words = {"words": Rule("num_words", "short", min=3)}
        return change_recipe(
            replace(load_recipe("default"), rules=rules, caption_rules=words),
            [
                f'aesthetic.head="{self.folder}/head.safetensors"',
                'aesthetic.model="builtin"',
                'encode.single_frames=["last"]',
                f'safety.model="{self.folder}/classifier"',
            ],
        )

    def other(self, name: str, source: str) -> str:
        """A copy of a folder of weights with another byte in it."""
        target = self.folder / name
        if not target.exists():
            shutil.copytree(source, target)
            (target / "note.txt").write_text("another")
        return str(target)

    def changes(self) -> Iterator[Change]:
        """A change of every field of a recipe, but [train] and [expand], whose products are not in the tables."""
        for key in recipe_keys():
            section = key.path.partition(".")[0]
            if section in ("train", "expand"):
                continue
            yield self._change(key.path, key.type)

    def _change(self, path: str, kind: str) -> Change:
        path = path.replace("rules.NAME.", "rules.dark.", 1) if path.startswith("rules.") else path
        path = path.replace("caption_rules.NAME.", "caption_rules.words.", 1)
        expected = next(
            (found for pattern, found in EXPECTED.items() if path == pattern or path.startswith(f"{pattern}."))
        )
        special = self._special().get(path)
        return Change(path, special or (f"{path}={_other_value(self._value(path), kind)}",), frozenset(expected))

    def _value(self, path: str) -> Any:
        tree: Any = self.recipe.as_dict()
        for part in path.split("."):
            tree = tree.get(part) if isinstance(tree, dict) else None
        return tree

    def _special(self) -> dict[str, tuple[str, ...]]:
        """Fields whose value names a file, or that have no effect alone."""
        clip = str(clip_folder("builtin"))
        other_clip = self.other("clip", clip)
        rule = "rules.dark={column=%s, %s, reason=%s}"
        return {
            "split.stitch_model": (f'split.stitch_model="{other_clip}"',),
            "aesthetic.head": (f'aesthetic.head="{_written(self.folder / "other.safetensors")}"',),
            "aesthetic.model": (f'aesthetic.model="{other_clip}"',),
            "safety.model": (f'safety.model="{self.other("classifier2", str(self.folder / "classifier"))}"',),
            "embedding.model": (f'embedding.model="{other_clip}"',),
            "encode.autoencoder": (f'encode.autoencoder="{self.other("codec", str(CODEC))}"',),
            "encode.text_encoder": (f'encode.text_encoder="{other_clip}"',),
            "caption.backend": ('caption.backend="vllm"',),
            "caption.checkpoint": ('caption.checkpoint="someone/model"',),
            "caption.prompt": ('caption.prompt="caption"',),
            "caption.rewrite": ('caption.rewrite="rewrite"',),
            "caption.engine_options": ('caption.engine_options={quantization="awq"}',),
            "duplicates.kinds": ('duplicates.kinds=["content"]',),
            "overlay_text.enabled": ("overlay_text.enabled=false",),
            "rules.dark.column": (rule % ('"contrast"', "min=0.1", '"x"'),),
            "rules.dark.reason": (rule % ('"brightness"', "min=0.1", '"y"'),),
            "rules.dark.min": (rule % ('"brightness"', "min=0.2", '"x"'),),
            "rules.dark.max": (rule % ('"brightness"', "max=0.2", '"x"'),),
            "rules.dark.reject": (rule % ('"camera_motion"', 'reject=["shake"]', '"x"'),),
            "rules.dark.source": (rule % ('"brightness"', 'min=0.1, source="a paper"', '"x"'),),
            "caption_rules.words.column": ('caption_rules.words={column="refusal", min=3, reason="short"}',),
            "caption_rules.words.max": ('caption_rules.words={column="num_words", max=9, reason="short"}',),
            "encode.single_frames": ('encode.single_frames=["first"]',),
            "caption_rules.words.reject": ('caption_rules.words={column="language", reject=["xx"], reason="short"}',),
        }


CODEC = Path(load_autoencoder.__code__.co_filename).parents[1] / "weights" / "autoencoder"
NONE: set[str] = set()
LATENTS = {"latents", "frame latents"}
EXPECTED: dict[str, set[str]] = {
    "name": NONE,
    "split.min_shot_s": NONE,  # PySceneDetect's detectors alone
    "split.stitch_model": NONE,  # while nothing is stitched
    "split": {"clips"},  # every video is read again; a span that stays keeps what was made of it
    "measure": set(STREAM),
    "limits": NONE,
    "duplicates.kinds": NONE,
    "duplicates.keep": {"decisions"},
    "duplicates": {"duplicates"},
    "overlay_text.enabled": NONE,
    "overlay_text": {"overlay_text"},
    "aesthetic.device": NONE,
    "aesthetic": {"aesthetic"},
    "safety.device": NONE,
    "safety": {"safety"},
    "rules": {"decisions"},
    "caption_rules": {"verdicts"},
    "frames": set(SHOWN),
    **dict.fromkeys((f"caption.{name}" for name in sorted(captioning.SPEED_SETTINGS)), NONE),
    "caption.rewrite_checkpoint": NONE,  # while nothing is merged
    "caption": {"captions"},
    "embedding.model": {"embedding"},
    "embedding": NONE,
    "encode.autoencoder": LATENTS,
    "encode.single_frames": {"frame latents"},
    "encode.text_encoder": {"texts"},
    "encode.text_dtype": {"texts"},
    **dict.fromkeys(("encode.device", "encode.num_gpus", "encode.num_actors"), NONE),
    "encode": LATENTS,
}
"""By field or section; the first that fits counts."""


def _written(path: Path) -> Path:
    path.write_bytes(b"another head")
    return path


def _other_value(value: Any, kind: str) -> str:
    options = kind.split(" | ")
    if isinstance(value, bool):
        return str(not value).lower()
    if isinstance(value, int):
        return str(value + 1)
    if isinstance(value, float):
        return str(value * 0.5 if 0 < value <= 1 else value + 1)
    if len(options) > 1:
        return f'"{next(option for option in options if option != value)}"'
    if isinstance(value, list | tuple):
        return '["other"]'
    return '"es"' if value == "en" else '"other"'


Patched = Callable[[], Any]


@contextmanager
def raised(target: Any, name: str) -> Iterator[None]:
    """A version of code raised by one."""
    with patch.object(target, name, getattr(target, name) + 1):
        yield


@contextmanager
def kind_raised(module: Any, table: str, name: str) -> Iterator[None]:
    """The version of one measure, or of one detector, raised by one."""
    kinds = getattr(module, table)
    if isinstance(kinds, dict):
        changed: Any = kinds | {name: replace(kinds[name], version=kinds[name].version + 1)}
    else:
        changed = tuple(replace(k, version=k.version + 1) if name in _names(k) else k for k in kinds)
    with patch.object(module, table, changed):
        yield


def _names(kind: Any) -> tuple[str, ...]:
    return getattr(kind, "covers", None) or (kind.name,)


@contextmanager
def template_changed(name: str, value: Any) -> Iterator[None]:
    """The prompt of the captioner with another value in one field."""
    load = captioning.load_prompt
    with patch.object(captioning, "load_prompt", lambda *chosen: replace(load(*chosen), **{name: value})):
        yield


TEMPLATE: dict[str, Any] = {"user": "What?", "system": "Be brief.", "version": 9, "sentences": 2}
TEMPLATE["examples"] = ({"answer": "A dog."},)
"""Another value for each field of a prompt template."""
OF_FRAMES = {"clips", *STREAM, "overlay_text", *SHOWN, "captions", *LATENTS}
VERSIONS: dict[str, tuple[Callable[[], Any], set[str]]] = {
    "version of frames and times": (lambda: raised(decode, "VERSION"), OF_FRAMES),
    "version of clips": (lambda: raised(clips, "VERSION"), {"clips"}),
    "version of the detector": (lambda: kind_raised(catalogue, "DETECTORS", "cascade"), {"clips"}),
    "version of another detector": (lambda: kind_raised(catalogue, "DETECTORS", "content"), NONE),
    "version of captioning": (lambda: raised(captioning, "VERSION"), {"captions"}),
    "version of the checks of captions": (lambda: raised(checks, "VERSION"), {"caption checks"}),
    "version of latents": (lambda: raised(latents, "VERSION"), LATENTS),
    "version of grouping": (lambda: raised(search, "VERSION"), {"duplicates"}),
    **{
        f"{name} of the caption's prompt": (lambda name=name: template_changed(name, TEMPLATE[name]), {"captions"})
        for name in PromptTemplate.__dataclass_fields__
    },
    **{
        f"version of {'/'.join(kind.covers)}": (
            lambda name=kind.covers[0]: kind_raised(registry, "STREAM_KINDS", name),
            set(kind.covers),
        )
        for kind in registry.STREAM_KINDS
    },
    **{
        f"version of {kind.name}": (lambda name=kind.name: kind_raised(registry, "CLIP_KINDS", name), {kind.name})
        for kind in registry.CLIP_KINDS
    },
}


def matrix(ground: Ground) -> Iterator[tuple[str, set[str], set[str]]]:
    """What changes, what is stale then, and what ought to be."""
    before = keys_of(ground.recipe)
    for change in ground.changes():
        after = keys_of(change_recipe(ground.recipe, change.settings))
        yield change.what, stale(before, after), set(change.expected)
    for what, (changed, expected) in VERSIONS.items():
        with changed():
            yield what, stale(before, keys_of(ground.recipe)), expected


def main() -> None:
    """Print the matrix."""
    table = Table(title="what must be made again", show_lines=False)
    table.add_column("what changes")
    for name in PRODUCTS:
        table.add_column(name[:9], justify="center")
    with tempfile.TemporaryDirectory() as folder:
        rows = list(matrix(Ground(Path(folder))))
    wrong = [what for what, found, expected in rows if found != expected]
    for what, found, _ in rows:
        table.add_row(what, *("x" if name in found else "" for name in PRODUCTS))
    Console(width=210).print(table)
    print(f"{len(rows)} changes x {len(PRODUCTS)} products; not as expected: {', '.join(wrong) or 'none'}")


if __name__ == "__main__":
    main()
