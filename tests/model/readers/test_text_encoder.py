import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
    UMT5Config,
    UMT5EncoderModel,
    UMT5ForConditionalGeneration,
)

from model.readers.clip import BUILTIN_FOLDER, load_clip
from model.readers.text_encoder import TextEncoder, TransformersTextEncoder, load_text_encoder
from model.readers.text_encoder_spec import text_encoder_spec

TEXTS = [
    "a red circle moves left",
    "",
    "A large blue square with a plain surface stays still. The camera is still.",
    "🎬🔥 émigré 猫",
    "word " * 2000,
]


T5_SIZES = {"d_model": 24, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 3}
SIZES = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.fixture(scope="module")
def builtin() -> TextEncoder:
    return load_text_encoder("builtin")


def save_byte_tokenizer(folder: Path, *, with_end: bool) -> int:
    """Write a tokenizer with one token a byte, as transformers saves them; returns its number of tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(["<pad>", "</s>", *alphabet])}
    core = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if with_end:
        core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="</s>").save_pretrained(folder)
    return len(vocab)


@pytest.fixture(scope="module")
def t5_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder-decoder with random weights."""
    folder = tmp_path_factory.mktemp("t5")
    vocab_size = save_byte_tokenizer(folder, with_end=True)
    torch.manual_seed(0)
    T5ForConditionalGeneration(T5Config(vocab_size=vocab_size, **T5_SIZES)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def t5(t5_folder: Path) -> TextEncoder:
    return load_text_encoder(str(t5_folder))


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    """A tiny language model with random weights, whose tokenizer adds no special tokens."""
    folder = tmp_path_factory.mktemp("qwen")
    vocab_size = save_byte_tokenizer(folder, with_end=False)
    torch.manual_seed(0)
    config = Qwen2Config(vocab_size=vocab_size, num_key_value_heads=2, **SIZES)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return load_text_encoder(str(folder))


@pytest.fixture(scope="module")
def umt5(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    """A tiny one of the kind that Wan is conditioned on."""
    folder = tmp_path_factory.mktemp("umt5")
    vocab_size = save_byte_tokenizer(folder, with_end=True)
    torch.manual_seed(0)
    UMT5ForConditionalGeneration(UMT5Config(vocab_size=vocab_size, **T5_SIZES)).save_pretrained(folder)
    return load_text_encoder(str(folder))


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP of transformers with random weights, pictures and all."""
    folder = tmp_path_factory.mktemp("clip")
    vocab_size = save_byte_tokenizer(folder, with_end=True)
    torch.manual_seed(0)
    text = SIZES | {"vocab_size": vocab_size, "max_position_embeddings": 40, "eos_token_id": 1}
    vision = SIZES | {"image_size": 8, "patch_size": 4}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> TextEncoder:
    return load_text_encoder(str(clip_folder))


ENCODERS = ["builtin", "t5", "umt5", "qwen", "clip"]


@pytest.mark.parametrize("name", ENCODERS)
def test_states_do_not_depend_on_the_batch(name: str, request: pytest.FixtureRequest) -> None:
    encoder: TextEncoder = request.getfixturevalue(name)
    together = encoder.encode(TEXTS)
    for text, states in zip(TEXTS, together, strict=True):
        alone = encoder.encode([text])[0]
        assert states.shape == alone.shape
        np.testing.assert_allclose(states, alone, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_any_text_has_finite_states(name: str, request: pytest.FixtureRequest) -> None:
    encoder: TextEncoder = request.getfixturevalue(name)
    for states in encoder.encode(TEXTS):
        assert states.dtype == np.float32
        assert states.shape[0] >= 1
        assert states.shape[1] == encoder.dim
        assert np.isfinite(states).all()
    assert encoder.encode([]) == []


class Recorded(TextEncoder):
    """A token a letter, whose state is the number of letters in its text; keeps the shape of every batch."""

    dim, fingerprint = 1, "recorded"

    def __init__(self, batch: int) -> None:
        super().__init__("cpu", batch)
        self.shapes: list[tuple[int, ...]] = []

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        return [[ord(letter) for letter in text] for text in texts]

    def _states(self, ids_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(ids_BL.shape))
        return mask_BL.sum(dim=1)[:, None, None].expand(*ids_BL.shape, 1)


def test_texts_of_like_length_share_a_batch_and_each_is_read_once() -> None:
    encoder = Recorded(batch=2)
    states = encoder.encode(["four", "a", "three", "to", "six"])
    assert encoder.shapes == [(2, 2), (2, 4), (1, 5)]
    assert [state.tolist() for state in states] == [[[n]] * n for n in (4, 1, 5, 2, 3)]


def test_a_batch_is_one_text_at_least() -> None:
    assert [state.tolist() for state in Recorded(batch=1).encode(["a"])] == [[[1.0]]]
    with pytest.raises(ValueError, match="batch must be at least 1, not 0"):
        Recorded(batch=0)


def test_builtin_states_lead_to_the_embedding_of_open_clip(builtin: TextEncoder) -> None:
    """The last token's state, projected, is what open_clip's own padded text encoding returns."""
    clip = load_clip("builtin")
    expected = clip.model.encode_text(clip.tokenize(TEXTS)).numpy()
    last = np.stack([states[-1] for states in builtin.encode(TEXTS)])
    np.testing.assert_allclose(last @ clip.model.text_projection.numpy(), expected, atol=1e-4)


def test_builtin_is_unpadded_and_cut_at_the_context_length(builtin: TextEncoder) -> None:
    lengths = [len(states) for states in builtin.encode(TEXTS)]
    assert lengths[0] == 2 + len(TEXTS[0].split())  # drawn words are one token each, between start and end
    assert lengths[1] == 2
    assert lengths[4] == 77


def test_special_token_spelled_out_in_a_text_is_plain_text(builtin: TextEncoder) -> None:
    assert len(builtin.encode(["<|end|> a red circle"])[0]) > len(builtin.encode(["a red circle"])[0]) + 1


def test_builtin_states_keep_words_apart_that_no_frame_shows(builtin: TextEncoder) -> None:
    left, right = builtin.encode(["a red circle moves left", "a red circle moves right"])
    direction = slice(-2, -1)
    assert np.allclose(left[:-2], right[:-2], atol=1e-5)  # causal: equal up to the word that differs
    a, b = left[direction].ravel(), right[direction].ravel()
    assert a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) < 0.9


def test_t5_states_equal_the_encoder_run_on_one_text(t5: TextEncoder, t5_folder: Path) -> None:
    reference = T5EncoderModel.from_pretrained(t5_folder).eval()
    text = "a red circle"
    ids = [ord(c) for c in text]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(t5_folder)
    tokens = tokenizer(text, return_tensors="pt")["input_ids"]
    assert tokens.shape[1] == len(ids) + 1  # one a byte, and the end
    with torch.inference_mode():
        expected = reference(input_ids=tokens).last_hidden_state[0].numpy()
    np.testing.assert_allclose(t5.encode([text])[0], expected, atol=1e-5)


def test_umt5_states_equal_the_encoder_run_on_one_text(umt5: TextEncoder) -> None:
    folder = umt5._tokenizer.name_or_path
    reference = UMT5EncoderModel.from_pretrained(folder).eval()
    tokens = PreTrainedTokenizerFast.from_pretrained(folder)("a red circle", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        expected = reference(input_ids=tokens).last_hidden_state[0].numpy()
    np.testing.assert_allclose(umt5.encode(["a red circle"])[0], expected, atol=1e-5)


@pytest.mark.parametrize("part", ["whole", "text tower"])
def test_clip_states_are_those_of_the_text_tower_cut_at_its_context(clip_folder: Path, tmp_path: Path, part: str):
    folder = clip_folder
    if part == "text tower":
        folder = tmp_path
        save_byte_tokenizer(folder, with_end=True)
        CLIPTextModel.from_pretrained(clip_folder).save_pretrained(folder)
    encoder = load_text_encoder(str(folder))
    reference = CLIPTextModel.from_pretrained(clip_folder).eval()
    tokens = PreTrainedTokenizerFast.from_pretrained(clip_folder)("a red circle", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        expected = reference(input_ids=tokens).last_hidden_state[0].numpy()
    np.testing.assert_allclose(encoder.encode(["a red circle"])[0], expected, atol=1e-5)
    assert len(encoder.encode(["x" * 500])[0]) == 40
    assert encoder.dim == text_encoder_spec(str(folder)).width == 24


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_run_in_the_precision_asked_for(name: str, dtype: str, request: pytest.FixtureRequest) -> None:
    exact: TextEncoder = request.getfixturevalue(name)
    source = "builtin" if name == "builtin" else exact._tokenizer.name_or_path
    encoder = load_text_encoder(source, dtype=dtype)
    assert encoder.fingerprint == text_encoder_spec(source, dtype).fingerprint != exact.fingerprint
    for states, expected in zip(encoder.encode(TEXTS), exact.encode(TEXTS), strict=True):
        np.testing.assert_allclose(states, expected, atol=0.02 * np.abs(expected).max())
        assert not np.array_equal(states, expected)


@pytest.fixture(scope="module")
def loud_folder(t5_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny T5 with attention whose sums no float16 can hold; a norm follows, so the states are of order 1."""
    folder = Path(shutil.copytree(t5_folder, tmp_path_factory.mktemp("loud") / "t5"))
    weights = load_file(folder / "model.safetensors")
    name = "encoder.block.0.layer.0.SelfAttention.o.weight"
    weights[name] = weights[name] * 8e4
    assert weights[name].abs().max() < 65504
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_overflow_in_half_precision_is_refused_in_one_line(loud_folder: Path) -> None:
    """transformers clips what overflows, so the states themselves are finite."""
    exact, half = (load_text_encoder(str(loud_folder), dtype=dtype) for dtype in ("bfloat16", "float16"))
    assert np.isfinite(exact.encode(TEXTS)[0]).all()
    with pytest.raises(ValueError, match="the text encoder overflows in float16; run it in bfloat16") as raised:
        half.encode(TEXTS)
    assert "\n" not in str(raised.value)


def test_t5_cuts_at_512_tokens(t5: TextEncoder) -> None:
    assert len(t5.encode(["x" * 5000])[0]) == 512


def test_unknown_name_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no-such-folder"):
        load_text_encoder(str(tmp_path / "no-such-folder"))


def test_fingerprint_follows_the_weights(builtin: TextEncoder, t5: TextEncoder, tmp_path: Path) -> None:
    assert builtin.fingerprint == load_text_encoder(str(BUILTIN_FOLDER)).fingerprint
    assert builtin.fingerprint != t5.fingerprint
    for file in BUILTIN_FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "open_clip_model.safetensors")
    weights["ln_final.bias"] = weights["ln_final.bias"] + 1
    save_file(weights, tmp_path / "open_clip_model.safetensors")
    assert load_text_encoder(str(tmp_path)).fingerprint != builtin.fingerprint


def test_fingerprint_follows_the_precision(t5: TextEncoder, t5_folder: Path) -> None:
    assert TransformersTextEncoder(str(t5_folder)).fingerprint == t5.fingerprint
    assert TransformersTextEncoder(str(t5_folder), dtype="bfloat16").fingerprint != t5.fingerprint


def test_card_is_not_part_of_the_fingerprint(builtin: TextEncoder, tmp_path: Path) -> None:
    for file in BUILTIN_FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "README.md").write_text("another card")
    assert load_text_encoder(str(tmp_path)).fingerprint == builtin.fingerprint
    assert json.loads((tmp_path / "open_clip_config.json").read_text())["model_cfg"]["embed_dim"] == 128
