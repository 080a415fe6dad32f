import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from model.builtin import clip_folder
from model.readers.clip import BUILTIN_FOLDER, _weights_digest, load_clip, text_states
from model.readers.text_encoder import ClipTextEncoder

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "head_width": 16, "layers": 1},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture
def tiny_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An architecture and tag known to open_clip whose download is a local file with random weights."""
    (tmp_path / "reelmill-tiny.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(tmp_path)
    torch.manual_seed(0)
    save_file(open_clip.create_model("reelmill-tiny").state_dict(), tmp_path / "weights.safetensors")
    tag = {"url": "https://example.invalid/weights", "mean": (0.5,) * 3, "std": (0.5,) * 3}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "reelmill-tiny", {"drawn": tag})
    downloaded = str(tmp_path / "weights.safetensors")
    monkeypatch.setattr("open_clip.factory.download_pretrained", lambda *_, **__: downloaded)
    return "reelmill-tiny/drawn"


def test_builtin_is_small_and_complete() -> None:
    assert clip_folder("builtin") == BUILTIN_FOLDER
    assert sum(f.stat().st_size for f in BUILTIN_FOLDER.iterdir()) <= 8 * 2**20
    assert (BUILTIN_FOLDER / "README.md").is_file()


def test_architecture_and_tag_are_loaded_with_their_weights(tiny_name: str) -> None:
    first, second = load_clip(tiny_name), load_clip(tiny_name)
    assert first.fingerprint == second.fingerprint
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(first.model.encode_image(image), second.model.encode_image(image))


def test_fingerprint_of_a_downloaded_model_follows_its_weights(tiny_name: str, tmp_path: Path) -> None:
    before = load_clip(tiny_name)
    weights = before.model.state_dict()
    weights["logit_scale"] = weights["logit_scale"] + 1
    save_file(weights, tmp_path / "weights.safetensors")
    assert load_clip(tiny_name).fingerprint != before.fingerprint


def test_equal_numbers_under_other_names_are_other_weights() -> None:
    numbers = torch.arange(4.0)
    first, second = (torch.nn.ParameterDict({name: numbers.clone()}) for name in ("first", "second"))
    assert _weights_digest(first) != _weights_digest(second)
    assert _weights_digest(first) == _weights_digest(torch.nn.ParameterDict({"first": numbers}))


@pytest.mark.parametrize("name", ["no-such-architecture/openai", "ViT-B-32/no-such-tag", "ViT-B-32", "no-such-folder"])
def test_a_name_that_is_neither_a_folder_nor_known_to_open_clip_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is no folder with .* and no open_clip ARCHITECTURE/TAG"):
        load_clip(name)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_bytes((BUILTIN_FOLDER / "open_clip_config.json").read_bytes())
    with pytest.raises(ValueError, match=f"'{tmp_path}' could not be loaded"):
        load_clip(str(tmp_path))


def test_a_picture_of_the_right_size_is_only_normalised() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    expected = (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - 0.45) / 0.25
    torch.testing.assert_close(load_clip("builtin").transform(Image.fromarray(pixels)), expected)


def test_text_states_under_the_tokenizer_of_open_clip(tiny_name: str) -> None:
    """Zero is also the id of "!" there: it must not be taken for padding inside a text."""
    clip = load_clip(tiny_name)
    texts = ["!!! a red circle !", "", "word " * 50]
    states = ClipTextEncoder(clip).encode(texts)
    expected = clip.model.encode_text(clip.tokenize(texts)).numpy()
    last = np.stack([array[-1] for array in states])
    np.testing.assert_allclose(last @ clip.model.text_projection.numpy(), expected, atol=1e-5)
    assert [len(array) for array in states][1:] == [2, 20]


def test_states_of_a_prefix_are_a_prefix_of_the_states() -> None:
    clip = load_clip("builtin")
    ids = clip.tokenize(["A large blue square with a plain surface stays still."])
    whole = text_states(clip.model, ids)
    torch.testing.assert_close(text_states(clip.model, ids[:, :7]), whole[:, :7], atol=1e-5, rtol=0)


def test_a_tower_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="causal transformer"):
        text_states(torch.nn.Linear(2, 2), torch.zeros(1, 1, dtype=torch.long))
