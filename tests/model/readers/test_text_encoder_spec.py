"""What a text encoder's files say of it is what the loaded encoder says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import Qwen2Config, Qwen2ForCausalLM, T5Config, T5ForConditionalGeneration

from model.builtin import CLIP_CONFIG_NAME, WEIGHTS
from model.readers.text_encoder import load_text_encoder
from model.readers.text_encoder_spec import text_encoder_spec
from tests.model.readers.test_text_encoder import save_byte_tokenizer


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An encoder of each kind: two tiny ones with random weights, and the small one of this project."""
    parent = tmp_path_factory.mktemp("encoders")
    vocab_size = save_byte_tokenizer(parent / "t5", with_end=True)
    sizes = {"d_model": 24, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 3}
    T5ForConditionalGeneration(T5Config(vocab_size=vocab_size, **sizes)).save_pretrained(parent / "t5")
    vocab_size = save_byte_tokenizer(parent / "qwen", with_end=False)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Qwen2Config(vocab_size=vocab_size, num_key_value_heads=2, **sizes)
    Qwen2ForCausalLM(config).save_pretrained(parent / "qwen")
    clip = str(shutil.copytree(WEIGHTS / "clip", parent / "clip"))
    return {"builtin": "builtin", "clip": clip, "t5": str(parent / "t5"), "qwen": str(parent / "qwen")}


@pytest.mark.parametrize(("kind", "width"), [("builtin", 128), ("clip", 128), ("t5", 24), ("qwen", 16)])
def test_the_files_say_what_the_loaded_encoder_says(folders: dict[str, str], kind: str, width: int) -> None:
    spec, encoder = text_encoder_spec(folders[kind]), load_text_encoder(folders[kind])
    assert (spec.width, spec.fingerprint) == (encoder.dim, encoder.fingerprint)
    assert spec.width == width


def test_the_width_of_a_larger_model_is_that_of_its_text(folders: dict[str, str], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders["qwen"], tmp_path / "larger"))
    (folder / "config.json").write_text(json.dumps({"hidden_size": 99, "text_config": {"hidden_size": 16}}))
    assert text_encoder_spec(str(folder)).width == 16


def test_a_width_that_the_config_leaves_out_is_asked_of_transformers(folders: dict[str, str], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders["t5"], tmp_path / "t5"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "d_model"}))
    assert text_encoder_spec(str(folder)).width == T5Config().d_model


def test_a_changed_byte_is_another_name(folders: dict[str, str], tmp_path: Path) -> None:
    for kind in ("clip", "t5"):
        folder = Path(shutil.copytree(folders[kind], tmp_path / kind))
        assert text_encoder_spec(str(folder)) == text_encoder_spec(folders[kind])
        (folder / "note.txt").write_text("another")
        assert text_encoder_spec(str(folder)).fingerprint != text_encoder_spec(folders[kind]).fingerprint


def test_folders_are_read_without_torch(folders: dict[str, str]) -> None:
    program = (
        "import sys; from model.readers.text_encoder_spec import text_encoder_spec; "
        "[text_encoder_spec(name) for name in sys.argv[1:]]; print('torch' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, *folders.values()], capture_output=True, text=True, check=True
    )
    assert found.stdout == "False\n"


@pytest.mark.parametrize("kind", ["clip", "t5"])
def test_a_folder_without_weights_is_named(folders: dict[str, str], tmp_path: Path, kind: str) -> None:
    folder = Path(shutil.copytree(folders[kind], tmp_path / kind))
    for file in folder.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(ValueError, match=f"{folder} holds no checkpoint: no weights"):
        text_encoder_spec(str(folder))


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{tmp_path} holds no checkpoint"):
        text_encoder_spec(str(tmp_path))


@pytest.mark.parametrize("other", [{"hf_model_name": "roberta-base"}, {"no_causal_mask": True}])
def test_a_tower_that_is_not_causal_is_refused(folders: dict[str, str], tmp_path: Path, other: dict) -> None:
    folder = Path(shutil.copytree(folders["clip"], tmp_path / "clip"))
    config = json.loads((folder / CLIP_CONFIG_NAME).read_text())
    config["model_cfg"]["text_cfg"] |= other
    (folder / CLIP_CONFIG_NAME).write_text(json.dumps(config))
    with pytest.raises(ValueError, match="not open_clip's causal transformer"):
        text_encoder_spec(str(folder))


def test_a_name_that_is_not_here_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="'nobody/nothing' is no checkpoint folder, was not downloaded") as raised:
        text_encoder_spec("nobody/nothing")
    assert "\n" not in str(raised.value)


def test_a_model_of_the_hub_is_known_by_name_and_commit(
    folders: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache as the hub's client keeps it: at first with the config alone, then whole, then of another commit."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--somebody--encoder"
    snapshots = repository / "snapshots"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (snapshots / commit).mkdir(parents=True)
    shutil.copy(Path(folders["t5"]) / "config.json", snapshots / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    spec = text_encoder_spec("somebody/encoder")
    assert spec.width == 24
    shutil.copytree(folders["t5"], snapshots / commit, dirs_exist_ok=True)
    encoder = load_text_encoder("somebody/encoder")
    assert (spec.width, spec.fingerprint) == (encoder.dim, encoder.fingerprint)
    (repository / "refs" / "main").write_text(commit[::-1])
    (snapshots / commit).rename(snapshots / commit[::-1])
    assert text_encoder_spec("somebody/encoder").fingerprint != spec.fingerprint
