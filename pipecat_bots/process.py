"""The process a bot runs in: ready before its first caller, quiet in the log, gone when told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Protocol

from loguru import logger
from starlette.types import ASGIApp, Receive, Scope, Send

from nemotron_speech.env_file import keep_others_from_loading
from nemotron_speech.errors import ConfigurationError
from nemotron_speech.settings import read
from pipecat_bots.connections.jitter import keep_nothing_back
from pipecat_bots.observability import log
from pipecat_bots.observability.client_page import mount_client
from pipecat_bots.runtime.lean_waits import wait_in_place
from pipecat_bots.runtime.sweeper import Sweeper, settle
from pipecat_bots.settings import BotSettings, TransportSettings, read_settings
from pipecat_bots.transports.doors import check_arguments, start_lacks
from pipecat_bots.transports.json_errors import JsonErrors
from pipecat_bots.transports.requests import CheckedBodies
from pipecat_bots.transports.webrtc_audio import make_lean
from pipecat_bots.voice.language_check import check_language


class Running(Protocol):
    @property
    def is_awaited(self) -> bool: ...
    async def stop(self) -> None: ...


sessions: set[Running] = set()
"""The sessions of this process; a runner serves them all from one event loop."""
sweeper = Sweeper(lambda: any(session.is_awaited for session in sessions))


def serve(warm_up: Callable[[], None]) -> None:
    """Run the calling script's `bot` under Pipecat's runner, with our page; exits with 2 for a wrong setting.

    Args:
        warm_up: Loads what the first session would otherwise wait for.
    """
    keep_others_from_loading()
    if not {"-h", "--help"} & set(sys.argv):
        try:
            settings = read_settings()
            log.set_up(settings)
            check_arguments(sys.argv[1:], read(TransportSettings))
            warm_up()
            asyncio.run(check_language(settings))
        except ConfigurationError as error:
            logger.error(str(error))
            sys.exit(2)

    from pipecat.runner.run import app, main

    keep_nothing_back()
    make_lean()
    wait_in_place()
    app.add_middleware(CheckedBodies, lacks=start_lacks(sys.argv[1:], TransportSettings()))
    app.add_middleware(JsonErrors)
    settle()
    app.add_middleware(_Process)
    mount_client(app)
    app.add_api_route("/health", health)
    main()


async def health() -> dict[str, str | int]:
    """Answer `GET /health`: which process this is, and how many conversations it holds."""
    return {"status": "healthy", "pid": os.getpid(), "sessions": len(sessions)}


class _Process:
    """Set the process up when the web server starts, for the runner and the server set it up before."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._stopping: set[asyncio.Task[None]] = set()
        log.set_up(BotSettings())
        logging.getLogger("uvicorn.access").addFilter(_is_no_health_check)
        for number in (signal.SIGINT, signal.SIGTERM):
            self._stop_sessions_on(number, asyncio.get_running_loop())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def _stop_sessions_on(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        """End the sessions on a signal, before the server waits for them to end by themselves."""
        servers_own = signal.getsignal(number)

        def handle(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._stop_sessions)
            if callable(servers_own):
                servers_own(number, frame)

        signal.signal(number, handle)

    def _stop_sessions(self) -> None:
        for session in sessions:
            task = asyncio.ensure_future(session.stop())
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)


def _is_no_health_check(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return "GET /health " not in message and "GET /status " not in message
