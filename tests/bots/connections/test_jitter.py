"""Received audio goes on in order and at once; what is lost costs a moment, not the rest of the call."""

from __future__ import annotations

from collections.abc import Iterable

from aiortc import RTCPeerConnection
from aiortc.rtp import RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from pipecat_bots.connections.jitter import MOST_HELD, InOrder, keep_nothing_back


def packet(number: int) -> RtpPacket:
    made = RtpPacket(sequence_number=number % 65536, timestamp=960 * number % 2**32)
    made._data = str(number).encode()  # type: ignore[attr-defined]
    return made


def played(numbers: Iterable[int], buffer: InOrder | None = None) -> list[int | None]:
    """Return what comes out with each packet that goes in."""
    buffer = buffer or InOrder()
    frames = [buffer.add(packet(number))[1] for number in numbers]
    return [int(frame.data) if frame else None for frame in frames]


def test_packets_in_order_are_handed_on_as_they_come() -> None:
    assert played(range(65500, 65600)) == list(range(65500, 65600)), "over the end of the numbers"


def test_two_packets_that_changed_places_are_put_in_order() -> None:
    assert played([1, 3, 2, 4]) == [1, None, 2, 3]


def test_a_lost_packet_is_waited_for_briefly_and_leaves_no_more_than_that_behind() -> None:
    out = played([1, *range(3, 500)])
    assert out[: MOST_HELD + 2] == [1, *[None] * MOST_HELD, 3]
    assert out[-1] == 499 - MOST_HELD


def test_many_losses_add_up_to_no_more_delay_than_one() -> None:
    numbers = [number for number in range(3000) if number % 10]
    behind = [number - out for number, out in zip(numbers, played(numbers), strict=True) if out is not None]
    assert max(behind[100:]) <= MOST_HELD + 1


def test_a_packet_that_comes_too_late_or_twice_is_left_out() -> None:
    assert played([1, 3, 4, 5, 2, 6, 6, 7]) == [1, None, None, 3, 4, 5, 6, 7]


def test_a_sender_that_begins_anew_is_followed_at_once() -> None:
    assert played([5, 6, 30000, 30001, 3, 4]) == [5, 6, 30000, 30001, 3, 4]


@given(st.permutations(range(8)), st.sets(st.integers(0, 60)))
def test_what_comes_out_is_in_order_and_holds_what_came_in_order(first: list[int], lost: set[int]) -> None:
    numbers = [1000, *(1001 + n for n in first), *(n for n in range(1009, 1100) if n - 1009 not in lost)]
    out = [number for number in played(numbers) if number is not None]
    assert out == sorted(set(out))
    assert set(range(1075, 1095)) <= set(out), "order has been restored long since"


async def test_connections_use_it_for_audio_alone() -> None:
    keep_nothing_back()
    connection = RTCPeerConnection()
    audio, video = (connection.addTransceiver(kind).receiver for kind in ("audio", "video"))
    assert isinstance(audio._RTCRtpReceiver__jitter_buffer, InOrder)
    assert not isinstance(video._RTCRtpReceiver__jitter_buffer, InOrder)
    await connection.close()
