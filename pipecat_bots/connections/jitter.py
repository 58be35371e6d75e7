"""Jitter buffer for received WebRTC audio: no delay at all, unless a packet is missing.

aiortc releases an audio packet when four more have come, and one that is lost fills its buffer of sixteen for
the rest of the call: 80 ms, then 300 ms, between the user's voice and the bot (docs/decisions/jitter.md).
"""

from __future__ import annotations

from aiortc import rtcrtpreceiver
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtp import RtpPacket
from aiortc.utils import uint16_add

MOST_HELD = 2
"""Most packets that wait for one before them; then that one counts as lost."""
_ANOTHER_STREAM = 100
"""A packet so far from the one expected begins a new sequence."""


class InOrder:
    """Hands a packet of audio on as soon as it is its turn. Has the interface of aiortc's buffer."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._held: dict[int, RtpPacket] = {}

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Take a packet; return False (no picture is to be asked for again) and the frame that is next."""
        if self._next is None or _distance(self._next, packet.sequence_number) >= _ANOTHER_STREAM:
            self._next = packet.sequence_number
            self._held.clear()
        if uint16_add(packet.sequence_number, -self._next) < _ANOTHER_STREAM:
            self._held[packet.sequence_number] = packet
        return False, self._take()

    def _take(self) -> JitterFrame | None:
        assert self._next is not None
        if self._next not in self._held and len(self._held) > MOST_HELD:
            expected = self._next
            self._next = min(self._held, key=lambda number: uint16_add(number, -expected))
        packet = self._held.pop(self._next, None)
        if packet is None:
            return None
        self._next = uint16_add(self._next, 1)
        return JitterFrame(packet._data, packet.timestamp)  # type: ignore[attr-defined]


def _distance(one: int, other: int) -> int:
    return min(uint16_add(one, -other), uint16_add(other, -one))


def _buffer(capacity: int, prefetch: int = 0, is_video: bool = False) -> JitterBuffer | InOrder:
    return JitterBuffer(capacity, prefetch, is_video) if is_video else InOrder()


def keep_nothing_back() -> None:
    """Have the connections made from now on use `InOrder` for audio."""
    rtcrtpreceiver.JitterBuffer = _buffer  # type: ignore[assignment, misc]
