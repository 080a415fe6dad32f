"""What the graph of latents calls: released clips in, latents written where they are made. No Ray here.

Frames are read beside the codec, in an isolated process and ahead of it, and do not leave the process that encodes
them. Clips of one video are read together, so that it is opened once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from model.codec.spec import CodecPlan, CodecSpec
from pipeline.decode.clip_frames import Clip, SampledClip, VideoClips, sample_video
from pipeline.encode.ahead import MadeAhead
from pipeline.encode.latents import FAILED, OK, LatentEncoder, LatentPlan, OutOfRange, TooManyTokens, as_half, plan_clip
from pipeline.ingest.failures import Failure
from pipeline.store.dataset import Dataset
from pipeline.store.part_writer import PartWriter
from pipeline.store.retrying import failure_columns
from pipeline.store.run_statistics import Reporter, timed, timed_items
from schemas import LATENTS
from schemas.identity import bytes_digest
from schemas.recipe.encode import EncodeConfig
from schemas.recipe.limits import LimitsConfig

AT_HAND_BYTES = 64 << 20
"""Pixels of the clips that are decoded ahead or being encoded: a choice. What is more than the codec's next clip only
evens out how long videos take to open."""


@dataclass(frozen=True)
class DecodedClip:
    """A clip or one frame of it, what is encoded of it, and its frames or why there are none."""

    clip: Clip
    plan: LatentPlan | None
    """None if it is too long to be encoded, and so was not read."""
    sampled: SampledClip

    @property
    def num_bytes(self) -> int:
        return self.sampled.frames.nbytes

    @property
    def sizes(self) -> CodecPlan:
        """Of a clip that is to be encoded."""
        assert self.plan is not None
        return self.plan.codec


def longest_alike(decoded: Sequence[DecodedClip]) -> list[int]:
    """Places of the clips of that size, of those at hand, which has the most pixels; or of one without frames."""
    for place, one in enumerate(decoded):
        if one.sampled.failure is not None:
            return [place]
    largest = max(decoded, key=lambda one: math.prod(one.sizes.encoded)).sizes
    return [place for place, one in enumerate(decoded) if one.sizes == largest]


class LatentWriting:
    """Loads the codec once; encodes the clips of videos and writes their latents in parts of a fair size."""

    def __init__(
        self,
        dataset: Dataset,
        config: EncodeConfig,
        codec: CodecSpec,
        limits: LimitsConfig,
        report: Reporter,
        device: str = "cpu",
    ) -> None:
        self._config, self._codec, self._limits, self._report = config, codec, limits, report
        self.encoder = LatentEncoder(config, device)
        self._table = LATENTS.within(self.encoder.fingerprint)
        self._writer = PartWriter(dataset, [self._table])
        self._writer.__enter__()

    def write(self, videos: Iterable[Sequence[Clip]]) -> None:
        """Encode the clips of each video; all latents are written when this returns.

        Args:
            videos: of each the latents that are wanted, those of one clip together; its frames are decoded once.
        """
        with MadeAhead(self._decoded(videos), lambda one: one.num_bytes, AT_HAND_BYTES) as ahead:
            while decoded := ahead.take(self._next):
                with timed(self._report, "latents") as work:
                    rows = self._rows(decoded)
                    self._writer.add({self._table: LATENTS.unstamped(rows)})
                    work.rows = len(rows)
                    for row in rows:
                        work.num_bytes += len(row["data"] or b"")
                        work.count("latents " + row["status"])
                        work.count("positions", row["num_positions"] or 0)
        self._writer.flush()

    def _next(self, decoded: Sequence[DecodedClip]) -> list[int]:
        alike = longest_alike(decoded)
        first = decoded[alike[0]]
        return alike if first.sampled.failure else alike[: self.encoder.clips_at_once(first.sizes)]

    def _decoded(self, videos: Iterable[Sequence[Clip]]) -> Iterator[DecodedClip]:
        for rows in videos:
            planned: list[tuple[Sequence[Clip], Sequence[LatentPlan]]] = []
            for _, of_clip in groupby(rows, key=lambda row: row["clip_id"]):
                wanted = list(of_clip)
                try:
                    planned.append((wanted, [plan_clip(row, self._config, self._codec) for row in wanted]))
                except TooManyTokens as error:
                    failure = Failure("too_many_tokens", str(error))
                    for row in wanted:
                        yield DecodedClip(row, None, SampledClip(np.empty(0, np.uint8), [], failure))
            if not planned:
                continue
            clips = [wanted[0] for wanted, _ in planned]
            samplings = [[plan.sampling for plan in plans] for _, plans in planned]
            video = VideoClips(rows[0]["uri"], bool(rows[0].get("regular")), clips, samplings)
            for number, sampled in timed_items(self._report, "frames", sample_video(self._limits, video)):
                for row, plan, frames in zip(*planned[number], sampled, strict=True):
                    yield DecodedClip(row, plan, frames)

    def _rows(self, decoded: Sequence[DecodedClip]) -> list[dict[str, Any]]:
        """Rows of clips of one plan, or of one without frames."""
        failure = decoded[0].sampled.failure
        if failure is not None:
            return [self._failed(one.clip, f"frames: {failure}", transient=failure.transient) for one in decoded]
        try:
            latents = self.encoder([one.sampled.frames for one in decoded], decoded[0].sizes)
        except MemoryError as error:
            return [self._failed(one.clip, str(error), transient=True) for one in decoded]
        return [self._row(one, latent) for one, latent in zip(decoded, latents, strict=True)]

    def _row(self, encoded: DecodedClip, latent: np.ndarray) -> dict[str, Any]:
        plan = encoded.plan
        assert plan is not None
        try:
            half = as_half(latent, "a latent")
        except OutOfRange as error:
            return self._failed(encoded.clip, str(error), transient=False)
        data = half.tobytes()
        return self._known(encoded.clip) | {
            "status": OK,
            "dtype": half.dtype.name,
            "shape": list(half.shape),
            "num_positions": math.prod(half.shape[1:]),
            "valid": list(plan.codec.valid),
            "times_us": list(plan.sampling.times_us),
            "fps": self._config.fps,
            "data_hash": bytes_digest(data),
            "data": data,
        }

    def _failed(self, clip: Clip, why: str, *, transient: bool) -> dict[str, Any]:
        failed = failure_columns(why, clip["failures"], self._limits.max_failures, transient=transient)
        return self._known(clip) | {"status": FAILED, "reason": failed.pop("failure"), **failed}

    def _known(self, clip: Clip) -> dict[str, Any]:
        """The key of a clip's row, and no value yet."""
        key = {"clip_id": clip["clip_id"], "transform": clip["transform"], "encoder": self.encoder.fingerprint}
        key |= {"frame": clip.get("frame")}
        return dict.fromkeys(LATENTS.schema.names) | key
