"""The default detector: cheap comparisons decide what is clearly a cut or clearly not; TransNet V2 decides the rest.

A cut is a change between two frames that stands out from the changes around it, covers much of the picture, and lasts.
Motion does not stand out, an object that appears covers little, a flash does not last. Where nothing else changes, a
small change that lasts is a cut too: the next slide. A change that stands out less is a cut only if TransNet agrees.

Where one picture turns evenly into another (`gradual.py`), TransNet decides whether it is a dissolve or a fade, and
where it begins and ends.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np

from pipeline.decode.frame import StreamFrame
from pipeline.split.detectors.detector import Transition
from pipeline.split.detectors.gradual import GradualConfig, even_change
from pipeline.split.detectors.nomination import Nominations
from pipeline.split.detectors.thumbnails import Recent, Thumbnail
from pipeline.split.detectors.transnet import TransNetConfig, transitions

NEAR_FRAMES, FAR_FRAMES = 4, 12
"""A cut must stand out from the changes of NEAR_FRAMES frames on either side. Where it does, but as much changes on
both sides within FAR_FRAMES, frames may be held (animation, a low frame rate in a higher one): TransNet is asked."""
APART_FRAMES = (0, 2, 5)
"""How far from a cut, on either side, the two pictures must still differ: longer than a flash of four frames."""
RECENT_FRAMES = 320
"""Frames kept for TransNet: a nominated span, the frames that it needs around it, and the delay until it is scored."""
BRIEF_FRAMES = 6
"""A gradual transition no longer than this that holds a plain cut is that cut."""


@dataclass(frozen=True)
class CascadeConfig:
    """Changes are means over luma and chroma, of 255.

    Tuned on composed edits of seed 1000 and on the real videos of the bench (tests/bench/shots.py).
    """

    min_change: float = 4.0
    """A smaller change is no cut, except in a still picture."""
    sure_ratio: float = 1.75
    """A plain cut changes this many times as much as any frame near it. In footage whose frames are partly dropped or
    doubled, motion reaches 1.7."""
    possible_ratio: float = 1.3
    """From this ratio TransNet is asked."""
    noise: float = 0.3
    """Added to the changes around: what grain and compression change in a still picture."""
    spread_level: int = 8
    min_spread: float = 0.2
    """Share of the picture that a plain cut changes by more than `spread_level`. Objects that appear reach 0.18."""
    possible_spread: float = 0.35
    """The same for a possible cut, which TransNet is asked about."""
    still_level: float = 3.0
    """A picture is still while no value changes by more than this."""
    still_change: float = 1.0
    still_spread: float = 0.06
    """Least change from one slide to the next; the most similar ones in the real videos change a tenth of the
    picture."""
    gradual_every: int = 3
    """Gradual transitions are searched for at every so many frames."""
    agreement: float = 0.3
    """TransNet's probability from which a possible cut is one."""
    gradual: GradualConfig = GradualConfig()
    net: TransNetConfig = TransNetConfig(within=0.4)
    """Where the picture turns evenly, lower probabilities are enough than for TransNet alone."""


class CascadeDetector:
    """Keeps RECENT_FRAMES thumbnails of a few kilobytes and some numbers a frame."""

    def __init__(self, config: CascadeConfig = CascadeConfig()) -> None:
        self._config = config
        self._recent = Recent(RECENT_FRAMES)
        self._nominations = Nominations(self._recent)
        self._change, self._greatest = array("f"), array("f")
        self._cuts: list[int] = []
        self._possible_cuts: list[int] = []
        self._gradual: list[tuple[int, int]] = []

    @property
    def num_nominated(self) -> int:
        """Frames that TransNet has scored."""
        return self._nominations.num_scored

    @property
    def asked(self) -> list[tuple[int, int]]:
        """Ranges [first, end) of frames that TransNet has judged."""
        return self._nominations.asked

    def push(self, frame: StreamFrame) -> None:
        thumbnail = Thumbnail.of(frame)
        before = self._recent[self._recent.num_frames - 1] if self._recent.num_frames else thumbnail
        self._recent.append(thumbnail)
        self._change.append(thumbnail.change(before))
        self._greatest.append(thumbnail.greatest_change(before))
        self._judge(self._recent.num_frames - 1)

    def finish(self) -> list[Transition]:
        num_frames = self._recent.num_frames
        for index in range(num_frames, num_frames + self._delay):
            self._judge(index)
        self._nominations.finish()
        middle, within = self._nominations.scores()
        return self._merged(middle, within)

    @property
    def _delay(self) -> int:
        return max(FAR_FRAMES, self._config.gradual.reach)

    def _judge(self, now: int) -> None:
        """Judge the frames whose surroundings are complete once frame `now` is there."""
        cut, centre = now - FAR_FRAMES, now - self._delay
        num_frames = self._recent.num_frames
        if 0 < cut < num_frames:
            self._judge_cut(cut)
        if 0 <= centre < num_frames and centre % self._config.gradual_every == 0:
            self._judge_gradual(centre)
        self._nominations.close_before(centre - max(self._config.gradual.half_spans))

    def _judge_cut(self, cut: int) -> None:
        config, change = self._config, self._change[cut]
        near = max(_around(self._change, cut, NEAR_FRAMES))
        if change < config.still_change or change <= near:
            return
        before, after = self._recent[cut - 1], self._recent[cut]
        stays = min(self._recent[cut - 1 - a].change(self._recent[cut + b]) for a in APART_FRAMES for b in APART_FRAMES)
        spread = after.spread(before, config.spread_level)
        if max(_around(self._greatest, cut, FAR_FRAMES)) <= config.still_level:
            if stays >= config.still_change and spread >= config.still_spread:
                self._cuts.append(cut)
            return
        ratio = stays / (near + config.noise)
        repeats = change < config.possible_ratio * min(_around(self._change, cut, FAR_FRAMES))
        if change < config.min_change or ratio < config.possible_ratio:
            return
        if ratio >= config.sure_ratio and spread >= config.min_spread and not repeats:
            self._cuts.append(cut)
        elif spread >= config.possible_spread:
            self._possible_cuts.append(cut)
            self._nominations.add(cut - FAR_FRAMES, cut + FAR_FRAMES)

    def _judge_gradual(self, centre: int) -> None:
        for half in self._config.gradual.half_spans:
            if even_change(self._recent, centre, half, self._config.gradual):
                self._gradual.append((centre - half, centre + half))
                self._nominations.add(centre - half, centre + half + 1)

    def _merged(self, middle: np.ndarray, within: np.ndarray) -> list[Transition]:
        """Plain cuts, possible cuts that TransNet confirms, and its gradual transitions where one was nominated."""
        cuts = [
            *self._cuts,
            *(cut for cut in self._possible_cuts if middle[max(cut - 2, 0) : cut + 1].max() >= self._config.agreement),
        ]
        gradual = [
            found
            for found in transitions(middle, within, self._config.net)
            if found.kind == "gradual"
            and any(first < found.end and found.first <= last for first, last in self._gradual)
            and not (found.end - found.first <= BRIEF_FRAMES and any(found.first <= c <= found.end for c in self._cuts))
        ]
        alone = [Transition(cut, cut) for cut in cuts if not any(g.first <= cut <= g.end for g in gradual)]
        return sorted([*gradual, *alone])


def _around(values: array, index: int, reach: int) -> tuple[float, float]:
    """The greatest value within `reach` before and after, without the first frame, which has nothing to differ from."""
    before, after = values[max(index - reach, 1) : index], values[index + 1 : index + reach + 1]
    return max(before, default=0.0), max(after, default=0.0)
