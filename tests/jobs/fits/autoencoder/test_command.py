"""The command: its options, what it writes, what it refuses."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from jobs.fits.autoencoder import __main__ as command
from jobs.fits.autoencoder import fit as fits
from model.codec.bottlenecks.config import (
    GaussianConfig,
    LookupFreeConfig,
    NoisedConfig,
    ScalarConfig,
    VectorConfig,
)
from model.codec.causal import AutoencoderConfig, load_autoencoder
from tests.jobs.fits.autoencoder.conftest import TINY


def arguments(*words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


@pytest.mark.parametrize(
    "options", [[], ["--bottleneck", "vq", "num_codes=8", "--perceptual", 0.5, "--adversarial", 0.5]]
)
def test_the_job_writes_weights_a_card_and_a_log(tmp_path, monkeypatch, capsys, options):
    monkeypatch.setattr(command, "AutoencoderConfig", lambda: TINY)
    monkeypatch.setattr(fits, "LOG_EVERY_STEPS", 1)
    args = arguments("--out", tmp_path, "--minutes", 0.02, "--clips", 1, *options, "--adversarial-start", 0)
    assert command.run(args) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["plain_world"]) == {"true clips", "reconstructions"}
    assert set(told["held_out"]["9 x 16x16"]) >= {"all", "noised", "ssim", "bits_per_px" if options else "moving"}
    fitted = load_autoencoder(str(tmp_path))
    assert fitted.config.latent_std != TINY.latent_std
    assert fitted.config.bottleneck == (VectorConfig(num_codes=8) if options else NoisedConfig())
    card = (tmp_path / "README.md").read_text()
    assert "8 latent channels" in card
    assert ("--bottleneck vq num_codes=8 --perceptual 0.5 --adversarial 0.5" in card) == bool(options)
    assert ("perplexity" in card) == bool(options)
    log = [json.loads(line) for line in (tmp_path / "fit.jsonl").read_text().splitlines()]
    assert log[0]["step"] == 1
    assert ("adversarial" in log[0]) == bool(options)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["noised", "input_noise=0.1"], NoisedConfig(input_noise=0.1)),
        (["gaussian", "kl_weight=1e-6"], GaussianConfig(kl_weight=1e-6)),
        (["fsq", "levels=8,8,5"], ScalarConfig(levels=(8, 8, 5))),
        (["fsq", "levels=7"], ScalarConfig(levels=(7,))),
        (["lfq"], LookupFreeConfig()),
    ],
)
def test_a_bottleneck_is_named_with_its_settings(words, expected):
    assert command.parsed_bottleneck(words) == expected


@pytest.mark.parametrize("words", [["vqq"], ["vq", "codes=8"], ["vq", "num_codes"], ["vq", "num_codes=many"]])
def test_other_settings_are_refused_in_one_line(words):
    with pytest.raises(ValueError, match="bottleneck") as raised:
        command.parsed_bottleneck(words)
    assert "\n" not in str(raised.value)


def test_channels_are_those_asked_for_or_those_of_the_levels():
    config = AutoencoderConfig()
    assert command.with_bottleneck(config, NoisedConfig()) == config
    of_levels = command.with_bottleneck(config, ScalarConfig(levels=(5, 5, 5)))
    assert (of_levels.latent_channels, len(of_levels.latent_std)) == (3, 3)
    of_bits = command.with_bottleneck(config, LookupFreeConfig(), 12)
    assert (of_bits.latent_channels, len(of_bits.latent_mean)) == (12, 12)


def test_without_options_the_recipe_is_that_of_the_built_in_codec():
    network = command.network_of(arguments("--out", "x"))
    built_in = load_autoencoder().config
    statistics = {"latent_mean": built_in.latent_mean, "latent_std": built_in.latent_std}
    assert replace(network.config, **statistics) == built_in
    extras = command.extras_of(arguments("--out", "x"))
    assert extras.perceptual is extras.adversary is None


def test_a_fit_that_continues_keeps_its_bottleneck():
    args = arguments("--out", "x", "--init", "builtin")
    assert command.network_of(args).config == load_autoencoder().config
    with pytest.raises(ValueError, match="--init builtin has a bottleneck of its own"):
        command.network_of(arguments("--out", "x", "--init", "builtin", "--bottleneck", "none"))


def test_a_wrong_option_ends_the_command_in_one_line(tmp_path):
    words = [sys.executable, "-m", "jobs.fits.autoencoder", "--out", str(tmp_path), "--bottleneck", "vqq"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2
    assert "bottleneck kind 'vqq' is none of" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
