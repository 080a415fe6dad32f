"""What jobs say of the captioner beforehand: whom to name for footage, by backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.steps.captioning import require_captioner, tell_of_builtin
from schemas.errors import UsageError
from schemas.recipe import change_recipe, load_recipe


def test_a_coca_of_the_hub_a_folder_or_the_builtin_one_may_be_named(tmp_path: Path) -> None:
    recipe = change_recipe(load_recipe("default"), ["caption.backend=coca"])
    names = ("builtin", "coca_ViT-L-14/mscoco_finetuned_laion2b_s13b_b90k", "hf-hub:laion/a-coca", str(tmp_path))
    for name in names:
        require_captioner(change_recipe(recipe, [f"caption.checkpoint={name}"]))


def test_the_prompt_is_not_read_for_coca() -> None:
    recipe = change_recipe(load_recipe("default"), ["caption.prompt=nosuch"])
    require_captioner(change_recipe(recipe, ["caption.backend=coca"]))
    with pytest.raises(UsageError, match=r"caption\.prompt"):
        require_captioner(recipe)


@pytest.mark.parametrize(("backend", "named"), [("coca", "coca_ViT-L-14/"), ("transformers", "Qwen2.5-VL")])
def test_the_builtin_ones_notice_names_a_model_of_the_same_backend(
    capsys: pytest.CaptureFixture[str], backend: str, named: str
) -> None:
    recipe = change_recipe(load_recipe("default"), [f"caption.backend={backend}"])
    tell_of_builtin(recipe)
    line = capsys.readouterr().err
    assert "knows synthetic shapes and not footage" in line
    assert named in line
    tell_of_builtin(change_recipe(recipe, ["caption.checkpoint=a/b"]))
    assert capsys.readouterr().err == ""
