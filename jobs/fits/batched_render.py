"""Synthetic clips by the thousand, in torch: the pictures of `pipeline.synthetic.render`, made where they are used.

A scene becomes a few numbers on a CPU (`plan`): the affine map of each frame, which sprite, which pattern. Pixels are
made from them in one go for a whole batch (`draw`): 64 clips of 17 frames, 96 x 64, in 4 ms on an H200.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from itertools import product

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.synthetic.render import (
    SPRITE_PX,
    background_gain,
    camera_map,
    canvas_to_world,
    draw_sprite,
    placement,
    speckle_cells,
)
from pipeline.synthetic.world import BACKGROUND_COLOURS, COLOURS, LIGHTS, PATTERNS, SHAPES, TEXTURES, Scene, Thing

REDUCED = 4
"""Sprites are drawn from pictures reduced so far, as `render` does at these sizes."""
MAX_SIDE_PX = 150
"""Of the shorter side: larger frames would show sprites at more than half of their size, which are drawn otherwise."""
MAX_THINGS = 2


@dataclass(frozen=True)
class Plan:
    """What the pictures of B clips of T frames are made from. Maps are (2, 3): from pixels of the frame to those of
    the source."""

    canvas_maps: np.ndarray
    """(B, T, 2, 3) float32, to the canvas behind the objects."""
    sprite_maps: np.ndarray
    """(B, MAX_THINGS, T, 2, 3) float32, to the reduced sprite of each object."""
    sprites: np.ndarray
    """(B, MAX_THINGS) int64: which sprite; -1 for none."""
    colours: np.ndarray
    """(B, 3) float32, of the ground."""
    patterns: np.ndarray
    """(B,) int64, as numbered in `PATTERNS`."""
    cells: np.ndarray
    """(B, rows, columns) float32: the speckles of the ground, 1 where bright."""
    lights: np.ndarray
    """(B,) float32."""
    size: tuple[int, int]
    """Width and height."""


def plan(scenes: Sequence[Scene], width: int, height: int, num_frames: int) -> Plan:
    """What `draw` needs to know of scenes, for clips of `num_frames` evenly spaced frames.

    Raises:
        ValueError: the frame is larger than `MAX_SIDE_PX`.
    """
    if min(width, height) > MAX_SIDE_PX:
        raise ValueError(f"the shorter side may have {MAX_SIDE_PX} px, got {width} x {height}")
    positions = [0.5] if num_frames == 1 else [i / (num_frames - 1) for i in range(num_frames)]
    B = len(scenes)
    offset = canvas_to_world(width, height)
    reduce = np.diag([float(REDUCED), float(REDUCED), 1.0])
    canvas = np.empty((B, num_frames, 3, 3))
    things = np.tile(np.eye(3), (B, MAX_THINGS, num_frames, 1, 1))
    sprites = np.full((B, MAX_THINGS), -1, np.int64)
    for i, scene in enumerate(scenes):
        for t, u in enumerate(positions):
            camera = camera_map(scene, width, height, u)
            canvas[i, t] = camera @ offset
            for k, thing in enumerate(scene.things):
                things[i, k, t] = camera @ placement(thing, width, height, u) @ reduce
        for k, thing in enumerate(scene.things):
            sprites[i, k] = _sprite_index(thing)
    return Plan(
        np.linalg.inv(canvas)[..., :2, :].astype(np.float32),
        np.linalg.inv(things)[..., :2, :].astype(np.float32),
        sprites,
        np.array([BACKGROUND_COLOURS[s.background] for s in scenes], np.float32),
        np.array([PATTERNS.index(s.pattern) for s in scenes], np.int64),
        np.stack([speckle_cells(s.seed, width, height) for s in scenes]).astype(np.float32),
        np.array([LIGHTS[s.light] for s in scenes], np.float32),
        (width, height),
    )


def draw(planned: Plan, device: str | torch.device = "cpu") -> Tensor:
    """The clips of a plan, (B, 3, T, H, W) float32 of whole grey levels in [0, 255]."""
    on = {f.name: torch.from_numpy(getattr(planned, f.name)).to(device) for f in fields(Plan) if f.name != "size"}
    width, height = planned.size
    frames = _sampled(_canvas(planned, on), on["canvas_maps"], width, height).round()
    atlas = _atlas(str(device))
    for k in range(MAX_THINGS):
        who = torch.from_numpy(np.flatnonzero(planned.sprites[:, k] >= 0)).to(device)
        if len(who):
            seen = _sampled(atlas[on["sprites"][who, k]], on["sprite_maps"][who, k], width, height).round()
            alpha = seen[:, 3:] / 255
            frames[who] = (frames[who] * (1 - alpha) + seen[:, :3] * alpha + 0.5).floor()
    return (frames * on["lights"].view(-1, 1, 1, 1, 1)).floor()


def _canvas(planned: Plan, on: dict[str, Tensor]) -> Tensor:
    """What is behind the objects, (B, 3, h, w)."""
    fixed = torch.from_numpy(_gains(*planned.size)).to(on["cells"])
    gain_BHW = fixed[on["patterns"]]
    who = torch.from_numpy(np.flatnonzero(planned.patterns == PATTERNS.index("speckled"))).to(fixed.device)
    if len(who):
        sizes = zip(fixed.shape[1:], on["cells"].shape[1:], strict=True)
        rows, columns = (_nearest(big, small) for big, small in sizes)
        cells = on["cells"][who][:, rows.to(fixed.device)][:, :, columns.to(fixed.device)]
        gain_BHW[who] = torch.where(cells > 0, 1.45, 0.85)
    return (on["colours"][:, :, None, None] * gain_BHW[:, None]).clamp(0, 255).floor()


@cache
def _gains(width: int, height: int) -> np.ndarray:
    """The patterns that no seed changes, (len(PATTERNS), h, w); speckles are left out."""
    plain = background_gain("plain", width, height)
    return np.stack([plain if p == "speckled" else background_gain(p, width, height) for p in PATTERNS])


def _nearest(num_out: int, num_in: int) -> Tensor:
    """The sources of `cv2.INTER_NEAREST`."""
    return (torch.arange(num_out) * (num_in / num_out)).floor().long()


def _sampled(source_BCHW: Tensor, maps_BT23: Tensor, width: int, height: int) -> Tensor:
    """Bilinear samples at the mapped pixels of each frame, 0 beyond the source: (B, C, T, height, width)."""
    B, C, source_height, source_width = source_BCHW.shape
    T = maps_BT23.shape[1]
    ys, xs = torch.meshgrid(
        torch.arange(height, device=source_BCHW.device, dtype=torch.float32),
        torch.arange(width, device=source_BCHW.device, dtype=torch.float32),
        indexing="ij",
    )
    pixels = torch.stack([xs.flatten(), ys.flatten(), torch.ones_like(xs.flatten())])
    places = (maps_BT23 @ pixels).transpose(2, 3)  # (B, T, H*W, 2) as x, y
    size = torch.tensor([source_width - 1, source_height - 1], device=source_BCHW.device)
    grid = (2 * places / size - 1).reshape(B, T * height, width, 2)
    sampled = F.grid_sample(source_BCHW, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return sampled.view(B, C, T, height, width)


_LOOKS = tuple(product(SHAPES, TEXTURES, COLOURS))


def _sprite_index(thing: Thing) -> int:
    return _LOOKS.index((thing.shape, thing.texture, thing.colour))


@cache
def _atlas(device: str) -> Tensor:
    """Every sprite, reduced: (number, 4, SPRITE_PX / REDUCED, SPRITE_PX / REDUCED)."""
    pictures = [
        cv2.resize(
            draw_sprite(Thing(shape, colour, texture=texture)),
            (SPRITE_PX // REDUCED, SPRITE_PX // REDUCED),
            interpolation=cv2.INTER_AREA,
        )
        for shape, texture, colour in _LOOKS
    ]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().to(device)
