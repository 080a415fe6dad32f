"""The clock of a video: microseconds of presentation time from its first presented frame, whatever its container says.

Packets come with the container's times. Where a container may start its clock again (transport streams, Ogg), a jump is
taken out as the ffmpeg program does it: the packet follows the one before. Where it gives no presentation times at all
(AVI, ASF), frames are shown in the order in which they leave the decoder, each at the next of the decoding times.
"""

from __future__ import annotations

import heapq

import av.container
import av.format
import av.packet
import av.video.frame
import av.video.stream

MICROSECONDS = 1_000_000
NOMINAL_FPS = 25.0
"""Frame rate assumed for a stream that declares none and whose frames carry no time."""
JUMP_S, BACK_S = 10, 0.1
"""A packet this much later than expected, or earlier than the last one, follows a jump of the container's clock
(ffmpeg's `-dts_delta_threshold`, and its tolerance backwards)."""
WITHOUT_PRESENTATION_TIMES = frozenset({"avi", "asf"})


def declared_rate(stream: av.video.stream.VideoStream) -> float:
    """Frames a second by the container; NOMINAL_FPS if it does not say."""
    return float(stream.average_rate or NOMINAL_FPS)


class Clock:
    """Times of frames in the order of presentation, strictly increasing.

    Args:
        first_us: the container's time of the first presented frame, if it is known: for a reader that starts later.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.video.stream.VideoStream,
        first_us: int | None = None,
    ) -> None:
        flags, unit = container.format.flags, stream.time_base
        self._usual_us = round(MICROSECONDS / declared_rate(stream))
        self._may_jump = bool(flags & av.format.Flags.ts_discont.value)
        self._by_decoding_time = container.format.name in WITHOUT_PRESENTATION_TIMES
        self._unit = (unit.numerator, unit.denominator) if unit else (1, MICROSECONDS)
        self._jumped = 0
        self._last_dts: int | None = None
        self._expected_dts = 0
        self._waiting: list[int] = []
        self.first_us = first_us
        self.latest_us: int | None = None
        self.num_corrected = 0
        """Frames so far whose time is not the container's."""

    def enter(self, packet: av.packet.Packet) -> None:
        """Take note of a packet before it is decoded; its times are corrected if the container's clock has jumped."""
        if packet.dts is not None and self._may_jump:
            self._follow(packet)
        if self._by_decoding_time and packet.size and packet.dts is not None:
            heapq.heappush(self._waiting, packet.dts)

    def refuse(self, packet: av.packet.Packet) -> None:
        """Take note that a packet did not decode."""
        if self._by_decoding_time and packet.dts in self._waiting:
            self._waiting.remove(packet.dts)
            heapq.heapify(self._waiting)

    def read(self, frame: av.video.frame.VideoFrame) -> tuple[int, int]:
        """Presentation time and duration of the next frame, in microseconds."""
        duration_us = self._to_us(frame.duration) if frame.duration else self._usual_us
        ticks = frame.pts
        if self._by_decoding_time:
            ticks = heapq.heappop(self._waiting) if self._waiting else None
        time_us = None if ticks is None else self._to_us(ticks)
        if time_us is not None and self.first_us is None:
            self.first_us = time_us if self.latest_us is None else time_us - self.latest_us - duration_us
        time_us = None if time_us is None else time_us - (self.first_us or 0)
        is_next = time_us is not None and (self.latest_us is None or time_us > self.latest_us)
        self.num_corrected += not is_next or self._by_decoding_time or bool(self._jumped)
        if time_us is None or not is_next:
            time_us = 0 if self.latest_us is None else self.latest_us + duration_us
        self.latest_us = time_us
        return time_us, duration_us

    def to_ticks(self, time_us: int) -> int:
        """A time of this clock in the stream's time base, as seeking takes it."""
        return divided((time_us + (self.first_us or 0)) * self._unit[1], self._unit[0] * MICROSECONDS)

    def time_of(self, ticks: int) -> int:
        """A presentation time in the stream's time base by this clock."""
        return self._to_us(ticks) - (self.first_us or 0)

    def _follow(self, packet: av.packet.Packet) -> None:
        dts = (packet.dts or 0) + self._jumped
        if self._last_dts is not None:
            ahead_us = self._to_us(dts - self._expected_dts)
            if abs(ahead_us) > JUMP_S * MICROSECONDS or self._to_us(dts - self._last_dts) < -BACK_S * MICROSECONDS:
                self._jumped += self._expected_dts - dts
                dts = self._expected_dts
        if self._jumped:
            packet.pts = None if packet.pts is None else packet.pts + self._jumped
            packet.dts = dts
        usual = divided(self._usual_us * self._unit[1], self._unit[0] * MICROSECONDS)
        self._last_dts, self._expected_dts = dts, dts + (packet.duration or usual)

    def _to_us(self, ticks: int) -> int:
        return divided(ticks * self._unit[0] * MICROSECONDS, self._unit[1])


def divided(number: int, by: int) -> int:
    """The nearest integer to a quotient, halves to even, like `round` of a Fraction but ten times as fast."""
    whole, rest = divmod(number, by)
    return whole + (2 * rest > by or (2 * rest == by and whole % 2))
