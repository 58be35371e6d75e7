"""A channel over a WebSocket that aiohttp accepted: messages are handed on inside the socket's callback.

aiohttp answers the upgrade; then this protocol takes the transport over and reads it (`websocket_reader.py`),
so that a message costs no task a wake-up and a caller that sends too fast is slowed down by not being read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import NoReturn

from aiohttp import web
from loguru import logger

from nemotron_speech.caller_log import about, caller_of
from nemotron_speech.errors import TooLarge
from nemotron_speech.protocol.wire import MAX_AUDIO_BYTES, MAX_TEXT_BYTES
from nemotron_speech.serving.channel import ChannelClosed, HalfClosed, Room, Take
from nemotron_speech.serving.frames import BINARY, CLOSE, PING, PONG, TEXT, plain_frame
from nemotron_speech.serving.websocket_reader import FrameReader, Violation

LIMITS = {TEXT: MAX_TEXT_BYTES, BINARY: MAX_AUDIO_BYTES}
"""Bytes of a message."""
VERSION = "13"
_MAX_WAITING_BYTES = 64 * 1024
"""Bytes of messages that wait for a busy conversation before its socket is read no more."""
_PROBES_S = (0.0, 0.1, 0.5)
"""Seconds after a caller has closed its half at which a ping tests whether it still reads."""
_CLOSE_TIMEOUT_S = 5.0
"""Longest wait for a caller's answer to a close frame, in seconds."""
_CLOSE_UNHEARD_TIMEOUT_S = 1.0
"""Seconds to close on a caller that sent too large a message: its answer would be behind that message."""


class WebSocketChannel(asyncio.Protocol):
    """One caller's WebSocket."""

    def __init__(self, request: web.Request, transport: asyncio.Transport) -> None:
        self.query: Mapping[str, str] = request.query
        self.caller = caller_of(self.query)
        """Id of the caller in the log."""
        self._http = request.protocol
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(self._message_came, self._control_came, LIMITS)
        self._waiting: deque[str | bytes] = deque()
        self._waiting_bytes = 0
        self._take: Take | None = None
        self._failure: Exception | None = None
        self._news: asyncio.Future[None] | None = None
        self._closing = False
        self._reading = True
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()
        self._at_end = False
        """True if the caller has closed its half of the connection."""
        self._heard = True

    @classmethod
    async def accept(cls, request: web.Request) -> tuple[WebSocketChannel, web.WebSocketResponse]:
        """Accept the upgrade and take its transport over. Raises HTTPException, ConnectionError.

        The response is for aiohttp's handler to return, once the channel is closed.
        """
        response = web.WebSocketResponse(compress=False)
        if not response.can_prepare(request).ok:
            raise UpgradeRequired("this address speaks WebSocket; see docs/protocols.md")
        if request.headers.get("Sec-WebSocket-Version") != VERSION:
            raise UpgradeRequired(f"this address speaks version {VERSION} of WebSocket")
        await response.prepare(request)  # comes back in the same turn of the loop: no frame is lost
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the caller has gone")
        channel = cls(request, transport)
        transport.set_protocol(channel)
        return channel, response

    @property
    def gone(self) -> bool:
        return self._closing or self._at_end

    # --------------------------------------------------------------------------------- to hear

    async def receive(self) -> str | bytes:
        """Return the next message. Raises ChannelClosed."""
        while not self._waiting:
            await self._more()
        return self._next()

    async def listen(self, take: Take, room: Room) -> NoReturn:
        """Give `take` every message in the socket's callback. Raises ChannelClosed, what `take` raises."""
        try:
            while True:
                self._take = take
                while self._waiting and self._take:
                    self._give(self._next())
                while self._take:
                    await self._more()
                if self._failure is not None:
                    raise self._failure
                await room()
        finally:
            self._take = None

    def _give(self, message: str | bytes) -> None:
        """Give a message to who listens; where that does not go on, stop giving."""
        assert self._take is not None
        try:
            if self._take(message):
                return
        except Exception as error:  # noqa: BLE001  it ends the conversation, not the socket's callback
            self._failure = error
        self._take = None
        self._tell()

    async def _more(self) -> None:
        """Return when there may be something new. Raises ChannelClosed, HalfClosed."""
        if self._failure is not None:
            raise self._failure
        if self._closing:
            raise ChannelClosed
        if self._at_end:
            raise HalfClosed
        self._read(True)
        self._news = self._loop.create_future()
        await self._news

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _next(self) -> str | bytes:
        message = self._waiting.popleft()
        self._waiting_bytes -= len(message)
        return message

    def _read(self, on: bool) -> None:
        if on != self._reading:
            self._reading = on
            with suppress(RuntimeError):  # the transport is closing
                (self._transport.resume_reading if on else self._transport.pause_reading)()

    # -------------------------------------------------------------------------------- to speak

    def offer(self, message: str | bytes) -> bool:
        """Write a message unless the caller reads too slowly for it; writes of one turn leave together."""
        if self._closing or not self._writable.is_set():
            return False
        self._write(message)
        return True

    async def send(self, message: str | bytes) -> None:
        """Write a message when the caller has read enough of those before. Raises ChannelClosed."""
        await self._writable.wait()
        if self._closing:
            raise ChannelClosed
        self._write(message)

    def _write(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self._transport.write(plain_frame(message.encode(), TEXT))
        else:
            self._transport.write(plain_frame(message, BINARY))

    async def close(self, code: int, reason: str) -> None:
        """Say good-bye, wait a while for the answer, and hang up."""
        if not self._closing:
            self._transport.write(plain_frame(code.to_bytes(2) + reason.encode(), CLOSE))
            self._end()
            if self._at_end:
                self._transport.close()  # it cannot answer; what was written still goes out
            with suppress(TimeoutError):
                unheard = isinstance(self._failure, TooLarge)
                async with asyncio.timeout(_CLOSE_UNHEARD_TIMEOUT_S if unheard else _CLOSE_TIMEOUT_S):
                    await self._lost.wait()
        self.hang_up()

    def hang_up(self) -> None:
        """Cut the connection, if there still is one."""
        if not self._lost.is_set():
            self._transport.abort()

    async def watch(self, heartbeat_s: float) -> None:
        """Ping a caller that is silent, and hang up on one that stays so; until cancelled.

        Looks twice in a heartbeat at whether anything came, which costs nothing per message.
        """
        pinged = False
        while True:
            await asyncio.sleep(heartbeat_s / 2)
            silent = self._reading and not self._heard
            self._heard = False
            if silent and pinged:
                logger.info("a caller answers no ping")
                return self.hang_up()
            if pinged := silent:
                self._transport.write(plain_frame(b"", PING))

    # ---------------------------------------------------------------------- from the transport

    def data_received(self, data: bytes) -> None:
        self._heard = True
        try:
            self._reader.feed(data)
        except Violation as error:
            self._broken(error)
        except TooLarge as error:  # the conversation answers, and ends
            self._failure, self._take = error, None
            self._tell()

    def _message_came(self, message: str | bytes) -> None:
        if self._take is not None:
            self._give(message)
        elif not self._closing:
            self._keep(message)

    def _control_came(self, kind: int, data: bytes) -> None:
        if kind == PING:
            self._transport.write(plain_frame(data, PONG))
        elif kind == CLOSE:
            self._good_bye(data)

    def _keep(self, message: str | bytes) -> None:
        self._waiting.append(message)
        self._waiting_bytes += len(message)
        if self._waiting_bytes > _MAX_WAITING_BYTES:
            self._read(False)
        self._tell()

    def _good_bye(self, answer: bytes) -> None:
        """Take in the caller's close frame: a good-bye, or an answer to ours."""
        if not self._closing:
            self._transport.write(plain_frame(answer, CLOSE))
            self._end()
        self._transport.close()

    def _broken(self, error: Violation) -> None:
        """Say what is wrong with the frame that came, and hang up."""
        if not self._closing:
            with about(self.caller):  # the socket's callback is no part of the conversation's task
                logger.info("closing a caller that breaks the WebSocket protocol: {}", error)
            self._transport.write(
                plain_frame(error.close_code.to_bytes(2) + str(error).encode()[:120], CLOSE)
            )
            self._end()
        self._transport.close()

    def _end(self) -> None:
        """End both directions and wake their waiters. Messages that wait already may still be taken."""
        self._closing = True
        self._read(True)
        self._writable.set()
        self._tell()

    def eof_received(self) -> bool:
        """Note that the caller has closed its half: it may still wait for an answer."""
        self._at_end = True
        self._tell()
        for delay_s in _PROBES_S:
            self._loop.call_later(delay_s, self._probe)
        return not self._closing

    def _probe(self) -> None:
        """Tell a caller that has closed its half from one that is gone: its system resets what is sent to it.

        Nothing is read any more, so the reset of one ping is seen when the next one is written.
        """
        if not self._closing:
            self._transport.write(plain_frame(b"", PING))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self._lost.set()
        self._http.connection_lost(exc)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()


class UpgradeRequired(web.HTTPUpgradeRequired):
    """The request is no WebSocket of the version that is spoken here."""

    def __init__(self, message: str) -> None:
        super().__init__(
            text=f"{message}\n", headers={"Sec-WebSocket-Version": VERSION, "Upgrade": "websocket"}
        )
