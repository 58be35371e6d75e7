"""Dependence of a service on its server: say when it is gone, and never give up."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any, Literal

import aiohttp
from loguru import logger
from pipecat.processors.frame_processor import FrameProcessor, FrameProcessorSetup

from nemotron_speech.invocation import command

HEALTH_INTERVAL_S = 1.0
HEALTH_TIMEOUT_S = 3.0
MISSED_AFTER_S = 5.0
"""A server that is away for less is no news to a caller: it restarts (docs/decisions/outages.md)."""

Role = Literal["asr", "llm", "tts"]
START_HINT = command("up")


@dataclass(frozen=True, slots=True)
class Server:
    """A server as a user knows it."""

    role: Role
    name: str
    address: str
    hint: str = START_HINT


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know about a service."""

    level: Literal["error", "warning", "info"]
    service: Role
    message: str
    hint: str

    def message_data(self) -> dict[str, Any]:
        """The notice as the page receives it."""
        return {"type": "notice", **asdict(self)}


def not_answering(server: Server) -> Notice:
    message = f"The {server.name} at {server.address} is not answering."
    return Notice("error", server.role, message, server.hint)


ALL_BUSY = "All lines are busy at the moment. I am with you as soon as one is free."
"""Said by a bot whose recogniser has no place for its caller."""


def full(server: Server) -> Notice:
    message = (
        f"All lines are busy: the {server.name} at {server.address} has no free place, or is still starting."
    )
    return Notice(
        "warning", server.role, message, "It is tried again every few seconds until a place is free."
    )


def reason_of(error: BaseException) -> str:
    """Return why a server could not be used, in words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or "the connection failed"


def silent(server: Server) -> Notice:
    message = f"The {server.name} at {server.address} answers, but says nothing."
    return Notice("error", server.role, message, "Look at its log, or start it again.")


class Dependent(FrameProcessor):
    """A service whose server may be away; it stays usable and reports the outage.

    Event handlers:
        on_outage: Called with a Notice, once per outage (again if the reason changes).
        on_missed: Called when the server has been away for `MISSED_AFTER_S`, once per outage.
        on_recovered: Called when the server answers again.
    """

    def __init__(self, *, server: Server, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._server = server
        self.outage: Notice | None = None
        self._missing: asyncio.Task[None] | None = None
        self._register_event_handler("on_outage")
        self._register_event_handler("on_missed")
        self._register_event_handler("on_recovered")

    @property
    def server(self) -> Server:
        return self._server

    @property
    def role(self) -> Role:
        """Role of the server that it depends on, one of three."""
        return self._server.role

    async def set_usable(self, is_usable: bool) -> None:
        """Stay usable: a server that refused one request, or is gone, may serve the next."""
        if is_usable:
            await super().set_usable(True)

    async def _report_outage(self, notice: Notice, reason: object, lasted_s: float = 0.0) -> None:
        """Report that the server is gone, `lasted_s` seconds after it was."""
        if self.outage == notice:
            return
        self.outage = notice
        if self._missing is None:
            left_s = max(0.0, MISSED_AFTER_S - lasted_s)
            self._missing = self.create_task(self._miss(left_s), name="missing")
        logger.error(f"{notice.message} ({reason}) {notice.hint}")
        await self._call_event_handler("on_outage", notice)

    async def _miss(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self._call_event_handler("on_missed")

    async def _stop_missing(self) -> None:
        task, self._missing = self._missing, None
        if task is not None:
            await self.cancel_task(task)

    async def cleanup(self) -> None:
        await super().cleanup()
        await self._stop_missing()

    async def _report_recovery(self) -> None:
        if self.outage is None:
            return
        self.outage = None
        await self._stop_missing()
        logger.info(f"The {self._server.name} at {self._server.address} answers again.")
        await self._call_event_handler("on_recovered")


class HttpDependent(Dependent):
    """A service whose server is asked over HTTP; its health is asked only while it is down."""

    def __init__(self, *, health_url: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._health_url = health_url
        self._health_task: asyncio.Task[None] | None = None

    async def setup(self, setup: FrameProcessorSetup) -> None:
        await super().setup(setup)
        self._watch_health()

    async def cleanup(self) -> None:
        await super().cleanup()
        if self._health_task:
            await self.cancel_task(self._health_task)
            self._health_task = None

    async def _lost(self, reason: object) -> None:
        """Report that the server is gone and watch for its return."""
        await self._report_outage(not_answering(self._server), reason)
        self._watch_health()

    def _watch_health(self) -> None:
        if self._health_task is None:
            self._health_task = self.create_task(self._until_healthy(), name="health")

    async def _until_healthy(self) -> None:
        try:
            timeout = aiohttp.ClientTimeout(total=HEALTH_TIMEOUT_S)
            async with aiohttp.ClientSession(timeout=timeout) as http:
                while notice := await self._trouble(http):
                    await self._report_outage(*notice)
                    await asyncio.sleep(HEALTH_INTERVAL_S)
            await self._report_recovery()
            await self._on_back()
        finally:
            self._health_task = None

    async def _on_back(self) -> None:
        """Do what waited for the server."""

    async def _trouble(self, http: aiohttp.ClientSession) -> tuple[Notice, object] | None:
        try:
            async with http.get(self._health_url) as response:
                if response.status == 503:
                    return full(self._server), "it answers 503"
                return None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return not_answering(self._server), reason_of(error)
