"""A run's config comes back as it was written, and is not replaced by that of other data."""

import json
from dataclasses import replace

import pytest

from jobs.training.run_config import read_run_config, usual_clip, write_run_config
from jobs.training.samples import Encoding
from schemas.errors import UsageError
from tests.jobs.training.runs import run_config


def test_a_config_comes_back(tmp_path):
    config = run_config()
    write_run_config(tmp_path / "a" / "run", config)
    found = read_run_config(tmp_path / "a" / "run")
    assert replace(found, train={}) == replace(config, train={})
    assert found.train == json.loads(json.dumps(config.train))
    assert found.stride_thw == (4, 8, 8)
    fingerprints = config.autoencoder_fingerprint, config.text_encoder_fingerprint
    assert found.encoding == Encoding("transform", *fingerprints, 8.0, 4)


@pytest.mark.parametrize(
    "changed",
    [
        {"release_hash": "other"},
        {"transform": "other"},
        {"autoencoder_fingerprint": "other"},
        {"text_encoder_fingerprint": "other"},
        {"seed": 7},
    ],
)
def test_a_run_is_not_resumed_on_other_data(tmp_path, changed):
    config = run_config()
    write_run_config(tmp_path, config)
    (name,) = changed
    with pytest.raises(UsageError, match=f"started with {name} = "):
        write_run_config(tmp_path, replace(config, **changed))
    assert getattr(read_run_config(tmp_path), name) == getattr(config, name)


def test_a_run_goes_on_predicting_what_it_did(tmp_path):
    config = run_config()
    write_run_config(tmp_path, config)
    other = replace(config, train=config.train | {"objective": {"prediction": "x0"}})
    with pytest.raises(
        UsageError, match="started with predicted = velocity on rectified_flow, not x0 on rectified_flow"
    ):
        write_run_config(tmp_path, other)
    learned = config.train | {"objective": {"path": "ddpm_linear", "variance": "learned"}}
    with pytest.raises(UsageError, match="not velocity on ddpm_linear with a learned variance"):
        write_run_config(tmp_path, replace(config, train=learned))
    weighted = config.train | {"objective": {"weighting": "velocity", "logit_mean": 1.0}}
    write_run_config(tmp_path, replace(config, train=weighted))


def test_a_run_goes_on_with_its_optimizer(tmp_path):
    config = run_config()
    write_run_config(tmp_path, config)
    with pytest.raises(UsageError, match="started with optimizer = adamw, not muon"):
        write_run_config(tmp_path, replace(config, train=config.train | {"optimizer": "muon"}))


@pytest.mark.parametrize("name", ["tokens_per_pack", "packs_per_step"])
def test_a_run_goes_on_with_packs_as_they_were_planned(tmp_path, name):
    config = run_config()
    write_run_config(tmp_path, config)
    other = replace(config, train=config.train | {name: 3})
    assert getattr(other, name) == 3
    with pytest.raises(UsageError, match=f"started with {name} = {config.train[name]}, not 3"):
        write_run_config(tmp_path, other)


def test_other_settings_may_change_when_a_run_is_resumed(tmp_path):
    config = run_config()
    write_run_config(tmp_path, config)
    write_run_config(tmp_path, replace(config, train={"steps": 500}))
    assert read_run_config(tmp_path).train == {"steps": 500}


def test_the_usual_clip_has_the_most_frequent_size_in_even_sides_and_the_longest_length():
    sizes = [(5, 96, 61), (1, 96, 61), (18, 61, 96)]
    assert usual_clip(sizes) == {"usual_width_px": 96, "usual_height_px": 60, "usual_num_frames": 18}


@pytest.mark.parametrize("text", ["{", "[]", "{}", None])
def test_a_folder_that_is_no_run_is_named(tmp_path, text):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match=str(tmp_path)):
        read_run_config(tmp_path)


def test_a_config_of_another_version_is_not_read(tmp_path):
    write_run_config(tmp_path, run_config())
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"more": 1}))
    with pytest.raises(UsageError, match="written by another version"):
        read_run_config(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_run_config(tmp_path / "file" / "run", run_config())
