"""`asyncio.wait_for` as it is since Python 3.12, for Python 3.11.

There it puts what it waits for into a task of its own. Pipecat waits with it for every piece of audio, three
times on its way in and twice on its way out: 200 tasks a second for each caller.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def wait_for(awaitable: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109
    """Wait in the caller's own task. Raises TimeoutError; what was waited for is cancelled then."""
    if timeout is None or timeout > 0:
        async with asyncio.timeout(timeout):
            return await awaitable
    future = asyncio.ensure_future(awaitable)
    if not future.done():
        future.cancel()
        await asyncio.wait([future])
    if future.cancelled():
        raise TimeoutError
    return future.result()


def wait_in_place() -> None:
    """Have everything in this process wait like that; does nothing where Python does it already."""
    if sys.version_info < (3, 12):
        asyncio.wait_for = asyncio.tasks.wait_for = wait_for  # type: ignore[assignment]
