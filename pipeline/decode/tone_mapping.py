"""HDR to SDR: what a PQ or HLG picture looks like on an ordinary screen, so that models and measures see one world.

Light in nits is taken relative to reference white (203 nits, ITU-R BT.2408), brought to the primaries of BT.709, and
compressed above half of white by an extended Reinhard curve (Reinhard et al. 2002, eq. 4) which reaches white at 1,000
nits. The curve acts on the largest of the three colours and scales all of them, which keeps the hue.
"""

from __future__ import annotations

from functools import cache

import numpy as np

PQ, HLG = 16, 18
"""Codes of the two HDR transfer functions (ITU-T H.273, table 3)."""
BT2020 = 9
"""Code of the primaries of BT.2020 (ITU-T H.273, table 2)."""
WHITE_NITS, PEAK_NITS = 203.0, 1000.0
KNEE = 0.5
"""Light up to this share of reference white stays as it is."""
SDR_GAMMA = 2.4
"""Of a reference screen (ITU-R BT.1886)."""
BT2020_TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)
"""Linear light (ITU-R BT.2087, annex)."""
HLG_GAMMA = 1.2
"""System gamma of a screen of 1,000 nits (ITU-R BT.2100)."""
LEVELS = 4096


def is_hdr(transfer: int) -> bool:
    """Whether a transfer function is one of HDR."""
    return transfer in (PQ, HLG)


def to_sdr(rgb: np.ndarray, transfer: int, primaries: int = BT2020) -> np.ndarray:
    """Tone-map a picture.

    Args:
        rgb: (..., 3) float in [0, 1], as coded by the transfer function.
    Returns:
        (..., 3) uint8 RGB of BT.709, full range.
    """
    light = _light(transfer)[np.clip(rgb * (LEVELS - 1) + 0.5, 0, LEVELS - 1).astype(np.int32)]
    if transfer == HLG:
        scene = light @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        light = light * np.maximum(scene, 1e-6)[..., None] ** (HLG_GAMMA - 1) * (PEAK_NITS / WHITE_NITS)
    if primaries == BT2020:
        light = np.maximum(light @ BT2020_TO_BT709.T, 0)
    largest = light.max(axis=-1, keepdims=True)
    light = light * (_compressed(largest) / np.maximum(largest, 1e-6))
    return (np.clip(light, 0, 1) ** (1 / SDR_GAMMA) * 255 + 0.5).astype(np.uint8)


@cache
def luma_curve(transfer: int) -> np.ndarray:
    """What becomes of the luma of greys: by 10-bit limited-range code, the 8-bit limited-range code, (1024,) uint8."""
    grey = np.clip((np.arange(1024) - 64) / 876, 0, 1).astype(np.float32)
    mapped = to_sdr(np.repeat(grey[:, None], 3, axis=1), transfer)[:, 0]
    return np.round(16 + mapped * (219 / 255)).astype(np.uint8)


@cache
def _light(transfer: int) -> np.ndarray:
    """Light by code value, (LEVELS,) float32: PQ in units of reference white, HLG as scene light in [0, 1]."""
    code = np.linspace(0, 1, LEVELS)
    if transfer == PQ:  # SMPTE ST 2084, the constants of ITU-R BT.2100
        m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
        root = code ** (1 / m2)
        return (10_000 / WHITE_NITS * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073  # ARIB STD-B67, inverse OETF
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12).astype(np.float32)


def _compressed(light: np.ndarray) -> np.ndarray:
    most = (PEAK_NITS / WHITE_NITS - KNEE) / (1 - KNEE)
    above = np.clip((light - KNEE) / (1 - KNEE), 0, most)
    return np.where(light <= KNEE, light, KNEE + (1 - KNEE) * above * (1 + above / most**2) / (1 + above))
