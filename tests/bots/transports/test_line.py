"""Presence of a caller: an offer that connects or not, and a line on which nothing comes any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiortc import RTCPeerConnection
from aiortc.rtcconfiguration import RTCConfiguration

from pipecat_bots.transports.webrtc import CONNECT_S, LOOK_S, QUIET_S, Line, LineWatch, connected
from tests.virtual_time import virtual_time


class Offer:
    """A connection whose state the test decides."""

    def __init__(self) -> None:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.given_up = False
        self.state = "new"
        type(self.pc).connectionState = property(lambda _: self.state)  # type: ignore[method-assign]

    def becomes(self, state: str) -> None:
        self.state = state
        self.pc.emit("connectionstatechange")

    async def disconnect(self) -> None:
        self.given_up = True


def with_states(test: Callable[[Offer], object]) -> Callable[[], None]:
    """Run a test on an offer, with aiortc's own property put back behind it."""
    own = RTCPeerConnection.connectionState

    @virtual_time
    async def run() -> None:
        try:
            await test(Offer())  # type: ignore[misc]
        finally:
            RTCPeerConnection.connectionState = own  # type: ignore[method-assign]

    run.__name__ = test.__name__
    return run


@with_states
async def test_a_caller_who_is_there_already_is_not_waited_for(offer: Offer) -> None:
    offer.state = "connected"
    assert await connected(offer)
    assert asyncio.get_running_loop().time() == 0


@with_states
async def test_a_caller_is_waited_for(offer: Offer) -> None:
    asyncio.get_running_loop().call_later(1, offer.becomes, "connecting")
    asyncio.get_running_loop().call_later(14, offer.becomes, "connected")
    assert await connected(offer)
    assert not offer.given_up
    assert not offer.pc.listeners("connectionstatechange")


@with_states
async def test_an_offer_that_fails_is_no_call(offer: Offer) -> None:
    asyncio.get_running_loop().call_later(2, offer.becomes, "failed")
    assert not await connected(offer)
    assert asyncio.get_running_loop().time() == 2


@with_states
async def test_an_offer_that_never_connects_is_given_up(offer: Offer) -> None:
    assert not await connected(offer)
    assert offer.given_up
    assert asyncio.get_running_loop().time() == CONNECT_S


class Watched:
    """A line on which packets come as the test says; what was noticed, and when."""

    def __init__(self) -> None:
        self.packets: int | None = None
        self.noticed: list[tuple[float, Line]] = []
        self.watch = LineWatch(self._received, self._changed)

    async def _received(self) -> int | None:
        return self.packets

    async def _changed(self, line: Line) -> None:
        self.noticed.append((asyncio.get_running_loop().time(), line))

    async def for_seconds(self, seconds: float, *, packets: int) -> None:
        for _ in range(round(seconds / 0.1)):
            self.packets = (self.packets or 0) + packets
            await asyncio.sleep(0.1)


@virtual_time
async def test_a_line_is_quiet_after_three_seconds_and_alive_with_the_next_packet() -> None:
    line = Watched()
    watching = asyncio.create_task(line.watch.run())
    await line.for_seconds(5, packets=5)
    assert line.noticed == []
    await line.for_seconds(6, packets=0)
    ((at, noticed),) = line.noticed
    assert noticed is Line.QUIET
    assert QUIET_S <= at - 5 <= QUIET_S + 2 * LOOK_S
    await line.for_seconds(1, packets=1)
    assert [noticed for _, noticed in line.noticed] == [Line.QUIET, Line.ALIVE]
    watching.cancel()


@virtual_time
async def test_nothing_is_concluded_while_nothing_is_counted() -> None:
    line = Watched()
    watching = asyncio.create_task(line.watch.run())
    await asyncio.sleep(20)
    assert line.noticed == []
    watching.cancel()
