"""Guidance extrapolates from the answer without text through the one with it."""

import torch

from model.diffusion.guidance import guide


def test_guidance_extrapolates():
    conditional, unconditional = torch.randn(2, 5)
    assert torch.equal(guide(conditional, unconditional, 0.0), unconditional)
    torch.testing.assert_close(guide(conditional, unconditional, 1.0), conditional)
    torch.testing.assert_close(guide(conditional, unconditional, 3.0), 3 * conditional - 2 * unconditional)
