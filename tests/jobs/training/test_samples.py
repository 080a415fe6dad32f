"""The loader finds exactly the latents and texts of a release, and says what is missing."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from jobs.training.run import prepare
from jobs.training.samples import Encoding, ReleaseSamples
from model.codec.causal import load_autoencoder
from model.readers.text_encoder import load_text_encoder
from pipeline.encode.latents import clip_transform
from pipeline.release import releases
from pipeline.store.dataset import Dataset
from pipeline.store.newest import STAMPS
from schemas import LATENTS
from schemas.errors import UsageError
from schemas.identity import bytes_digest
from schemas.recipe import Recipe, decode_recipe
from schemas.recipe.encode import EncodeConfig
from schemas.recipe.train import TextMix
from tests.jobs.conftest import write_release


@pytest.fixture(scope="module")
def encoding() -> Encoding:
    return Encoding(EncodeConfig().transform, load_autoencoder().fingerprint, load_text_encoder().fingerprint, 8.0, 4)


def load_samples(dataset, release, encoding, mix):
    samples = ReleaseSamples(dataset, release, encoding, mix)
    return samples.read(list(samples.shapes))


def test_samples_are_the_stored_arrays(encoded_dataset, encoding):
    release = releases.read(encoded_dataset, "drawn")
    samples = load_samples(encoded_dataset, "drawn", encoding, TextMix())
    assert [s.sample_id for s in samples] == release.clips["clip_id"].to_pylist()
    opened = ReleaseSamples(encoded_dataset, "drawn", encoding, TextMix())
    videos = dict(zip(opened.names, opened.videos, strict=True))
    assert videos == {row["clip_id"]: row["video_id"] for row in release.clips.to_pylist()}
    stored = encoded_dataset.read(LATENTS.within(encoding.autoencoder)).to_pylist()[0]
    sample = next(s for s in samples if s.sample_id == stored["clip_id"])
    assert sample.latent_CTHW.astype("<f2").tobytes() == stored["data"]
    assert sample.latent_CTHW.shape == tuple(stored["shape"])
    assert sample.latent_fps == 2.0
    caption = next(row for row in release.clips.to_pylist() if row["clip_id"] == sample.sample_id)
    expected = load_text_encoder().encode([caption["detailed"], caption["short"]])
    for found, truth in zip(sample.texts_LE, expected, strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-5)


def test_texts_are_drawn_by_the_mix_from_what_a_clip_has(encoded_dataset, encoding):
    release = releases.read(encoded_dataset, "drawn")
    (first, *_) = load_samples(encoded_dataset, "drawn", encoding, TextMix())
    assert first.text_shares == (0.6, 0.2)
    (first, *_) = load_samples(encoded_dataset, "drawn", encoding, TextMix(detailed=0, short=1))
    row = release.clips.to_pylist()[0]
    np.testing.assert_allclose(first.texts_LE[0], load_text_encoder().encode([row["short"]])[0], rtol=1e-4, atol=1e-5)
    assert len(first.texts_LE) == 1


def test_a_text_that_the_mix_leaves_out_is_never_drawn_and_one_not_embedded_is_left_out(encoded_dataset, encoding):
    """The clips have no medium text, and none with a title of its own."""
    (first, *_) = load_samples(encoded_dataset, "drawn", encoding, TextMix(detailed=0.5, short=0.0, medium=0.5))
    assert first.text_shares == (0.5,)
    with pytest.raises(UsageError, match="no caption of clip clip-00"):
        load_samples(encoded_dataset, "drawn", encoding, TextMix(detailed=0.0, short=0.0))


def test_the_rate_of_a_latent_is_that_at_which_its_clip_was_encoded(encoded_dataset, encoding):
    samples = load_samples(encoded_dataset, "drawn", replace(encoding, fps=24.0), TextMix())
    assert {sample.latent_fps for sample in samples} == {2.0}


def test_samples_may_be_written_to(encoded_dataset, encoding):
    (first, *_) = load_samples(encoded_dataset, "drawn", encoding, TextMix())
    first.latent_CTHW[:] = 0.0
    assert not first.latent_CTHW.any()


def test_the_rate_of_a_latent_follows_from_the_stride(encoded_dataset, encoding):
    samples = load_samples(encoded_dataset, "drawn", replace(encoding, stride_t=8), TextMix())
    assert {sample.latent_fps for sample in samples} == {1.0}


def test_shapes_are_known_in_the_order_of_ids_before_a_latent_is_read(encoded_dataset, encoding):
    samples = ReleaseSamples(encoded_dataset, "drawn", encoding, TextMix())
    assert list(samples.shapes) == [f"clip-{number:02}" for number in range(12)]
    assert set(samples.shapes.values()) == {(8, 3, 8, 12), (8, 2, 12, 8), (8, 1, 8, 8)}
    assert set(samples.sizes()) == {(9, 96, 64), (5, 64, 96), (1, 64, 64)}


def test_samples_are_read_in_the_order_asked_for(encoded_dataset, encoding):
    samples = ReleaseSamples(encoded_dataset, "drawn", encoding, TextMix())
    asked = ["clip-07", "clip-00", "clip-11"]
    assert [sample.sample_id for sample in samples.read(asked)] == asked
    for sample in samples.read(asked):
        assert sample.latent_CTHW.shape == samples.shapes[sample.sample_id]


def test_failed_latents_and_those_of_other_clips_are_not_read(encoded_dataset, encoding, tmp_path):
    dataset = Dataset(str(shutil.copytree(encoded_dataset.location, tmp_path / "copy")))
    before = ReleaseSamples(dataset, "drawn", encoding, TextMix()).shapes
    table = LATENTS.within(encoding.autoencoder)
    stored = dataset.read(table).to_pylist()[0]
    failed = stored | {"status": "failed", "reason": "no", "dtype": None, "shape": None, "data": None}
    dataset.write_part(table, [failed, stored | {"clip_id": "of another release"}])
    assert ReleaseSamples(dataset, "drawn", encoding, TextMix()).shapes == before
    assert [s.sample_id for s in load_samples(dataset, "drawn", encoding, TextMix())] == sorted(before)


def test_the_newest_latent_of_a_clip_counts_and_one_that_was_damaged_is_named(encoded_dataset, encoding, tmp_path):
    dataset = Dataset(str(shutil.copytree(encoded_dataset.location, tmp_path / "copy")))
    table = LATENTS.within(encoding.autoencoder)
    stored = min(dataset.read(table).drop_columns(list(STAMPS)).to_pylist(), key=lambda row: row["clip_id"])
    zeros = bytes(len(stored["data"]))
    dataset.write_part(table, [stored | {"data": zeros, "data_hash": bytes_digest(zeros)}])
    (first, *_) = load_samples(dataset, "drawn", encoding, TextMix())
    assert not first.latent_CTHW.any()
    dataset.write_part(table, [stored | {"data": b"\1" + zeros[1:], "data_hash": bytes_digest(zeros)}])
    with pytest.raises(UsageError, match=r"clip-00: .*, row group 0, row 0: bytes differ; `reelmill encode"):
        load_samples(dataset, "drawn", encoding, TextMix())


def test_latents_of_single_frames_come_with_samples_by_their_seconds_where_they_are_asked_for(
    encoded_dataset, encoding, tmp_path
):
    dataset = Dataset(str(shutil.copytree(encoded_dataset.location, tmp_path / "copy")))
    table = LATENTS.within(encoding.autoencoder)
    before = ReleaseSamples(dataset, "drawn", encoding, TextMix(), ["last"]).read(["clip-00"])
    assert not before[0].frame_latents
    clips = {row["clip_id"]: row for row in releases.read(dataset, "drawn").clips.to_pylist()}
    whole = {row["clip_id"]: row for row in dataset.read(table).drop_columns(list(STAMPS)).to_pylist()}
    rows = []
    for level, (name, frame) in enumerate([("clip-00", "first"), ("clip-00", "last"), ("clip-01", "last")]):
        values = np.full((8, 1, *whole[name]["shape"][2:]), level, np.float16)
        data, key = values.tobytes(), clip_transform(clips[name], encoding.transform, frame)
        made = {"shape": list(values.shape), "data": data, "data_hash": bytes_digest(data)}
        rows.append(whole[name] | made | {"frame": frame, "transform": key, "valid": [1, *whole[name]["valid"][1:]]})
    dataset.write_part(table, rows)
    samples = ReleaseSamples(dataset, "drawn", encoding, TextMix(), ["last", "first", "middle"])
    found = {sample.sample_id: sample.frame_latents for sample in samples.read(["clip-01", "clip-00", "clip-02"])}
    of_last = {name: (whole[name]["valid"][0] - 1) / 8.0 for name in clips}
    levels = {name: {at_s: array.flat[0] for at_s, array in latents.items()} for name, latents in found.items()}
    assert levels == {"clip-00": {0.0: 0, of_last["clip-00"]: 1}, "clip-01": {of_last["clip-01"]: 2}, "clip-02": {}}
    assert found["clip-01"][of_last["clip-01"]].shape == (8, 1, *whole["clip-01"]["shape"][2:])
    plain = ReleaseSamples(dataset, "drawn", encoding, TextMix())
    assert plain.shapes == samples.shapes == ReleaseSamples(encoded_dataset, "drawn", encoding, TextMix()).shapes
    assert not any(sample.frame_latents for sample in plain.read(list(plain.shapes)))


def test_motion_comes_with_samples_where_the_release_has_it(encoded_dataset, encoding, tmp_path):
    told = {"train": {"model": {"conditions": ["motion"]}}}
    prepare(encoded_dataset, "drawn", decode_recipe(told))
    clips = {row["clip_id"]: row["motion_px_s"] for row in releases.read(encoded_dataset, "drawn").clips.to_pylist()}
    found = {
        sample.sample_id: sample.motion_px_s for sample in load_samples(encoded_dataset, "drawn", encoding, TextMix())
    }
    assert found == clips
    assert (found["clip-01"], found["clip-02"]) == (1.0, None)  # the latter is an image
    dataset = Dataset(str(shutil.copytree(encoded_dataset.location, tmp_path / "copy")))
    without = [row | {"motion_px_s": None} for row in releases.read(dataset, "drawn").clips.to_pylist()]
    write_release(dataset, "without", without)
    assert not ReleaseSamples(dataset, "without", encoding, TextMix()).has_motion
    prepare(dataset, "without", Recipe())
    with pytest.raises(
        UsageError, match=r"^train\.model\.conditions: 'motion' needs motion_px_s, which release without"
    ):
        prepare(dataset, "without", decode_recipe(told))


@pytest.mark.parametrize("other", [{"transform": "else"}, {"autoencoder": "0" * 16}])
def test_latents_made_in_another_way_are_not_read(encoded_dataset, encoding, other):
    with pytest.raises(UsageError, match="reelmill encode"):
        ReleaseSamples(encoded_dataset, "drawn", replace(encoding, **other), TextMix())


def test_texts_of_another_encoder_are_not_read(encoded_dataset, encoding):
    with pytest.raises(UsageError, match="no caption of clip clip-00"):
        load_samples(
            encoded_dataset,
            "drawn",
            replace(encoding, text_encoder="0" * 16),
            TextMix(),
        )


def test_a_run_is_described_before_anything_is_written(encoded_dataset):
    config, transformer, tokens = prepare(encoded_dataset, "drawn", Recipe())
    assert (config.usual_width_px, config.usual_height_px, config.usual_num_frames) == (96, 64, 9)
    assert tokens == 6 * 3 * 4 * 6 + 3 * 2 * 6 * 4 + 3 * 1 * 4 * 4
    assert (transformer.width, transformer.latent_channels, transformer.text_dim) == (192, 8, config.text_dim)
    assert config.num_clips == 12
    autoencoder, text_encoder = load_autoencoder(), load_text_encoder()
    assert (config.latent_mean, config.latent_std) == (autoencoder.config.latent_mean, autoencoder.config.latent_std)
    assert config.encoding == Encoding(
        EncodeConfig().transform, autoencoder.fingerprint, text_encoder.fingerprint, EncodeConfig().fps, 4
    )
    release = releases.read(encoded_dataset, "drawn")
    assert (config.dataset, config.release, config.release_hash) == (
        encoded_dataset.location,
        "drawn",
        release.content_hash,
    )
    assert (config.max_pixels_px, config.seed, config.text_dim) == (1280 * 720, 0, text_encoder.dim)


def test_a_run_is_prepared_without_loading_an_encoder(encoded_dataset, monkeypatch):
    def refuse(folder, model):
        raise AssertionError(f"weights of {folder} are loaded")

    monkeypatch.setattr("model.codec.causal.load_weights", refuse)
    monkeypatch.setattr("open_clip.create_model", refuse)
    with pytest.raises(AssertionError, match="are loaded"):
        load_autoencoder()
    config, *_ = prepare(encoded_dataset, "drawn", Recipe())
    assert config.stride_thw == (4, 8, 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": {"tokens_per_pack": 16}}, "train.tokens_per_pack = 16"),
        ({"train": {"num_workers": 2}}, "train.packs_per_step = 1"),
        ({"train": {"model": {"num_heads": 7}}}, "num_heads = 7"),
        ({"train": {"routing": {"share": 0.5, "last_block": 5}}}, r"train.routing.last_block = 5: must be below 5"),
        ({"encode": {"fps": 7.0}}, "reelmill encode"),
        ({"encode": {"autoencoder": "/nowhere"}}, "encode.autoencoder = '/nowhere'"),
    ],
)
def test_what_cannot_be_trained_is_named(encoded_dataset, settings, message):
    with pytest.raises(UsageError, match=message):
        prepare(encoded_dataset, "drawn", decode_recipe(settings))


def test_a_release_without_clips_is_named(encoded_dataset, tmp_path):
    dataset = Dataset(str(shutil.copytree(encoded_dataset.location, tmp_path / "copy")))
    write_release(dataset, "nothing", [])
    with pytest.raises(UsageError, match="release nothing: it has no clips; freeze one"):
        prepare(dataset, "nothing", Recipe())


def test_an_unknown_release_is_named(encoded_dataset):
    with pytest.raises(UsageError, match="release other"):
        prepare(Dataset(encoded_dataset.location), "other", Recipe())
