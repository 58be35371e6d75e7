"""Dependence of a service on its server: say when it is gone, and never give up."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any, Literal

import aiohttp
from loguru import logger
from pipecat.processors.frame_processor import FrameProcessor, FrameProcessorSetup

from nemotron_speech.invocation import command
from pipecat_bots.connections.backoff import JITTER, LONGEST_WAIT_S

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
    """News about a service that the user should know."""

    level: Literal["error", "warning", "info"]
    service: Role
    message: str
    hint: str
    place: int = 0
    """Place in the line of those who wait for the server, from 1; 0 if it is not that it is full."""

    def message_data(self) -> dict[str, Any]:
        """Return the notice as the page receives it."""
        return {"type": "notice", **asdict(self)}


def not_answering(server: Server) -> Notice:
    message = f"The {server.name} at {server.address} is not answering."
    return Notice("error", server.role, message, server.hint)


def all_busy(place: int) -> str:
    """Return what a bot says whose recogniser has no place for its caller yet."""
    return f"All lines are busy at the moment. {in_line(place)} I am with you as soon as one is free."


def in_line(place: int) -> str:
    return "You are next in line." if place == 1 else f"You are number {place} in line."


def full(server: Server, place: int) -> Notice:
    """Return the notice of a server whose places are taken.

    Args:
        place: Place of the caller among those who wait for one, from 1.
    """
    message = f"All lines are busy. {in_line(place)}"
    hint = (
        f"The {server.name} at {server.address} has no free place, or is still starting. It is asked at "
        f"least every {LONGEST_WAIT_S * (1 + JITTER):.0f} seconds; you are connected as soon as there is one."
    )
    return Notice("warning", server.role, message, hint, place)


def unavailable(server: Server) -> Notice:
    """Return the notice of a server that answers 503: it is full, or still starts."""
    message = f"The {server.name} at {server.address} is busy, or is still starting."
    return Notice("warning", server.role, message, "It is asked again every second.")


def refused(server: Server, reason: str) -> Notice:
    """Return the notice of a server that is there and does not take what the bot asks of it."""
    message = f"The {server.name} at {server.address} refuses: {reason}."
    return Notice("error", server.role, message, "Change the setting of the bot, or start another engine.")


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
    def place_in_line(self) -> int:
        """Place among those who wait for a place at the server, from 1; 0 if that is not what is wrong."""
        return self.outage.place if self.outage is not None else 0

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
        log = logger.error if notice.level == "error" else logger.warning
        log(f"{notice.message} ({reason}) {notice.hint}")
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
                    return unavailable(self._server), "it answers 503"
                return None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return not_answering(self._server), reason_of(error)
