"""The plain language model server, which also keeps what it was asked.

    python -m benchmarks.outside.model --port 8000 --script script.json --kind hybrid

`GET /asked` lists the requests in order: when each came, its messages, and whether it wants an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from aiohttp import web

from benchmarks.doubles.plain_llm import KINDS, PlainServer, read_script
from benchmarks.outside.plan import Asked


def keep(app: web.Application) -> None:
    """Have a server keep what it is asked, and tell it."""
    asked: list[Asked] = []

    @web.middleware
    async def remember(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path == "/v1/chat/completions":
            body = await request.json()
            limit = body.get("max_completion_tokens", body.get("max_tokens"))
            wants_answer = limit is None or limit < 0 or limit > 1
            asked.append(Asked(time.monotonic(), tuple(body["messages"]), wants_answer))
        return await handler(request)

    async def tell(request: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(asked), content_type="application/json")

    app.middlewares.append(remember)
    app.router.add_get("/asked", tell)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--kind", choices=KINDS, default="hybrid")
    parser.add_argument("--slots", type=int, choices=(1, 2), default=1)
    options = parser.parse_args()
    app = PlainServer(read_script(options.script), options.kind, options.slots).app()
    keep(app)
    web.run_app(
        app,
        host=options.host,
        port=options.port,
        print=None,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=1.0,
        loop=asyncio.new_event_loop(),
    )


if __name__ == "__main__":
    main()
