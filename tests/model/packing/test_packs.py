"""A pack holds every document whole, with its times, clean frames, timestep and text."""

import torch

from model.packing.packs import Document, pack_documents, packing_order
from model.packing.patches import patchify

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
    assert pack.clean_N.tolist() == [True, False]
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
