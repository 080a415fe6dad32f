"""CoCa's words: the pooled frames and the sentence are those of open_clip's own network, whoever else is described."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model.readers.coca import (
    Coca,
    drawn,
    frame_tokens,
    likeliest,
    load_coca,
    pooled,
    pooled_with_summary,
    sentences,
    start_decoder,
    write,
)
from tests.model.readers.small_coca import save_small_coca, small_coca

PICTURES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
START, END = 1, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coca")
    save_small_coca(folder)
    return folder


@pytest.fixture(scope="module")
def coca(folder: Path) -> Coca:
    return load_coca(str(folder))


def frames(seed: int, num_frames: int = 2, width: int = 40, height: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)


def test_one_frame_is_pooled_as_open_clip_pools_it(coca: Coca) -> None:
    latent, tokens = coca.model._encode_image(PICTURES, normalize=False)
    summary, seen = pooled_with_summary(coca.model, frame_tokens(coca.model, PICTURES)[:, None])
    torch.testing.assert_close(seen, tokens)
    torch.testing.assert_close(summary, latent)


def test_frames_are_pooled_together(coca: Coca) -> None:
    """A frame shown twice says no more than once, the order says nothing, and another frame changes what is seen."""
    first, second, _ = frame_tokens(coca.model, PICTURES)[:, None]

    def seen(*tokens: torch.Tensor) -> torch.Tensor:
        return pooled(coca.model, torch.stack(tokens, dim=1))

    torch.testing.assert_close(seen(first, first), seen(first))
    torch.testing.assert_close(seen(first, second), seen(second, first))
    assert (seen(first, second) - seen(first)).abs().max() > 1e-3


def test_words_are_the_likeliest_of_the_whole_network_at_every_place(coca: Coca) -> None:
    words = coca.describe([frames(0, num_frames=1)], 12, [likeliest])[0]
    pixels = coca.pixels(frames(0, num_frames=1))
    ids = torch.tensor([[coca.start, *words.ids]])
    logits = coca.model(pixels, ids, output_labels=False)["logits"][0]
    logits[:, coca.start] = -torch.inf
    assert logits.argmax(-1)[:12].tolist() == words.ids
    assert words.cut


def test_each_row_stops_at_its_own_end() -> None:
    """The end mark is made the likeliest after so many words, by the choice: rows are alone as they are in company."""
    model, _ = small_coca()
    model.eval()
    seen = pooled(model, frame_tokens(model, PICTURES)[:, None])

    def ending_after(count: int):
        said = iter(range(100))
        return lambda logits: END if next(said) == count else likeliest(logits)

    with torch.inference_mode():
        together = write(model, seen, START, END, 9, [ending_after(count) for count in (4, 0, 20)])
        alone = [write(model, seen[i : i + 1], START, END, 9, [ending_after(n)])[0] for i, n in enumerate((4, 0, 20))]
    assert together == alone
    assert [(len(words.ids), words.cut) for words in together] == [(4, False), (0, False), (9, True)]


def test_the_start_mark_is_never_said_again(coca: Coca) -> None:
    scores: list[list[float]] = []

    def least_likely(logits: torch.Tensor) -> int:
        scores.append(logits.tolist())
        return int(logits.nan_to_num(neginf=torch.inf).argmin())

    coca.describe([frames(0)], 3, [least_likely])
    assert [[word for word, score in enumerate(row) if score == -np.inf] for row in scores] == [[coca.start]] * 3


def test_marks_are_not_read_out(coca: Coca) -> None:
    words = [10, 20]
    assert coca.decode([coca.start, *words, coca.end]) == coca.decode(words) != ""


def test_a_model_without_a_decoder_is_refused() -> None:
    with pytest.raises(ValueError, match="'builtin' is no CoCa"):
        load_coca("builtin")


def test_a_fresh_decoder_keeps_the_variance_of_what_it_projects() -> None:
    """Over 32 channels the deviation is 1 / sqrt(32)."""
    model, _ = small_coca()
    torch.manual_seed(0)
    start_decoder(model)
    weight = model.get_parameter("text_decoder.text_projection").detach()
    assert weight.std().item() == pytest.approx(32**-0.5, rel=0.05)


def test_no_more_words_than_the_context_holds(coca: Coca) -> None:
    (words,) = coca.describe([frames(0)], 1000, [likeliest])
    assert (len(words.ids), words.cut) == (coca.model.context_length, True)


def test_draws_follow_the_softmax_and_their_seed() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -torch.inf])
    counts = np.bincount([drawn(2.0, seed)(logits) for seed in range(4000)], minlength=4)
    expected = torch.softmax(logits / 2.0, 0)
    np.testing.assert_allclose(counts / 4000, expected, atol=0.03)
    assert [drawn(2.0, 7)(logits) for _ in range(5)] == [drawn(2.0, 7)(logits)] * 5


def test_company_changes_no_draw(coca: Coca) -> None:
    clips = [frames(seed, num_frames) for seed, num_frames in enumerate((1, 3, 2))]
    together = coca.describe(clips, 10, [drawn(1.0, seed) for seed in range(3)])
    assert [coca.describe([clip], 10, [drawn(1.0, i)])[0] for i, clip in enumerate(clips)] == together
    assert coca.describe(clips, 10, [drawn(1.0, seed + 9) for seed in range(3)]) != together


def test_pictures_go_through_the_checkpoints_own_transform(coca: Coca) -> None:
    shown = frames(3, num_frames=1, width=200, height=90)
    torch.testing.assert_close(coca.pixels(shown)[0], coca.transform(Image.fromarray(shown[0])))
    assert coca.pixels(shown).shape == (1, 3, 64, 64)


def test_open_clips_own_tokenizer_is_read_too(tmp_path: Path) -> None:
    save_small_coca(tmp_path, vocab_size=49408, context_length=16, hf_tokenizer_name=None)
    coca = load_coca(str(tmp_path))
    assert (coca.start, coca.end) == (49406, 49407)
    import open_clip

    ids = open_clip.get_tokenizer("coca_ViT-L-14")(["A dog runs. It barks!"])[0].tolist()
    words = ids[1 : ids.index(coca.end)]
    assert sentences(coca.decode(words)) == "A dog runs. It barks!"
    assert len(coca.describe([frames(0)], 5, [likeliest])[0].ids) == 5


def test_a_network_of_lower_precision_describes(folder: Path) -> None:
    half = load_coca(str(folder), dtype=torch.bfloat16)
    assert len(half.describe([frames(0), frames(1)], 4, [likeliest] * 2)[1].ids) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a man riding a wave . ", "A man riding a wave."),
        ("a dog , a cat .  they play !", "A dog, a cat. They play!"),
        ("évora at 3.5 km", "Évora at 3.5 km"),
        ("", ""),
    ],
)
def test_capitals_and_spacing_come_back(text: str, said: str) -> None:
    assert sentences(text) == said
