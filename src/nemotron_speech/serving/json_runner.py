"""Runner of an aiohttp application that answers in JSON what is no HTTP at all, too.

Requests that cannot be parsed (an unknown method, a header that is too long) reach no route and no
middleware; aiohttp answers them in plain text.
"""

from __future__ import annotations

import asyncio
import signal

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from loguru import logger

MOST_CHARACTERS = 300


async def serve_until_signal(app: web.Application, host: str, port: int) -> None:
    """Serve an application until SIGTERM or SIGINT; a caller that leaves ends its request. Raises OSError."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = JsonRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        await stop.wait()
    finally:
        await runner.cleanup()


class JsonRunner(web.AppRunner):
    """aiohttp's runner of an application, whose server is a `_JsonServer`."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _JsonServer
        return server


class _JsonServer(web.Server):
    __slots__ = ()

    def __call__(self) -> RequestHandler:
        handler = super().__call__()
        handler.__class__ = _JsonHandler
        return handler


class _JsonHandler(RequestHandler):
    """One connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not be parsed, or that failed outside of every handler."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer has been sent already")
        if status >= 500:
            logger.opt(exception=exc).error("a request failed outside of its handler")
        said = " ".join((message or "").split())[:MOST_CHARACTERS]
        logger.debug("a request that is none: {}", said or exc)
        body = {
            "error": {
                "message": said or "internal error",
                "type": "BadRequest" if status < 500 else "SpeechError",
                "param": None,
                "code": status,
            }
        }
        response = web.json_response(body, status=status)
        response.force_close()
        return response
