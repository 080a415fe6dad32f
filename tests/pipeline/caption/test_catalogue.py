"""The catalogue of captioner backends: it and the recipe name the same ones, and to read it loads none of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import pipeline.caption
from pipeline.caption.backends.catalogue import BACKENDS, load_captioner
from schemas.recipe import change_recipe, load_recipe
from schemas.recipe.caption import CaptionConfig
from schemas.recipe.engine import EngineSettings


def test_a_recipe_can_name_every_backend_and_no_other() -> None:
    assert set(get_args(get_type_hints(CaptionConfig)["backend"])) == {*BACKENDS, "none"}


def test_prompts_can_be_expanded_by_every_engine_and_no_other_backend() -> None:
    engines = {name for name, backend in BACKENDS.items() if backend.engine}
    assert set(get_args(get_type_hints(EngineSettings)["backend"])) == engines


def test_a_recipe_without_a_captioner_loads_none() -> None:
    with pytest.raises(ValueError, match="'none' is not one of transformers, vllm, openai"):
        load_captioner(CaptionConfig(backend="none"))


def test_the_driver_names_a_captioner_without_loading_its_libraries() -> None:
    program = "import sys; from pipeline.caption import fingerprint; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "pipeline.caption.backends.catalogue" in loaded
    assert not loaded & {"torch", "transformers", "vllm", "openai", "open_clip", "xgrammar"}


def test_the_pages_command_for_servers_is_one_that_loads() -> None:
    page = Path(*pipeline.caption.__path__, "README.md").read_text().replace("\\\n", " ")
    (command,) = re.findall(r"reelmill recaption DATASET --recipe (\S+) (--set caption\.backend=openai.*)", page)
    recipe = change_recipe(load_recipe(command[0]), re.findall(r"--set (\S+)", command[1]))
    assert load_captioner(recipe.caption).config.backend == "openai"
