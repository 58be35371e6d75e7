"""A minimal client over the protocol values, for tests: send a request, collect its events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp

from nemotron_speech.protocol.llama.api import (
    CHAT_PATH,
    COMPLETION_PATH,
    ChatAnswer,
    ChatRequest,
    CompletionAnswer,
    CompletionRequest,
    Event,
    Finish,
    ServerError,
    TextDelta,
    parse_error,
)

E = TypeVar("E")
Request = ChatRequest | CompletionRequest


async def events_of(url: str, request: Request) -> AsyncGenerator[Event, None]:
    """The events of one answer; leaving the loop closes the connection."""
    is_chat = isinstance(request, ChatRequest)
    path, answer = (CHAT_PATH, ChatAnswer()) if is_chat else (COMPLETION_PATH, CompletionAnswer())
    async with aiohttp.ClientSession() as session, session.post(url + path, json=request.body()) as response:
        if response.status != 200:
            yield parse_error(response.status, await response.read())
            return
        async for data in response.content.iter_any():
            for event in answer.feed(data):
                yield event
        for event in answer.end():
            yield event


async def ask(url: str, request: Request) -> list[Event]:
    return [event async for event in events_of(url, request)]


def text_of(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def only(kind: type[E], events: Sequence[Event]) -> E:
    (found,) = [event for event in events if isinstance(event, kind)]
    return found


def finish_of(events: Sequence[Event]) -> Finish:
    assert not [event for event in events if isinstance(event, ServerError)], events
    return only(Finish, events)


async def get_json(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.json()


async def post(url: str, body: bytes) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        return response.status, await response.read()


async def busy_slots(url: str) -> list[int]:
    return [slot["id"] for slot in await get_json(f"{url}/slots") if slot["is_processing"]]


async def until(url: str, reached: Callable[[list[int]], bool]) -> float:
    """Seconds until the list of busy slots is as wanted; TimeoutError after ten."""
    began = time.monotonic()
    async with asyncio.timeout(10):
        while not reached(await busy_slots(url)):
            await asyncio.sleep(0.01)
    return time.monotonic() - began


@asynccontextmanager
async def open_answer(url: str, request: Request) -> AsyncIterator[AsyncIterator[Event]]:
    """An answer whose connection is closed at the end of the block, wherever it is by then."""
    events = events_of(url, request)
    try:
        yield events
    finally:
        await events.aclose()
