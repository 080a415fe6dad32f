"""The registry names every measure once, loads no model, and is all that a new measure needs beside its row type."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from model.builtin import CLIP_CONFIG_NAME
from pipeline.decode.frame import Span, StreamFrame, VideoFacts
from pipeline.ingest.inputs import ListedInput
from pipeline.measure import clip_measures as clip_run
from pipeline.measure import registry
from pipeline.measure.clip_measures import ClipModels, ClipReader
from pipeline.measure.kinds import Clip, ClipKind, Sampling, StreamKind
from pipeline.measure.registry import (
    CLIP_KINDS,
    STREAM_KINDS,
    clip_measure_fingerprints,
    stream_fingerprints,
    uses_gpu,
)
from pipeline.scan.remeasure import remeasure
from pipeline.scan.scan import ScanConfig, scan
from pipeline.store.dataset import Dataset
from pipeline.synthetic.encode import Encoding, encode
from schemas import MEASURES
from schemas.columns import column
from schemas.recipe import Recipe
from schemas.recipe.aesthetic import AestheticConfig
from schemas.recipe.embedding import EmbeddingConfig
from schemas.recipe.measure import MeasureConfig
from schemas.recipe.overlay_text import OverlayTextConfig
from schemas.recipe.safety import SafetyConfig
from schemas.recipe.split import SplitConfig
from schemas.tables.measures import CLIP_MEASURES, STREAM_MEASURES, columns_of, measure_table

HEAVY = {"torch", "transformers", "open_clip", "onnxruntime", "rapidocr", "scenedetect", "decord", "ray"}
WIDTH, HEIGHT, FPS, NUM_FRAMES = 64, 48, 10, 20
BARE = Recipe(
    split=SplitConfig(detector="content"),
    overlay_text=OverlayTextConfig(enabled=False),
    embedding=EmbeddingConfig(model="none"),
)
"""Every clip measure of the project is off, and nothing loads torch."""


def test_every_declared_measure_is_made_by_one_entry() -> None:
    assert [name for kind in STREAM_KINDS for name in kind.covers] == list(STREAM_MEASURES)
    assert [kind.name for kind in CLIP_KINDS] == list(CLIP_MEASURES)


def test_no_two_measures_share_a_column() -> None:
    columns = [name for measure in STREAM_MEASURES | CLIP_MEASURES for name in columns_of(measure)]
    assert len(columns) == len(set(columns))


def test_asking_the_registry_loads_no_model() -> None:
    asked = (
        "import sys; from schemas.recipe import Recipe; from pipeline.measure import registry; "
        "registry.clip_measure_fingerprints(Recipe()); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.split()
    assert "pipeline.measure.registry" in loaded
    assert not HEAVY & set(loaded)


def test_a_clip_measure_is_on_when_its_section_says_so() -> None:
    assert BARE.clip_measures == ()
    assert Recipe().clip_measures == ("overlay_text", "embedding")
    heads = replace(BARE, aesthetic=AestheticConfig(head="head.pth"), safety=SafetyConfig(model="folder"))
    assert heads.clip_measures == ("aesthetic", "safety")


def test_a_stream_measure_is_known_by_its_name_its_version_and_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    before = stream_fingerprints(MeasureConfig())
    assert list(before) == list(STREAM_MEASURES)
    others = stream_fingerprints(MeasureConfig(sample_hz=4.0))
    raised = [replace(kind, version=kind.version + 1) if "camera" in kind.covers else kind for kind in STREAM_KINDS]
    monkeypatch.setattr(registry, "STREAM_KINDS", tuple(raised))
    now = stream_fingerprints(MeasureConfig())
    assert [name for name in before if now[name] != before[name]] == ["motion", "camera"]
    all_known = {*before.values(), *others.values(), now["motion"], now["camera"]}
    assert len(all_known) == 2 * len(before) + 2


@pytest.fixture
def all_on(tmp_path: Path) -> Recipe:
    """Every clip measure is on, with models in folders of a small file each."""
    for name in ("clip", "classifier"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(name.encode())
    (tmp_path / "clip" / CLIP_CONFIG_NAME).write_text("{}")
    (tmp_path / "head.pth").write_bytes(b"head")
    return Recipe(
        embedding=EmbeddingConfig(model=str(tmp_path / "clip")),
        aesthetic=AestheticConfig(head=str(tmp_path / "head.pth"), model=str(tmp_path / "clip")),
        safety=SafetyConfig(model=str(tmp_path / "classifier")),
    )


def changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    return [name for name in before if now[name] != before[name]]


def test_a_clip_measure_is_known_by_its_version(all_on: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    before = clip_measure_fingerprints(all_on)
    assert list(before) == list(CLIP_MEASURES)
    for raised in CLIP_KINDS:
        kinds = tuple(replace(kind, version=kind.version + (kind is raised)) for kind in CLIP_KINDS)
        monkeypatch.setattr(registry, "CLIP_KINDS", kinds)
        assert changed(before, clip_measure_fingerprints(all_on)) == [raised.name]


def test_a_clip_measure_is_known_by_the_settings_that_it_depends_on(all_on: Recipe) -> None:
    before = clip_measure_fingerprints(all_on)

    def changed_by(**sections: Any) -> list[str]:
        return changed(before, clip_measure_fingerprints(replace(all_on, **sections)))

    assert changed_by(name="other") == []
    assert changed_by(frames=replace(all_on.frames, num_frames=3)) == ["embedding", "aesthetic", "safety"]
    assert changed_by(overlay_text=OverlayTextConfig(num_moments=3)) == ["overlay_text"]
    assert changed_by(embedding=replace(all_on.embedding, model="ViT-B-32/openai")) == ["embedding"]
    assert changed_by(embedding=replace(all_on.embedding, batch=1)) == []
    assert changed_by(aesthetic=replace(all_on.aesthetic, model="ViT-B-32/openai")) == ["aesthetic"]
    assert changed_by(safety=replace(all_on.safety, unsafe_labels=("porn",))) == ["safety"]
    assert changed_by(safety=replace(all_on.safety, model="org/classifier")) == ["safety"]


def test_a_model_in_a_folder_is_known_by_its_files_and_one_of_a_hub_by_its_name(all_on: Recipe, tmp_path: Path) -> None:
    before = clip_measure_fingerprints(all_on)
    shutil.copytree(tmp_path / "clip", tmp_path / "moved")
    moved = replace(all_on, embedding=EmbeddingConfig(model=str(tmp_path / "moved")))
    assert changed(before, clip_measure_fingerprints(moved)) == []
    hub = [replace(all_on, safety=SafetyConfig(model=name)) for name in ("org/a", "org/b")]
    assert changed(*(clip_measure_fingerprints(recipe) for recipe in hub)) == ["safety"]
    (tmp_path / "clip" / "weights").write_bytes(b"fitted again")
    assert changed(before, clip_measure_fingerprints(all_on)) == ["embedding", "aesthetic"]
    (tmp_path / "classifier" / "weights").write_bytes(b"fitted again")
    assert changed(before, clip_measure_fingerprints(all_on)) == ["embedding", "aesthetic", "safety"]


def test_another_head_is_another_aesthetic_score(all_on: Recipe, tmp_path: Path) -> None:
    before = clip_measure_fingerprints(all_on)
    (tmp_path / "head.pth").write_bytes(b"fitted again")
    assert changed(before, clip_measure_fingerprints(all_on)) == ["aesthetic"]


def test_only_measures_that_are_on_ask_for_a_gpu() -> None:
    cuda = SafetyConfig(model="folder", device="cuda:0")
    assert uses_gpu(replace(BARE, safety=cuda))
    assert not uses_gpu(replace(BARE, safety=replace(cuda, model="")))
    assert not uses_gpu(Recipe())


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds that brighten evenly, frame n at luma 10 n."""
    path = tmp_path_factory.mktemp("registry") / "brightens.mp4"
    pictures = (np.full((HEIGHT, WIDTH, 3), 10 * index, np.uint8) for index in range(NUM_FRAMES))
    encode(path, pictures, [Fraction(i, FPS) for i in range(NUM_FRAMES + 1)], Fraction(FPS), Encoding())
    return path


def scanned(video: Path) -> dict[str, Any]:
    """The one row of `clips`, as far as JSON holds it."""
    (clip,) = scan(ListedInput(str(video)), ScanConfig.of(BARE)).clips
    return {name: value for name, value in clip.items() if not isinstance(value, bytes)}


@pytest.fixture(scope="module")
def clip(video: Path) -> Clip:
    return scanned(video)


# --- a new stream measure ---


@dataclass(frozen=True, kw_only=True, slots=True)
class Brightening:
    """How much brighter a clip becomes."""

    brightening: float | None = column(pa.float64(), "mean luma of the last frame less that of the first")


class BrighteningMeasure:
    every_frame = True

    def __init__(self, video: VideoFacts, config: MeasureConfig) -> None:
        self._means: list[float] = []

    def push(self, frame: StreamFrame, previous: StreamFrame | None) -> None:
        self._means.append(float(frame.luma.mean()))

    def scores(self, span: Span, spans: Sequence[Span]) -> dict[str, Any]:
        return {"brightening": self._means[span.last - 1] - self._means[span.first]}


def test_a_new_stream_measure_is_its_file_its_row_type_and_one_entry(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STREAM_MEASURES, "brightening", Brightening)
    entry = StreamKind(("brightening",), BrighteningMeasure, version=1)
    monkeypatch.setattr(registry, "STREAM_KINDS", (*STREAM_KINDS, entry))
    clip = scanned(video)
    assert clip["brightening"] == pytest.approx(190 * 219 / 255, abs=4)  # studio range
    assert json.loads(clip["measured"])["brightening"]

    (again,) = remeasure(str(video), [clip], ["brightening"], BARE.measure)
    assert again == {"brightening": clip["brightening"]}


# --- a new clip measure ---


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What a measure was shown."""

    num_shown: int | None = column(pa.int32(), "frames")
    width_shown: int | None = column(pa.int32(), "their width", unit="px")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownLarge:
    """What a measure with frames of its own was shown."""

    num_shown_large: int | None = column(pa.int32(), "frames")
    width_shown_large: int | None = column(pa.int32(), "their width", unit="px")


class ShownMeasure:
    def __init__(self, suffix: str) -> None:
        self._suffix = suffix

    def measure(self, frames: np.ndarray, times_s: list[float]) -> dict[str, Any]:
        assert len(frames) == len(times_s)
        return {f"num_shown{self._suffix}": len(frames), f"width_shown{self._suffix}": frames.shape[2]}


def four_large(clip: Clip, recipe: Recipe) -> Sampling:
    return Sampling((0, 500_000, 1_000_000, 1_500_000), (WIDTH, HEIGHT))


SHARED = ClipKind("shown", lambda _: ShownMeasure(""), version=1, settings=lambda recipe: (recipe.frames,))
OWN = ClipKind("shown_large", lambda _: ShownMeasure("_large"), version=1, settings=lambda _: (), sampling=four_large)
SAME = replace(OWN, name="shown_too")


def measured(
    clip: Clip, folder: Path, monkeypatch: pytest.MonkeyPatch, kinds: dict[ClipKind, type]
) -> tuple[list[dict[str, Any]], int]:
    """Rows of the made-up measures' tables, and how often frames were read."""
    for kind, row_type in kinds.items():
        monkeypatch.setitem(CLIP_MEASURES, kind.name, row_type)
        monkeypatch.setitem(MEASURES, kind.name, measure_table(kind.name, row_type))
    monkeypatch.setattr(registry, "CLIP_KINDS", (*CLIP_KINDS, *kinds))
    reads, read = [], clip_run.sample_video
    monkeypatch.setattr(clip_run, "sample_video", lambda *asked: reads.append(asked) or read(*asked))

    def report(stage: str, rows: int, seconds: float, num_bytes: int, counts: dict[str, int]) -> None:
        pass

    recipe = replace(BARE, frames=replace(BARE.frames, num_frames=3, max_pixels_px=32 * 24))
    needs = list(recipe.clip_measures)
    clips = [{**clip, "needs": needs, "failures": dict.fromkeys(needs, 0)}]
    batch = pa.Table.from_pylist(list(ClipReader(recipe, report).read(clips)))
    dataset = Dataset(str(folder))
    for table, rows in ClipModels(recipe, clip_measure_fingerprints(recipe), report).rows(batch).items():
        dataset.write_table(table, rows)
    return [row for kind in kinds for row in dataset.read(MEASURES[kind.name]).to_pylist()], len(reads)


def test_a_new_clip_measure_is_its_file_its_row_type_and_one_entry(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,), num_reads = measured(clip, tmp_path, monkeypatch, {SHARED: Shown})
    assert (row["failure"], row["num_shown"], row["width_shown"], num_reads) == (None, 3, 32, 1)


def test_all_measures_share_one_reading_and_each_has_its_own_frames(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {OWN: ShownLarge, SHARED: Shown, SAME: ShownLarge}
    (own, shared, same), num_reads = measured(clip, tmp_path, monkeypatch, kinds)
    assert num_reads == 1
    assert (own["num_shown_large"], own["width_shown_large"]) == (4, 64)
    assert (shared["num_shown"], shared["width_shown"]) == (3, 32)  # as if it ran alone
    assert (same["num_shown_large"], same["width_shown_large"]) == (4, 64)


def test_measures_that_want_other_frames_are_read_beside_them(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = replace(SAME, sampling=lambda clip, recipe: Sampling((0, 900_000), (20, 20)))
    rows, num_reads = measured(clip, tmp_path, monkeypatch, {OWN: ShownLarge, two: ShownLarge})
    assert num_reads == 1
    assert [row["num_shown_large"] for row in rows] == [4, 2]


def test_a_clip_that_cannot_be_read_has_rows_that_say_why(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = {**clip, "uri": str(tmp_path / "gone.mp4")}
    rows, _ = measured(gone, tmp_path / "dataset", monkeypatch, {OWN: ShownLarge, SHARED: Shown})
    assert [row["failure"].startswith("frames: ") for row in rows] == [True, True]
    assert (rows[0]["num_shown_large"], rows[1]["num_shown"]) == (None, None)
