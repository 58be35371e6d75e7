"""Ask a server how it is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nemotron_speech.supervisor.ports import holder

if TYPE_CHECKING:  # half a second, which `nemotron status` need not wait for
    import aiohttp

PROBE_TIMEOUT_S = 3.0


class Health(StrEnum):
    """Health of a server, as its health address reports it."""

    HEALTHY = "healthy"
    LOADING = "loading"
    """Answering, but not ready yet, or taking no more callers."""
    FAILED = "failed"
    """Answering that it will never be ready."""
    STRANGE = "strange"
    """Answering, but not as a health address does."""
    SILENT = "silent"
    """No answer in time."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """One answer."""

    health: Health
    engine: str = ""
    message: str = ""
    status: str = ""
    """Status in the server's own words."""
    pid: int | None = None
    """Process that answered; None where neither it nor the system says."""
    estimates_times: bool = False
    """True for a recogniser that says that its word times are estimates."""


class HealthProbe:
    """Asks health addresses, over one HTTP session."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[HealthProbe]:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            yield cls(session)

    async def __call__(self, url: str) -> HealthReport:
        """Ask once; never raises."""
        import aiohttp

        try:
            async with self._session.get(url, allow_redirects=False) as answer:
                report = understand(answer.status, await _json(answer))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return HealthReport(Health.SILENT, message=str(error) or type(error).__name__)
        if report.pid is None:
            return replace(report, pid=await asyncio.to_thread(_listener_on, urlsplit(url).port))
        return report


def understand(code: int, body: object) -> HealthReport:
    """Turn the HTTP status and body of a health address into a report."""
    fields = body if isinstance(body, dict) else {}
    status, engine, message = (str(fields.get(name, "")) for name in ("status", "engine", "message"))
    pid = fields.get("pid")
    return HealthReport(
        _health(code, status),
        engine,
        message or f"HTTP status {code}",
        status,
        pid if isinstance(pid, int) else None,
        fields.get("estimates_times") is True,
    )


def _listener_on(port: int | None) -> int | None:
    """Return the leader of the process group that listens on a port of this machine: what was started."""
    pid = holder(port).pid if port is not None else None
    try:
        return os.getpgid(pid) if pid is not None else None
    except ProcessLookupError:
        return None


def _health(code: int, status: str) -> Health:
    match code, status:
        case 200, _:
            return Health.HEALTHY
        case 503, "failed":
            return Health.FAILED
        case 503, _:
            return Health.LOADING
    return Health.STRANGE


async def _json(answer: aiohttp.ClientResponse) -> Any:
    if "json" not in answer.content_type:
        return None
    try:
        return await answer.json()
    except ValueError:
        return None
