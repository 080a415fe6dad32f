"""One contract for every captioner: clips in, a caption each or the reason why not, whoever writes them."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from model.builtin import BUILTIN_CAPTIONER, COCA_FOLDER
from pipeline.caption.backends.catalogue import load_captioner
from pipeline.caption.backends.checkpoints import BUILTIN_FOLDER
from pipeline.caption.captioner import Caption, Captioner, ClipFrames
from pipeline.caption.engine import Engine, Sampling
from pipeline.caption.fingerprint import fingerprint
from pipeline.caption.stage import Captioning
from pipeline.synthetic.render import render
from pipeline.synthetic.world import attributes, detailed_caption, draw_scene
from schemas.recipe import change_recipe, load_recipe
from schemas.recipe.caption import CaptionConfig
from schemas.structured_caption import StructuredCaption, text_of
from schemas.tables.captions import OK
from tests.model.readers.small_coca import save_small_coca
from tests.pipeline.caption.serving import OLD_NAMES

HELD_OUT_SEED = 1_000_000_000
SIZES = [(192, 192), (256, 144), (144, 256), (256, 192)]
MOVING = {"direction", "speed", "spin", "camera"}
"""What pictures pooled without their order do not show."""
pytestmark = OLD_NAMES


@pytest.fixture(scope="module")
def transformers() -> Captioner:
    return load_captioner(CaptionConfig())


@pytest.fixture(scope="module")
def vllm(vllm_engine: Engine) -> Captioner:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.caption.backends.catalogue.load_engine", lambda settings: vllm_engine)
        return load_captioner(CaptionConfig(backend="vllm"))


@pytest.fixture(scope="module")
def openai(vllm_url: str) -> Captioner:
    return load_captioner(CaptionConfig(backend="openai", checkpoint=str(BUILTIN_FOLDER), url=vllm_url))


@pytest.fixture(scope="module")
def coca() -> Captioner:
    return load_captioner(CaptionConfig(backend="coca"))


@pytest.fixture(
    scope="module",
    params=["transformers", "vllm", "openai", "coca"],
)
def captioner(request: pytest.FixtureRequest) -> Captioner:
    return request.getfixturevalue(request.param)


def drawn_clip(seed: int, num_frames: int = 12, size: tuple[int, int] | None = None) -> ClipFrames:
    width, height = size or SIZES[seed % len(SIZES)]
    frames = render(draw_scene(HELD_OUT_SEED + seed), width, height, num_frames)
    return ClipFrames(frames, [i / 8 for i in range(num_frames)])


@pytest.fixture(scope="module")
def clips() -> list[ClipFrames]:
    """Of many shapes and lengths, in no order."""
    return [
        drawn_clip(0),
        drawn_clip(1, num_frames=1),
        drawn_clip(2, num_frames=3),
        drawn_clip(3, num_frames=8, size=(90, 37)),
        drawn_clip(4, num_frames=9, size=(320, 180)),
        drawn_clip(5, num_frames=24, size=(48, 200)),
    ]


def say(captioner: Captioner, clips: list[ClipFrames], sampling: Sampling | None = None) -> list[Caption]:
    return captioner.caption(clips, [""] * len(clips), sampling or captioner.greedy)


@pytest.fixture(scope="module")
def said(captioner: Captioner, clips: list[ClipFrames]) -> list[Caption]:
    return say(captioner, clips)


def test_every_clip_of_any_size_and_length_has_a_caption(said: list[Caption]) -> None:
    for caption in said:
        assert caption.failure is None
        assert not caption.was_cut
        assert caption.structured is not None
        assert caption.answer
        assert caption.num_output_tokens > 5
        assert len(text_of(caption.structured, "detailed").split()) > 5
    assert len({caption.answer for caption in said}) == len(said)


def test_no_clips_no_captions(captioner: Captioner) -> None:
    assert say(captioner, []) == []


def test_greedy_captions_are_alike_again_in_any_order_and_alone(
    captioner: Captioner, clips: list[ClipFrames], said: list[Caption]
) -> None:
    assert say(captioner, clips[::-1])[::-1] == said
    for i in (0, 2):
        assert say(captioner, [clips[i]]) == [said[i]]


def test_bad_clips_have_their_reason_and_leave_the_others_alone(
    captioner: Captioner, clips: list[ClipFrames], said: list[Caption]
) -> None:
    empty = ClipFrames(np.zeros((0, 48, 48, 3), np.uint8), [])
    grey = ClipFrames(np.zeros((2, 48, 48, 1), np.uint8), [0.0, 0.1])
    floats = ClipFrames(np.zeros((2, 48, 48, 3), np.float32), [0.0, 0.1])
    untimed = ClipFrames(np.zeros((2, 48, 48, 3), np.uint8), [0.0])
    found = say(captioner, [empty, clips[0], grey, floats, clips[1], untimed])
    assert [found[1], found[4]] == said[:2]
    assert [found[i].failure for i in (0, 2, 3, 5)] == [
        "frames have shape (0, 48, 48, 3), not (T, H, W, 3)",
        "frames have shape (2, 48, 48, 1), not (T, H, W, 3)",
        "frames are float32, not uint8",
        "2 frames but 1 timestamps",
    ]
    assert all(found[i].structured is None for i in (0, 2, 3, 5))


def test_the_limit_on_tokens_cuts(captioner: Captioner, clips: list[ClipFrames], said: list[Caption]) -> None:
    for caption, whole in zip(say(captioner, clips[:2], Sampling(4)), said, strict=False):
        assert caption.was_cut
        assert caption.num_output_tokens == 4
        assert caption.answer is not None
        assert whole.answer is not None
        assert whole.answer.startswith(caption.answer)


def test_draws_differ_by_seed_and_by_nothing_else(captioner: Captioner, clips: list[ClipFrames]) -> None:
    first = Sampling(24, temperature=1.5, seed=1)
    drawn = say(captioner, clips[:4], first)
    assert say(captioner, clips[:4][::-1], first)[::-1] == drawn
    assert say(captioner, [clips[2]], first) == [drawn[2]]
    assert say(captioner, clips[:4], replace(first, seed=2)) != drawn
    assert say(captioner, clips[:4], Sampling(24)) != drawn


def test_a_second_try_is_drawn_with_more_room(captioner: Captioner) -> None:
    assert captioner.greedy == Sampling(192)
    assert captioner.other == Sampling(384, temperature=0.7, seed=1)
    assert captioner.rewrites is None


def test_a_long_clip_is_described_in_windows(captioner: Captioner) -> None:
    parts = [render(draw_scene(HELD_OUT_SEED + i), 192, 144, 8) for i in (1, 2)]
    long = ClipFrames(np.concatenate(parts), [float(i) for i in range(16)])
    whole, *halves = say(captioner, [long, *(ClipFrames(part, list(range(8))) for part in parts)])
    assert whole.structured is not None
    assert whole.answer == "\n".join(str(half.answer) for half in halves)
    assert whole.num_output_tokens == sum(half.num_output_tokens for half in halves)


def test_held_out_drawn_clips_are_told_rightly(captioner: Captioner) -> None:
    seeds, hits = range(1000, 1012), []
    unseen = MOVING if captioner.config.backend == "coca" else set()
    for seed, caption in zip(seeds, say(captioner, [drawn_clip(seed) for seed in seeds]), strict=True):
        assert caption.structured is not None
        found = attributes(text_of(caption.structured, "detailed"))
        true = attributes(detailed_caption(draw_scene(HELD_OUT_SEED + seed)))
        hits += [found.get(name) == word for name, word in true.items() if name not in unseen]
    assert np.mean(hits) > 0.85


# CoCa's own.


def test_a_sentence_of_coca_is_the_short_the_medium_and_the_detailed_text(
    coca: Captioner, clips: list[ClipFrames]
) -> None:
    for caption in say(coca, clips[:5]):
        assert caption.structured == StructuredCaption(subject=str(caption.answer))
        for length in ("short", "medium", "detailed"):
            assert text_of(caption.structured, length) == caption.answer
        assert str(caption.answer).endswith(".")


def test_coca_claims_no_motion(coca: Captioner, clips: list[ClipFrames]) -> None:
    assert coca.prompt == ""
    for caption in say(coca, clips):
        assert not attributes(str(caption.answer)).keys() & MOVING


def test_a_whole_row_by_coca(clips: list[ClipFrames]) -> None:
    recipe = change_recipe(load_recipe("default"), ["embedding.model=none", "caption.backend=coca"])
    clip = {"clip_id": "c0", "encoder": None, "source": "{}", "camera_motion": None, "failures": 0, "given": ""}
    clip |= {"content_box": [0, 0, 48, 32]}
    shown = clips[0]
    batch = pa.table(
        {
            "clip": [pickle.dumps(clip)],
            "frames": [shown.frames.tobytes()],
            "shape": [list(shown.frames.shape)],
            "times_s": [list(shown.timestamps_s)],
            "failure": [""],
            "transient": [False],
        }
    )
    (made,) = Captioning(recipe, lambda *_: None).tries(batch)
    row = made.row
    assert (made.outcome, made.reasons, row["num_attempts"]) == (OK, [], 1)
    assert row["captioner_name"] == BUILTIN_CAPTIONER
    assert row["captioner"] == fingerprint(recipe.caption)
    assert row["short"] == row["medium"] == row["detailed"]
    assert (row["truncated"], row["prompt_leak"], row["merged"]) == (0.0, 0.0, None)


def test_the_fingerprint_of_coca_covers_its_weights_and_no_prompt(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text("{}")
    config = CaptionConfig(backend="coca", checkpoint=str(tmp_path))
    first = fingerprint(config)
    assert fingerprint(replace(config, prompt="/no/such/prompt", batch=3, num_actors=2)) == first
    others = [
        replace(config, num_frames=4),
        replace(config, dtype="bfloat16"),
        replace(config, window_s=10.0),
        replace(config, backend="transformers"),
        CaptionConfig(backend="coca"),
        CaptionConfig(),
    ]
    prints = [first, *map(fingerprint, others)]
    assert len(set(prints)) == len(prints)
    (tmp_path / "open_clip_config.json").write_text('{"a": 1}')
    assert fingerprint(config) not in prints


def test_any_folder_of_open_clips_coca_is_a_checkpoint(tmp_path: Path, clips: list[ClipFrames]) -> None:
    """One that nobody has fitted: it says nonsense, of every clip, until the context ends."""
    save_small_coca(tmp_path)
    captioner = load_captioner(CaptionConfig(backend="coca", checkpoint=str(tmp_path), batch=2))
    captions = say(captioner, clips, Sampling(8))
    assert [caption.num_output_tokens for caption in captions] == [8, 8, 8, 8, 8, 3 * 8]  # the last in three windows
    assert [say(captioner, [clip], Sampling(8))[0] for clip in clips] == captions


def test_what_is_no_coca_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no CoCa: it has no text decoder"):
        load_captioner(CaptionConfig(backend="coca", checkpoint=str(COCA_FOLDER.parent / "clip")))
    with pytest.raises(ValueError, match="no open_clip ARCHITECTURE/TAG"):
        load_captioner(CaptionConfig(backend="coca", checkpoint=str(tmp_path)))
