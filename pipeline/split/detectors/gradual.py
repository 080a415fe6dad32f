"""Where a stream may dissolve or fade: spans over which one picture turns evenly into another.

In a dissolve every frame is a mixture of both ends, in proportion to its place (the linear model of Hanjalic 2002,
doi:10.1109/76.988656). Under motion it is not, and this shows most on pictures so coarse that small objects and
textures vanish. So the test is made on coarse pictures too. Also, more changes across a transition than just before or
after it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.split.detectors.thumbnails import Recent, Thumbnail


@dataclass(frozen=True)
class GradualConfig:
    """Changes are means over luma and chroma, of 255. Tuned on composed edits of seed 1000 (tests/bench/shots.py)."""

    half_spans: tuple[int, ...] = (3, 6, 12)
    """Half the lengths, in frames, of the spans that are tested; a longer transition is even over a part as well."""
    min_change: float = 8.0
    """Between the coarse pictures at both ends, if they have full contrast; less, in proportion, if they have less."""
    full_contrast: float = 128.0
    """Levels between the darkest and the brightest parts of both ends."""
    least_contrast: float = 32.0
    """Flatter pictures are judged as those."""
    max_bend: float = 0.4
    """Mean distance of the frames within from the mixtures of both ends, as a share of the change."""
    max_coarse_bend: float = 0.3
    min_ratio: float = 2.5
    """Change across the span over that of as many frames before it or after it, whichever is less."""

    @property
    def reach(self) -> int:
        """How many frames on either side of a span's centre are needed."""
        return 3 * max(self.half_spans)


NOISE = 0.5
"""Added to a change before dividing by it, of 255."""


def even_change(recent: Recent, centre: int, half: int, config: GradualConfig) -> bool:
    """Whether frames `centre - half` to `centre + half` may be part of a dissolve or a fade."""
    before, after = recent[centre - half], recent[centre + half]
    change = before.change(after)  # coarse pictures differ by even less
    if change < config.min_change * config.least_contrast / config.full_contrast:
        return False
    darkest, brightest = zip(before.luma_range, after.luma_range, strict=True)
    contrast = min(max(max(brightest) - min(darkest), config.least_contrast), config.full_contrast)
    min_change = config.min_change * contrast / config.full_contrast
    if change < min_change:
        return False
    inner = (-(half // 2), 0, half // 2)
    shares = [(half + place) / (2 * half) for place in inner]
    within = [recent[centre + place] for place in inner]
    if _bend(before, after, within, shares) > config.max_bend:
        return False
    before, after = before.coarse, after.coarse
    change = before.change(after)
    if change < min_change:
        return False
    if _bend(before, after, [frame.coarse for frame in within], shares) > config.max_coarse_bend:
        return False
    earlier = recent[centre - 3 * half].coarse.change(before)
    later = after.change(recent[centre + 3 * half].coarse)
    return change >= config.min_ratio * min(earlier, later)


def _bend(before: Thumbnail, after: Thumbnail, within: list[Thumbnail], shares: list[float]) -> float:
    bends = [frame.bend(before, after, share) for frame, share in zip(within, shares, strict=True)]
    return sum(bends) / len(bends) / (before.change(after) + NOISE)
