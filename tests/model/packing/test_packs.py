"""A pack holds every document whole, with its times, clean frames, timestep and text."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.packing.packs import CONDITIONS, Document, LoneFrame, clip_tokens, pack_documents, packing_order
from model.packing.patches import kept_shape, kept_tokens, patchify
from model.packing.tokens import Kind

IMAGE = Document(torch.randn(16, 1, 2, 4), torch.zeros(1, 1, 1, dtype=torch.bool), 0.3, 2.0, None)
CLIP = Document(torch.randn(16, 3, 4, 4), torch.tensor([True, False, False]).view(3, 1, 1), 0.7, 2.0, torch.randn(5, 8))


def test_documents_follow_one_another():
    pack = pack_documents([IMAGE, CLIP, IMAGE], (1, 2, 2), text_dim=8)
    assert pack.table.lengths == [2, 12, 2]
    assert pack.table.text_lengths == (0, 5, 0)
    assert pack.table.seconds_N.tolist() == [0.0] * 2 + [0.0] * 4 + [0.5] * 4 + [1.0] * 4 + [0.0] * 2
    assert pack.clean_N.tolist() == [False] * 2 + [True] * 4 + [False] * 10
    assert torch.equal(pack.tokens_NP[2:14], patchify(CLIP.latent_CTHW, (1, 2, 2)))
    assert torch.equal(pack.timestep_B, torch.tensor([0.3, 0.7, 0.3]))
    assert torch.equal(pack.text_ME, CLIP.text_LE)


def test_coordinates_name_document_frame_row_and_column():
    pack = pack_documents([IMAGE, CLIP], (1, 2, 2), text_dim=8)
    expected = [(0, 0, 0, x) for x in range(2)]
    expected += [(1, t, y, x) for t in range(3) for y in range(2) for x in range(2)]
    assert list(map(tuple, pack.table.coordinates_N4.tolist())) == expected


def test_a_token_of_several_frames_is_clean_only_if_all_of_them_are():
    clip = Document(torch.randn(16, 4, 2, 2), torch.tensor([True, True, True, False]).view(4, 1, 1), 0.7, 2.0, None)
    pack = pack_documents([clip], (2, 2, 2), text_dim=8)
    assert pack.clean_N.tolist() == pack.table.clean_N.tolist() == [True, False]
    assert pack.table.seconds_N.tolist() == [0.0, 1.0]
    assert pack.text_ME.shape == (0, 8)


def test_a_pack_moves_with_all_its_tensors():
    pack = pack_documents([CLIP], (1, 2, 2), text_dim=8).to("meta")
    tensors = (pack.tokens_NP, pack.given_NP, pack.conditions_BK, pack.timestep_B, pack.text_ME)
    assert all(tensor.device.type == "meta" for tensor in tensors)
    assert pack.table.lengths == [12]


def test_latents_of_one_shape_come_together_in_the_order_given():
    shapes = [(16, 3, 4, 4), (16, 1, 4, 4), (16, 3, 4, 4), (16, 1, 4, 4)]
    assert packing_order(shapes) == [1, 3, 0, 2]


def test_a_frame_on_its_own_follows_its_clip_at_its_time_and_is_given():
    frame = LoneFrame(torch.randn(16, 4, 4), 0.9)
    pack = pack_documents([replace(CLIP, frames=(frame,)), IMAGE], (1, 2, 2), text_dim=8)
    of_frame = slice(12, 16)
    assert pack.table.lengths == [16, 2]
    assert pack.table.kind_N.tolist() == [Kind.CLIP] * 12 + [Kind.FRAME] * 4 + [Kind.CLIP] * 2
    assert pack.table.place_N3[of_frame].tolist() == [[2, 0, 0], [2, 0, 1], [2, 1, 0], [2, 1, 1]]
    assert pack.table.seconds_N[of_frame].tolist() == pytest.approx([0.9] * 4)
    assert pack.given_NP[of_frame].all()
    assert torch.equal(pack.tokens_NP[of_frame], patchify(frame.latent_CHW[:, None], (1, 2, 2)))
    assert clip_tokens(pack).tolist() == [*range(12), 16, 17]
    late = pack_documents([replace(CLIP, frames=(replace(frame, seconds=9.0),))], (1, 2, 2), text_dim=8)
    assert late.table.place_N3[of_frame, 0].tolist() == [2] * 4


@pytest.mark.parametrize(("shape", "seconds"), [((16, 2, 4), 0.5), ((8, 4, 4), 0.5), ((16, 4, 4), -0.5)])
def test_a_frame_that_is_none_of_its_clip_is_refused(shape, seconds):
    with pytest.raises(ValueError, match="is none of a latent of"):
        pack_documents([replace(CLIP, frames=(LoneFrame(torch.zeros(shape), seconds),))], (1, 2, 2), text_dim=8)


def test_what_is_told_of_a_document_follows_from_its_latent_or_is_given():
    pack = pack_documents([replace(CLIP, told={"label": 3.0})], (1, 2, 2), text_dim=8)
    told = dict(zip(CONDITIONS, pack.conditions_BK[0].tolist(), strict=True))
    assert {name: told[name] for name in ("height", "width", "frame_rate", "duration", "label")} == {
        **{"height": 2.0, "width": 2.0, "frame_rate": 2.0, "duration": 1.5, "label": 3.0}
    }
    assert np.isnan(told["motion"])


def test_frames_that_are_left_out_have_no_tokens_and_the_others_keep_their_times() -> None:
    kept = torch.tensor([True, False, True])
    document = replace(CLIP, kept_N=kept_tokens(kept, CLIP.latent_CTHW.shape, (1, 2, 2)))
    pack, whole = (pack_documents([one, IMAGE], (1, 2, 2), text_dim=8) for one in (document, CLIP))
    assert pack.table.lengths == [8, 2]
    rows = [*range(4), *range(8, 14)]
    assert torch.equal(pack.tokens_NP, whole.tokens_NP[rows])
    assert torch.equal(pack.given_NP, whole.given_NP[rows])
    assert pack.table.place_N3.tolist() == whole.table.place_N3[rows].tolist()
    assert pack.table.seconds_N.tolist() == whole.table.seconds_N[rows].tolist()
    torch.testing.assert_close(pack.conditions_BK, whole.conditions_BK, equal_nan=True)


def test_values_at_the_tokens_of_a_document_come_back_with_zeros_where_there_are_none() -> None:
    """Frames stay where any of their patch does."""
    kept, shape = torch.tensor([False, False, False, True]), (16, 4, 4, 4)
    clip = replace(CLIP, latent_CTHW=torch.randn(shape), kept_N=kept_tokens(kept, shape, (2, 2, 2)))
    tokens = clip.tokens(clip.latent_CTHW, (2, 2, 2))
    assert torch.equal(tokens, patchify(clip.latent_CTHW, (2, 2, 2))[4:])
    back = clip.values(tokens, (2, 2, 2))
    assert torch.equal(back[:, 2:], clip.latent_CTHW[:, 2:])
    assert not back[:, :2].any()
    assert kept_shape(kept, shape, (2, 2, 2)) == (16, 2, 4, 4)
    assert torch.equal(CLIP.values(CLIP.tokens(CLIP.latent_CTHW, (1, 2, 2)), (1, 2, 2)), CLIP.latent_CTHW)
