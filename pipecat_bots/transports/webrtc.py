"""Presence of a WebRTC caller: from the offer to the connection, and later while nothing comes.

An offer is not a call yet: it may never connect. And a call is over long before ICE says so, half a minute
after the last packet, when a browser was killed or its network is gone. Nothing that others may need is held
for either.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import Enum, auto
from typing import Protocol

from aiortc import RTCPeerConnection
from aiortc.stats import RTCTransportStats
from loguru import logger

CONNECT_S = 30.0
"""Longest time an offer may take to connect, in seconds. Candidates by name (mDNS) alone take up to 14 s."""
LOOK_S = 0.5
QUIET_S = 3.0
"""Seconds without a packet until a caller counts as away: a page sends a ping and 50 of sound each second."""


class Connection(Protocol):
    """Pipecat's WebRTC connection, as far as it is needed here."""

    @property
    def pc(self) -> RTCPeerConnection: ...
    async def disconnect(self) -> None: ...


async def connected(connection: Connection, within_s: float = CONNECT_S) -> bool:
    """Wait until the caller of an offer is there; whether it came. One that does not is given up."""
    peer, settled = connection.pc, asyncio.Event()

    def look() -> None:
        if peer.connectionState in ("connected", "failed", "closed"):
            settled.set()

    peer.on("connectionstatechange", look)
    look()
    try:
        async with asyncio.timeout(within_s):
            await settled.wait()
    except TimeoutError:
        logger.info(f"an offer did not connect within {within_s:.0f} s")
        await connection.disconnect()
    finally:
        peer.remove_listener("connectionstatechange", look)
    return peer.connectionState == "connected"


class Line(Enum):
    """State of a caller's line: packets come, or none do."""

    ALIVE = auto()
    QUIET = auto()


class LineWatch:
    """Notice when nothing comes from a caller any more, and when something does again.

    Args:
        received: How many packets have come so far; None while that is not known.
        changed: Told of each change.
    """

    def __init__(
        self, received: Callable[[], Awaitable[int | None]], changed: Callable[[Line], Awaitable[None]]
    ) -> None:
        self._received = received
        self._changed = changed
        self._line = Line.ALIVE
        self._packets: int | None = None
        self._news_at = 0.0

    async def run(self) -> None:
        """Watch until cancelled."""
        clock = asyncio.get_running_loop()
        self._news_at = clock.time()
        while True:
            await asyncio.sleep(LOOK_S)
            await self._look(clock.time())

    async def _look(self, now: float) -> None:
        packets = await self._received()
        if packets != self._packets:
            self._packets, self._news_at = packets, now
            await self._turn(Line.ALIVE)
        elif packets is not None and now - self._news_at >= QUIET_S:
            await self._turn(Line.QUIET)

    async def _turn(self, line: Line) -> None:
        if line is not self._line:
            self._line = line
            await self._changed(line)


def packets_of(connection: Connection) -> Callable[[], Awaitable[int | None]]:
    """Return what counts the packets of every kind (sound, messages, reports) that came over a connection."""

    async def received() -> int | None:
        stats = (await connection.pc.getStats()).values()
        counts = {each.id: each.packetsReceived for each in stats if isinstance(each, RTCTransportStats)}
        return sum(counts.values()) if counts else None

    return received


@asynccontextmanager
async def watched(connection: Connection, changed: Callable[[Line], Awaitable[None]]) -> AsyncIterator[None]:
    """Watch the line of a connected caller while the context lasts."""
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(LineWatch(packets_of(connection), changed).run())
        yield
        watch.cancel()
