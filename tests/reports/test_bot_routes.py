"""Requests that a bot cannot serve: each gets an error status, JSON, and a sentence that says what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Request, Response
from starlette.responses import StreamingResponse

from pipecat_bots.settings import TransportSettings
from pipecat_bots.transports.doors import start_lacks
from pipecat_bots.transports.json_errors import MOST_BYTES, JsonErrors
from pipecat_bots.transports.requests import CheckedBodies

ROOM = "https://example.daily.co/room"


@pytest.fixture(autouse=True)
def no_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TransportSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def routes() -> FastAPI:
    """Routes as the runner has them, each odd in its own way."""
    app = FastAPI()

    @app.post("/start")
    async def start(request: Request) -> Any:
        return await request.json() if await request.body() else {}

    @app.get("/daily")
    async def daily() -> Any:
        raise RuntimeError("DAILY_API_KEY environment variable is required")

    @app.get("/plain")
    async def plain() -> Response:
        return Response("Invalid or not-yet-ready session_id", 404)

    @app.get("/long")
    async def long() -> Response:
        return StreamingResponse((b"x" * 700 for _ in range(9)), 502, media_type="text/plain")

    @app.get("/refused")
    async def refused() -> Any:
        raise HTTPException(403, "no", headers={"Retry-After": "3"})

    @app.get("/fine")
    async def fine() -> Response:
        return Response("as it is", media_type="text/plain")

    return app


@asynccontextmanager
async def served(arguments: Sequence[str] = (), **account: str) -> AsyncIterator[httpx.AsyncClient]:
    app = routes()
    lacks = start_lacks(arguments, TransportSettings(**account))  # type: ignore[arg-type]
    app.add_middleware(CheckedBodies, lacks=lacks)
    app.add_middleware(JsonErrors)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bot") as client:
        yield client


NO_KEY = "set DAILY_API_KEY"
NO_ROOM = "createDailyRoom, or set DAILY_ROOM_URL"
NOT_OURS = "is none of this bot's: choose webrtc, daily"


@pytest.mark.parametrize(
    ("account", "arguments", "body", "says"),
    [
        ({}, (), {"transport": "daily"}, NO_KEY),
        ({}, (), {"createDailyRoom": True}, NO_KEY),
        ({}, (), {"transport": "daily", "createDailyRoom": True, "body": {}}, NO_KEY),
        ({"daily_room_url": ROOM}, (), {"transport": "daily"}, NO_KEY),
        ({"daily_api_key": "k"}, (), {"transport": "daily"}, NO_ROOM),
        ({"daily_api_key": "k"}, ("-t", "daily"), {}, NO_ROOM),
        ({}, (), {"transport": "livekit"}, NOT_OURS),
        ({}, (), {"transport": "moq"}, NOT_OURS),
        ({}, (), {"transport": "vonage"}, NOT_OURS),
        ({"daily_api_key": "k"}, (), {"createDailyRoom": True}, ""),
        ({"daily_api_key": "k", "daily_room_url": ROOM}, (), {"transport": "daily"}, ""),
        ({}, (), {"transport": "webrtc"}, ""),
        ({}, (), {"transport": "twilio"}, ""),
        ({}, (), {}, ""),
    ],
)
async def test_a_start_names_the_setting_that_its_transport_lacks(
    account: dict[str, str], arguments: Sequence[str], body: dict[str, Any], says: str
) -> None:
    async with served(arguments, **account) as client:
        answer = await client.post("/start", json=body)
    assert answer.status_code == (400 if says else 200)
    assert says in answer.json().get("detail", "")


async def test_a_room_that_cannot_be_made_is_refused_on_its_own_route_too() -> None:
    async with served() as client:
        answer = await client.get("/daily")
    assert (answer.status_code, NO_KEY in answer.json()["detail"]) == (400, True)


async def test_a_body_is_json_whatever_its_content_type_says() -> None:
    async with served() as client:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = await client.post("/start", content=b'{"transport": "webrtc"}', headers=headers)
    assert answer.json() == {"transport": "webrtc"}


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/plain", 404, "Invalid or not-yet-ready session_id"),
        ("/long", 502, "x" * MOST_BYTES),
        ("/refused", 403, "no"),
        ("/nowhere", 404, "Not Found"),
        ("/start", 405, "Method Not Allowed"),
        ("/daily", 500, "The request failed; the log of the bot says why."),
    ],
)
async def test_every_error_is_json_with_a_detail(path: str, status: int, detail: str) -> None:
    async with served(daily_api_key="k") as client:
        answer = await client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/json")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.json() == {"detail": detail}


async def test_what_is_no_error_is_left_alone() -> None:
    async with served() as client:
        answer = await client.get("/fine")
        assert (answer.text, answer.headers["content-type"]) == ("as it is", "text/plain; charset=utf-8")
        assert (await client.get("/refused")).headers["retry-after"] == "3"
