"""One WebSocket kept connected for as long as the bot runs, whatever becomes of its server."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextlib import AsyncExitStack, suppress
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from loguru import logger
from pipecat.services.websocket_service import WebsocketService
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.protocol import State

from nemotron_speech.caller_log import SESSION
from nemotron_speech.errors import BadRequest, Full, PeerError
from pipecat_bots.connections.backoff import LEAST_WAIT_S, Backoff
from pipecat_bots.connections.outage import Dependent, Notice, Server, full, not_answering, reason_of, refused
from pipecat_bots.connections.waiting_line import line_to

STABLE_S = 1.0
"""A connection that lived this long worked; a shorter one counts as a failed attempt."""
GREETING_TIMEOUT_S = 5.0
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

_FAILURES = (OSError, TimeoutError, WebSocketException, PeerError)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class KeepConnected(Dependent, WebsocketService):
    """The retry policy of this project's WebSocket services: at once, then after 0.25 s to 3 s, for ever.

    Every 0.25 s while somebody waits (`is_awaited`). Pipecat's own policy gives up after three attempts and
    leaves the service unusable.
    """

    def __init__(self, *, url: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._url = url
        self.session_id = ""
        """Id of the session, told to the server for its log; empty for none."""
        self._link: asyncio.Task[None] | None = None
        self._backoff = Backoff()
        self._wanted = asyncio.Event()
        self._attempted = asyncio.Event()
        self._resting = False
        self._line = line_to(url)

    # ------------------------------------------------------------------------ what a service fills in

    @abstractmethod
    async def _greet(self, websocket: ClientConnection) -> None:
        """Begin the protocol on a new connection. Raises when the server does not take part."""

    @abstractmethod
    async def _on_message(self, message: str | bytes) -> None:
        """Act on one message of the server. Raises PeerError."""

    @abstractmethod
    async def _on_connected(self) -> None:
        """Do what waited for the connection."""

    @abstractmethod
    async def _on_lost(self) -> None:
        """Settle what will not be answered on the connection that ended."""

    @property
    def is_awaited(self) -> bool:
        """True if somebody waits for the connection now, so that it is tried often."""
        return False

    # ---------------------------------------------------------------------------------- the connection

    @property
    def _socket(self) -> ClientConnection | None:
        """The connection if it is up."""
        websocket = self._websocket
        return websocket if websocket is not None and websocket.state is State.OPEN else None

    @property
    def is_connected(self) -> bool:
        """True if the server has accepted this service."""
        return self._socket is not None

    async def _send(self, message: str | bytes) -> bool:
        """Send if the connection is up; whether it was. A lost one is the link's business."""
        if (websocket := self._socket) is None:
            return False
        try:
            await websocket.send(message)
        except ConnectionClosed:
            return False
        return True

    async def _connected_soon(self, within_s: float) -> bool:
        """Return whether the connection is up, after at most one more attempt."""
        if self._socket is not None:
            return True
        self._attempted.clear()
        self._wanted.set()
        try:
            await asyncio.wait_for(self._attempted.wait(), within_s)
        except TimeoutError:
            return False
        return self._socket is not None

    async def rest(self) -> None:
        """Give the place at the server back until `resume`: nobody is there who needs it."""
        self._resting = True
        if self._link is not None:
            await self._disconnect()

    async def resume(self) -> None:
        """Connect again after a rest; what was not answered is said again."""
        if self._resting:
            self._resting = False
            await self._connect()

    async def _connect(self) -> None:
        if self._resting:
            return
        await super()._connect()
        if self._link is None:
            self._link = self.create_task(self._keep_connected(), name="link")

    async def _disconnect(self) -> None:
        await super()._disconnect()
        link, self._link = self._link, None
        if link is not None:
            await self.cancel_task(link)
        await self._disconnect_websocket()

    async def _connect_websocket(self) -> None:
        proxy = None if urlsplit(self._url).hostname in _LOOPBACK else True
        websocket = await self._websocket_connect(
            self._address,
            max_size=MAX_MESSAGE_BYTES,
            compression=None,
            proxy=proxy,
            open_timeout=GREETING_TIMEOUT_S,
        )
        async with AsyncExitStack() as unless_greeted:
            unless_greeted.push_async_callback(websocket.close)
            async with asyncio.timeout(GREETING_TIMEOUT_S):
                await self._greet(websocket)
            unless_greeted.pop_all()
        self._websocket = websocket

    @property
    def _address(self) -> str:
        """URL of the server, with the session that calls it."""
        if not self.session_id:
            return self._url
        parts = urlsplit(self._url)
        query = "&".join(filter(None, (parts.query, urlencode({SESSION: self.session_id}))))
        return urlunsplit(parts._replace(query=query))

    async def _disconnect_websocket(self) -> None:
        websocket, self._websocket = self._websocket, None
        if websocket is not None:
            await websocket.close()

    async def _receive_messages(self) -> None:
        websocket = self._websocket
        assert websocket is not None
        async for message in websocket:
            await self._on_message(message)

    # ----------------------------------------------------------------------------------------- the link

    async def _keep_connected(self) -> None:
        try:
            while True:
                failure = await self._attempt()
                if failure is None:
                    self._line.leave(self)
                    failure = await self._use()
                if failure is None:
                    continue
                await self._report_failure(failure)
                await self._wait()
        finally:
            self._line.leave(self)

    async def _attempt(self) -> Exception | None:
        self._wanted.clear()
        try:
            await self._connect_websocket()
        except _FAILURES as error:
            return error
        finally:
            self._attempted.set()
        return None

    async def _use(self) -> Exception | None:
        """Serve the connection until it ends; the failure it counts as, None to reconnect at once."""
        clock = asyncio.get_running_loop()
        began = clock.time()
        settled = self.create_task(self._settle(), name="settle")
        failure: Exception = ConnectionError("the server closed the connection")
        try:
            await self._call_event_handler("on_connected")
            await self._on_connected()
            await self._receive_messages()
        except _FAILURES as error:
            failure = error
        finally:
            await self.cancel_task(settled)
            websocket = self._websocket
            await self._disconnect_websocket()
        # Where it stays lost, the outage is reported; a connection that is back at once is no news.
        logger.debug(f"{self}: lost the {self._server.name} at {self._server.address}: {failure}")
        await self._on_lost()
        await self._call_event_handler("on_disconnected")
        if websocket is not None and websocket.close_code == Full.close_code:
            return Full("no free place")
        return None if clock.time() - began >= STABLE_S else failure

    async def _settle(self) -> None:
        """Call the outage over once the connection has proved itself."""
        if self.outage is not None and self.outage.level == "warning":
            await asyncio.sleep(STABLE_S)
        await self._report_recovery()
        self._backoff.succeeded()

    async def _report_failure(self, failure: Exception) -> None:
        if _is_full(failure):
            notice = full(self._server, self._line.join(self))
        else:
            self._line.leave(self)
            notice = _notice_of(failure, self._server)
        await self._report_outage(notice, reason_of(failure))

    async def _wait(self) -> None:
        """Wait before the next attempt: for one's turn where others wait for a place as well."""
        while self._line.place_of(self) > 1:
            await self._line.move()
            self._backoff.succeeded()
            await self._report_outage(full(self._server, self._line.place_of(self)), "the line has moved")
        wait_s = self._backoff.wait_s(self.is_awaited)
        await asyncio.sleep(LEAST_WAIT_S)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wanted.wait(), wait_s - LEAST_WAIT_S)


class ConnectionRefused(PeerError):
    """The server takes no part in what this bot wants of it, such as a language that it does not speak."""


def _notice_of(failure: Exception, server: Server) -> Notice:
    match failure:
        case ConnectionRefused():
            return refused(server, str(failure))
        case ConnectionClosed(rcvd=close) if close is not None and close.code == BadRequest.close_code:
            return refused(server, close.reason)
    return not_answering(server)


def _is_full(failure: Exception) -> bool:
    match failure:
        case Full():
            return True
        case InvalidStatus():
            return failure.response.status_code == 503
        case ConnectionClosed(rcvd=close) if close is not None:
            return close.code == Full.close_code
    return False
