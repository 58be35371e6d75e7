"""Requests whose bodies are odd never reach the routes; the others do, whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiortc import RTCPeerConnection
from starlette.types import Receive, Scope, Send

from pipecat_bots.transports.requests import MOST_BYTES, CheckedBodies


class Routes:
    """Stands for the runner: keeps the bodies that reach it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        self.bodies.append(message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def ask(path: str, body: object, method: str = "POST") -> tuple[int, str, Routes]:
    """Send a request in two pieces; return the status, the answer and what reached the routes."""
    routes = Routes()
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    pieces = [
        {"type": "http.request", "body": raw[:7], "more_body": True},
        {"type": "http.request", "body": raw[7:], "more_body": False},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return pieces.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": []}
    await CheckedBodies(routes)(scope, receive, send)
    return sent[0]["status"], sent[1]["body"].decode(), routes


async def offer() -> dict[str, Any]:
    connection = RTCPeerConnection()
    connection.createDataChannel("chat")
    connection.addTransceiver("audio")
    await connection.setLocalDescription(await connection.createOffer())
    description = connection.localDescription
    await connection.close()
    return {"sdp": description.sdp, "type": description.type}


@pytest.mark.parametrize(
    "body", [{}, {"transport": "webrtc", "body": {"a": [1]}}, {"transport": None, "more": 1}, b"", b"  "]
)
async def test_a_start_is_passed_on_as_it_came(body: object) -> None:
    status, _, routes = await ask("/start", body)
    assert status == 200
    assert routes.bodies == [body if isinstance(body, bytes) else json.dumps(body).encode()]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ([], 422, "body"),
        ("webrtc", 422, "body"),
        (None, 422, "body"),
        ({"transport": 3}, 422, "transport"),
        ({"transport": ["webrtc"]}, 422, "transport"),
        ({"dailyRoomProperties": "x"}, 422, "dailyRoomProperties"),
        ({"createDailyRoom": "yes"}, 422, "createDailyRoom"),
        (b"{", 400, "no JSON"),
        (b"\xff\xfe", 400, "no JSON"),
        (b"[" * 100_000, 400, "no JSON"),
        (b" " * (MOST_BYTES + 1), 413, "KiB"),
    ],
)
async def test_an_odd_start_is_refused_in_a_sentence(body: object, status: int, says: str) -> None:
    answered, text, routes = await ask("/start", body)
    assert answered == status
    assert says in json.loads(text)["detail"]
    assert not routes.bodies


async def test_an_offer_is_passed_on() -> None:
    for path in ("/api/offer", "/sessions/1/api/offer"):
        status, _, routes = await ask(path, await offer())
        assert (status, len(routes.bodies)) == (200, 1)


async def test_an_odd_offer_is_refused_in_a_sentence() -> None:
    good = await offer()
    sdp = good["sdp"]
    no_media = sdp[: sdp.index("m=audio")]
    odd: list[object] = [
        [],
        {},
        {"sdp": sdp},
        {"sdp": sdp, "type": "answer"},
        {"sdp": 3, "type": "offer"},
        {"sdp": "", "type": "offer"},
        {"sdp": "v=0", "type": "offer"},
        {"sdp": "m=audio", "type": "offer"},
        {"sdp": "a=candidate:1", "type": "offer"},
        {"sdp": no_media, "type": "offer"},
        {"sdp": sdp.replace("a=ice-ufrag", "a=other"), "type": "offer"},
        {"sdp": sdp.replace("a=fingerprint", "a=other"), "type": "offer"},
        {"sdp": sdp.replace("UDP/TLS/RTP/SAVPF", ""), "type": "offer"},
        {**good, "pc_id": 3},
        {**good, "restart_pc": "yes"},
    ]
    for body in odd:
        status, text, routes = await ask("/api/offer", body)
        assert status == 422, body
        assert json.loads(text)["detail"].endswith(".")
        assert not routes.bodies


async def test_odd_candidates_are_refused() -> None:
    candidate = {"candidate": "candidate:1 1 udp 1 10.0.0.1 9 typ host", "sdp_mid": "0", "sdp_mline_index": 0}
    good = {"pc_id": "1", "candidates": [candidate, {**candidate, "candidate": ""}]}
    assert (await ask("/api/offer", good, "PATCH"))[0] == 200
    for odd in ([], {}, {"pc_id": "1", "candidates": [{**candidate, "candidate": "x"}]}):
        assert (await ask("/api/offer", odd, "PATCH"))[0] == 422


async def test_other_routes_are_none_of_its_business() -> None:
    for path, method in (("/client/", "POST"), ("/start", "GET"), ("/api/offers", "POST")):
        status, _, routes = await ask(path, b"[", method)
        assert (status, len(routes.bodies)) == (200, 1)
