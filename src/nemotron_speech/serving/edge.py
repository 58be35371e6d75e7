"""The edge of a speech server: conversations with callers, and the shells (aiohttp, ASGI) that carry them.

A conversation is `async converse(channel)`. It knows no web framework: a shell opens a channel, runs the
conversation, and turns the one error that may leave it into a message and a close code.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from aiohttp import WSCloseCode, web
from loguru import logger

from nemotron_speech import caller_log
from nemotron_speech.errors import Full, NotReady, SpeechError
from nemotron_speech.protocol.wire import check_audio_size, check_text_size
from nemotron_speech.serving.channel import Channel, ChannelClosed, HalfClosed
from nemotron_speech.serving.websocket import WebSocketChannel

HEARTBEAT_S = 20.0
"""Seconds between pings; a peer that answers none for half of this is gone."""
DRAINING_CLOSE = WSCloseCode.SERVICE_RESTART


Converse = Callable[[Channel], Awaitable[None]]
ErrorMessage = Callable[[SpeechError], str]


async def hold(channel: Channel, converse: Converse, error_message: ErrorMessage) -> None:
    """Run one conversation to its end; the one place where errors become messages and close codes."""
    gone, error = False, None
    try:
        await converse(channel)
    except* ChannelClosed:
        gone = True
    except* SpeechError as group:
        error = _first(group)
    except* Exception as group:  # noqa: BLE001  a bug in one conversation must not end the server
        logger.opt(exception=group).error("a conversation failed")
        error = SpeechError("internal error")
    if error is not None:
        logger.info("closing a caller: {}", error)
        await _farewell(channel, error_message(error), error.close_code, str(error))
    elif not gone:
        await channel.close(WSCloseCode.OK, "")


async def _farewell(channel: Channel, message: str, code: int, reason: str) -> None:
    try:
        async with asyncio.timeout(2):  # a caller that does not read is not waited for
            await channel.send(message)
    except (ChannelClosed, TimeoutError):
        pass
    await channel.close(code, reason.encode()[:120].decode(errors="ignore"))


def _first(group: BaseExceptionGroup[SpeechError]) -> SpeechError:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


class Outbox:
    """Outgoing messages of one caller: bounded, in order, droppable where the protocol allows it.

    Args:
        trouble: Fails with Full when a caller lets more than `limit_bytes` pile up; the conversation
            waits on it, so a slow reader is disconnected and delays nobody.
    """

    def __init__(
        self, channel: Channel, trouble: asyncio.Future[None], limit_bytes: int = 4 * 1024 * 1024
    ) -> None:
        self._channel = channel
        self._trouble = trouble
        self._limit_bytes = limit_bytes
        self._waiting: deque[tuple[str | bytes, object]] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._running = False
        self._after_send: Callable[[], None] = lambda: None
        self.sent = asyncio.Event()
        """Set while everything that was put has been handed over."""
        self.sent.set()

    @property
    def waiting_bytes(self) -> int:
        return self._bytes

    def put(self, message: str | bytes, tag: object = None, *, replace: bool = False) -> None:
        """Hand a message over, or queue it where that would wait.

        `tag` names it for `drop`; with `replace` it takes the place of a message with the same tag that still
        waits at the end.
        """
        if not self._waiting and self._running and self._channel.offer(message):
            self._after_send()
            return
        if replace and self._waiting and self._waiting[-1][1] is tag:
            self._forget(self._waiting.pop())
        self._waiting.append((message, tag))
        self._bytes += len(message)
        if self._bytes > self._limit_bytes and not self._trouble.done():
            self._trouble.set_exception(Full(f"you read too slowly: {self._bytes} bytes are waiting"))
        self.sent.clear()
        self._changed.set()

    def drop(self, unwanted: Callable[[object], bool]) -> None:
        """Take back every waiting message whose tag is `unwanted`."""
        self._waiting = deque(item for item in self._waiting if not unwanted(item[1]))
        self._bytes = sum(len(message) for message, _ in self._waiting)

    async def run(self, after_send: Callable[[], None] = lambda: None) -> None:
        """Send what is queued until cancelled; `after_send` is told after each message."""
        self._after_send, self._running = after_send, True
        while True:
            while self._waiting:
                item = self._waiting.popleft()
                self._forget(item)
                await self._channel.send(item[0])
                after_send()
            self.sent.set()
            await self._changed.wait()
            self._changed.clear()

    def _forget(self, item: tuple[str | bytes, object]) -> None:
        self._bytes -= len(item[0])


async def fail_with(trouble: asyncio.Future[None]) -> None:
    """Raise what `trouble` fails with: a task of every conversation, so that trouble ends it."""
    await trouble


class Callers:
    """The conversations under way on this server, and whether it takes new ones."""

    def __init__(self) -> None:
        self._open: dict[Channel, None] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self.draining = False

    def __len__(self) -> int:
        return len(self._open)

    def counted(self, converse: Converse) -> Converse:
        """Return `converse`, refusing callers while draining and known here while it lasts."""

        async def conversation(channel: Channel) -> None:
            if self.draining:
                raise NotReady("the server is shutting down", retry_after=5)
            self._open[channel] = None
            self._empty.clear()
            try:
                await converse(channel)
            finally:
                del self._open[channel]
                if not self._open:
                    self._empty.set()

        return conversation

    async def drain(self, seconds: float) -> None:
        """Refuse new callers, let those here finish for `seconds`, then send the rest elsewhere."""
        self.draining = True
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            logger.info("draining: closing {} callers", len(self._open))
            closing = (channel.close(DRAINING_CLOSE, "the server is shutting down") for channel in self._open)
            await asyncio.gather(*closing)


# ------------------------------------------------------------------------------------- aiohttp


def websocket_handler(
    converse: Converse, error_message: ErrorMessage, callers: Callers
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return an aiohttp handler that holds one conversation per WebSocket."""

    async def handle(request: web.Request) -> web.StreamResponse:
        channel, response = await WebSocketChannel.accept(request)
        with caller_log.about(channel.caller):
            watching = asyncio.create_task(channel.watch(HEARTBEAT_S))
            try:
                await hold(channel, callers.counted(converse), error_message)
            finally:
                watching.cancel()
                channel.hang_up()
        return response

    return handle


@web.middleware
async def errors_as_json(request: web.Request, handler: Any) -> web.StreamResponse:
    """Turn the error tree, HTTP's own errors and bugs into statuses, in OpenAI's error shape."""
    try:
        return await handler(request)
    except SpeechError as error:
        headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Full) else {}
        return _error(error.http_status, str(error), type(error).__name__, headers)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        kept = {name: value for name, value in error.headers.items() if not name.startswith("Content-")}
        return _error(
            error.status, _in_words(request, error), type(error).__name__.removeprefix("HTTP"), kept
        )
    except ConnectionResetError:
        raise  # nobody is there to read an answer
    except Exception as error:  # noqa: BLE001  a bug in one request must not end in a page of text
        logger.opt(exception=error).error("a request failed: {} {}", request.method, request.path)
        return _error(500, "internal error", "SpeechError", {})


def _error(status: int, message: str, kind: str, headers: Mapping[str, str]) -> web.Response:
    body = {"error": {"message": message, "type": kind, "param": None, "code": status}}
    return web.json_response(body, status=status, headers=headers)


def _in_words(request: web.Request, error: web.HTTPException) -> str:
    """Say an error of HTTP's own: one with a text of ours in that, the common ones by what was asked for."""
    match error:
        case web.HTTPMethodNotAllowed():
            return (
                f"{request.method} is not allowed here; allowed: {', '.join(sorted(error.allowed_methods))}"
            )
        case web.HTTPNotFound():
            return f"there is no {request.path[:200]} here; see docs/protocols.md"
    text = (error.text or "").strip()
    return error.reason if text == f"{error.status}: {error.reason}" else text


# ---------------------------------------------------------------------------------------- ASGI


_WITHOUT_GOOD_BYE = (1005, WSCloseCode.ABNORMAL_CLOSURE)
"""Close codes of a caller that sent no good-bye: its carrier may still bring it what it asked for."""


class AsgiChannel(Channel):
    """A channel over an ASGI WebSocket scope that was accepted."""

    def __init__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        from urllib.parse import parse_qsl

        self.query: Mapping[str, str] = dict(parse_qsl(scope.get("query_string", b"").decode()))
        self._receive, self._send = receive, send
        self._closed = self._at_end = False

    @property
    def gone(self) -> bool:
        return self._closed or self._at_end

    async def receive(self) -> str | bytes:
        event = await self._receive()
        if event["type"] != "websocket.receive":
            self._at_end = True
            if event.get("code", WSCloseCode.ABNORMAL_CLOSURE) in _WITHOUT_GOOD_BYE:
                raise HalfClosed
            self._closed = True
            raise ChannelClosed
        text = event.get("text")
        if text is None:
            check_audio_size(event["bytes"])
            return event["bytes"]
        check_text_size(text)
        return text

    async def send(self, message: str | bytes) -> None:
        key = "text" if isinstance(message, str) else "bytes"
        if self._closed:
            raise ChannelClosed
        try:
            await self._send({"type": "websocket.send", key: message})
        except (OSError, RuntimeError) as error:
            raise ChannelClosed from error

    async def close(self, code: int, reason: str) -> None:
        if self._closed:
            return
        self._closed = True
        with suppress(OSError, RuntimeError):  # the caller has gone meanwhile
            await self._send({"type": "websocket.close", "code": code, "reason": reason})


def asgi(
    converse: Converse,
    error_message: ErrorMessage,
    callers: Callers,
    health: Callable[[], tuple[int, dict[str, Any]]],
    lifespan: Callable[[], Any],
) -> Callable[..., Awaitable[None]]:
    """Return an ASGI application: one conversation per WebSocket, and `GET /health`.

    Args:
        lifespan: Returns the async context manager the application lives in (loads and unloads).
    """

    async def application(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(lifespan, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            channel = AsgiChannel(scope, receive, send)
            with caller_log.about(caller_log.caller_of(channel.query)):
                await hold(channel, callers.counted(converse), error_message)
        elif scope["type"] == "http":
            await _http(scope, send, health)

    return application


async def _lifespan(lifespan: Callable[[], Any], receive: Any, send: Any) -> None:
    await receive()
    async with lifespan():
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


_NO_PAGE = {
    "error": {"message": "there is only /health here", "type": "NotFound", "param": None, "code": 404}
}


async def _http(
    scope: Mapping[str, Any], send: Any, health: Callable[[], tuple[int, dict[str, Any]]]
) -> None:
    status, body = health() if scope["path"] == "/health" else (404, _NO_PAGE)
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"application/json")],
        }
    )
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})
