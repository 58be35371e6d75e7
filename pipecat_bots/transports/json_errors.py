"""Errors of a runner's HTTP routes as JSON: every status from 400 up carries a `detail`."""

from __future__ import annotations

import json

from loguru import logger
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 2000
"""Bytes of an error in plain text that are kept."""


class JsonErrors:
    """ASGI middleware: errors in plain text, and exceptions that no route handles, become JSON."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            await self._app(scope, receive, answer.send)
        except Exception as error:
            if answer.has_begun:
                raise
            logger.opt(exception=error).error("a request failed: {} {}", scope["method"], scope["path"])
            detail = "The request failed; the log of the bot says why."
            await JSONResponse({"detail": detail}, 500)(scope, receive, send)


class _Answer:
    """An answer on its way out; one in plain text is held until it is whole."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held: Message | None = None
        self._text = b""
        self.has_begun = False
        """True if the status has been sent."""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_plain_error(message):
            self._held = message
        elif self._held is not None and message["type"] == "http.response.body":
            self._text += message.get("body", b"")[: MOST_BYTES - len(self._text)]
            if not message.get("more_body", False):
                await self._release(self._held)
        else:
            self.has_begun = True
            await self._send(message)

    async def _release(self, start: Message) -> None:
        body = json.dumps({"detail": self._text.decode(errors="replace")}).encode()
        headers = [(name, value) for name, value in start["headers"] if name not in _REPLACED]
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        self.has_begun = True
        await self._send({**start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


_REPLACED = (b"content-type", b"content-length")


def _is_plain_error(start: Message) -> bool:
    kinds = [value for name, value in start.get("headers", []) if name == b"content-type"]
    return start["status"] >= 400 and not any(b"json" in kind for kind in kinds)
