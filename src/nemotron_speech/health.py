"""Ask a server how it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import aiohttp

PROBE_TIMEOUT_S = 3.0


class Health(StrEnum):
    """What a server says about itself."""

    HEALTHY = "healthy"
    LOADING = "loading"
    """It answers, but is not ready yet or takes no more callers."""
    FAILED = "failed"
    """It answers that it will never be ready."""
    SILENT = "silent"
    """Nothing answers in time."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """One answer."""

    health: Health
    engine: str = ""
    message: str = ""


class HealthProbe:
    """Asks health addresses, over one HTTP session."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[HealthProbe]:
        timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            yield cls(session)

    async def __call__(self, url: str) -> HealthReport:
        """Ask once; never raises."""
        try:
            async with self._session.get(url, allow_redirects=False) as answer:
                return understand(answer.status, await _json(answer))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return HealthReport(Health.SILENT, message=str(error) or type(error).__name__)


def understand(status: int, body: object) -> HealthReport:
    """Turn the HTTP status and body of a health address into a report."""
    fields = body if isinstance(body, dict) else {}
    engine, message = str(fields.get("engine", "")), str(fields.get("message", ""))
    if fields.get("status") == "failed":
        return HealthReport(Health.FAILED, engine, message)
    return HealthReport(Health.HEALTHY if status == 200 else Health.LOADING, engine, message)


async def _json(answer: aiohttp.ClientResponse) -> Any:
    if "json" not in answer.content_type:
        return None
    try:
        return await answer.json()
    except ValueError:
        return None
