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


def test_a_run_goes_on_with_what_its_losses_depend_on(tmp_path):
    config = run_config()
    write_run_config(tmp_path, config)
    for train, message in (
        ({"optimizer": "muon"}, r"train\.optimizer = adamw, not muon"),
        ({"tokens_per_pack": 3}, r"train\.tokens_per_pack = 2048, not 3"),
        ({"packs_per_step": 3}, r"train\.packs_per_step = 1, not 3"),
        ({"learning_rate": 0.5}, r"train\.learning_rate = 0\.001, not 0\.5"),
        ({"objective": {"weighting": "velocity"}}, r"train\.objective\.weighting = own, not velocity"),
        ({"text_drop": 0.5}, r"train\.text_drop = 0\.1, not 0\.5"),
        ({"average_lengths": (0.05, 0.2)}, r"train\.average_lengths = \[0\.05, 0\.1\], not \[0\.05, 0\.2\]"),
        ({"weight_decay": 0.5}, r"train\.weight_decay = 0\.0, not 0\.5"),
        ({"grad_clip": 0.5}, r"train\.grad_clip = 1\.0, not 0\.5"),
    ):
        with pytest.raises(UsageError, match=f"started with {message}"):
            write_run_config(tmp_path, replace(config, train=config.train | train))


def test_more_steps_may_be_asked_for_unless_the_learning_rate_falls_towards_the_last(tmp_path):
    config = run_config(train={"decay_share": 0.5, "steps": 100})
    write_run_config(tmp_path, config)
    with pytest.raises(UsageError, match=r"started with train\.steps = 100, not 200"):
        write_run_config(tmp_path, replace(config, train={"decay_share": 0.5, "steps": 200}))


def test_other_settings_may_change_when_a_run_is_resumed(tmp_path):
    config = run_config()
    write_run_config(tmp_path, config)
    train = {"steps": 500, "num_workers": 2, "parallel": "fsdp", "checkpoint_every": 7}
    write_run_config(tmp_path, replace(config, train=train))
    assert read_run_config(tmp_path).train == train


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
