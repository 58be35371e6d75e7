"""The ways in: what each transport is told, and what is said at start of an account that is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pipecat.evals.transport import EvalTransportParams
from pipecat.frames.frames import EndFrame
from pipecat.runner.types import CallData, WebSocketRunnerArguments
from pipecat.serializers.protobuf import ProtobufFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from starlette.websockets import WebSocket

from nemotron_speech.errors import ConfigurationError
from pipecat_bots.settings import TransportSettings
from pipecat_bots.transports.doors import UNSUPPORTED, check_arguments, open_transport, transport_params
from pipecat_bots.transports.telephony import PROVIDERS, can_hang_up, missing, serializer

VARIABLES = tuple(name.upper() for name in TransportSettings.model_fields)
STARTS = {
    "twilio": {"event": "start", "start": {"streamSid": "MZ1", "callSid": "CA1", "customParameters": {}}},
    "telnyx": {
        "event": "start",
        "stream_id": "S1",
        "start": {"call_control_id": "C1", "media_format": {"encoding": "PCMU"}, "from": "1", "to": "2"},
    },
    "plivo": {"event": "start", "start": {"streamId": "S1", "callId": "C1"}},
    "exotel": {
        "event": "start",
        "start": {"stream_sid": "S1", "call_sid": "C1", "account_sid": "A1", "from": "1", "to": "2"},
    },
}
COMPLETE: dict[str, dict[str, str]] = {
    "twilio": {"twilio_account_sid": "AC1", "twilio_auth_token": "t"},
    "telnyx": {"telnyx_api_key": "k"},
    "plivo": {"plivo_auth_id": "i", "plivo_auth_token": "t"},
    "exotel": {},
}


@pytest.fixture(autouse=True)
def no_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def account(**values: str) -> TransportSettings:
    return TransportSettings(**values)  # type: ignore[arg-type]


def websocket(*messages: object) -> tuple[WebSocket, list[dict[str, Any]]]:
    """A connected WebSocket that brings these messages and then closes; what is sent on it."""
    texts = [m if isinstance(m, (str, bytes)) else json.dumps(m) for m in messages]
    coming: list[dict[str, Any]] = [{"type": "websocket.connect"}]
    coming += [{"type": "websocket.receive", "text" if isinstance(m, str) else "bytes": m} for m in texts]
    coming.append({"type": "websocket.disconnect", "code": 1000})
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return coming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    return WebSocket({"type": "websocket", "headers": [], "path": "/ws"}, receive, send), sent  # type: ignore[arg-type]


def test_every_transport_carries_audio_both_ways_in_the_playouts_pieces() -> None:
    for name, make in transport_params().items():
        params = make()
        assert params.audio_in_enabled, name
        assert params.audio_out_enabled, name
        assert params.audio_out_10ms_chunks == transport_params()["webrtc"]().audio_out_10ms_chunks


def test_a_plain_websocket_speaks_protobuf_and_an_evaluation_its_own_parameters() -> None:
    plain = transport_params()["websocket"]()
    assert isinstance(plain, FastAPIWebsocketParams)
    assert isinstance(plain.serializer, ProtobufFrameSerializer)
    assert plain.serializer is not transport_params()["websocket"]().serializer  # type: ignore[attr-defined]
    assert isinstance(transport_params()["eval"](), EvalTransportParams)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_call_is_taken_with_and_without_an_account(provider: str) -> None:
    for values in ({}, COMPLETE[provider]):
        socket, _ = websocket({"event": "connected"}, STARTS[provider])
        await socket.accept()
        args = WebSocketRunnerArguments(websocket=socket)
        transport = await open_transport(args, account(**values))
        assert isinstance(transport, FastAPIWebsocketTransport)
        assert args.transport_type == provider
        assert args.call_data is not None
        assert args.call_data.call_id == STARTS[provider]["start"].get("callSid", "C1")  # type: ignore[index]


@pytest.mark.parametrize("provider", ["twilio", "telnyx", "plivo"])
async def test_the_bot_hangs_up_only_through_a_whole_account(provider: str) -> None:
    call = CallData(stream_id="S1", call_id="C1")
    assert not can_hang_up(provider, account())
    assert await serializer(provider, call, account()).serialize(EndFrame()) is None
    whole = account(**COMPLETE[provider])
    assert serializer(provider, call, whole)._params.auto_hang_up  # type: ignore[attr-defined]
    without_id = CallData(stream_id="S1")
    assert not serializer(provider, without_id, whole)._params.auto_hang_up  # type: ignore[attr-defined]


def test_what_is_missing_is_named() -> None:
    assert missing("twilio", account()) == ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"]
    assert missing("twilio", account(twilio_account_sid="A", twilio_api_key="K")) == ["TWILIO_API_SECRET"]
    assert missing("telnyx", account(telnyx_api_key="")) == ["TELNYX_API_KEY"]
    assert missing("plivo", account(plivo_auth_id="i")) == ["PLIVO_AUTH_TOKEN"]
    assert missing("exotel", account()) == []


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["-t", "twilio"], ["TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN", "-x HOST"]),
        (["--transport=telnyx", "-x", "host"], ["TELNYX_API_KEY"]),
        (["-t=plivo", "--proxy", "host"], ["PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN"]),
        (["-t", "exotel"], []),
        (["--host=127.0.0.1", "--port=0"], []),
    ],
)
def test_a_missing_account_is_named_at_start(
    arguments: list[str], names: list[str], warnings: list[str]
) -> None:
    check_arguments(arguments, account())
    assert len(warnings) == len(names)
    assert all(name in warning for name, warning in zip(names, warnings, strict=True))


@pytest.mark.parametrize(
    ("arguments", "values", "says"),
    [
        (["-t", "daily"], {}, "DAILY_API_KEY"),
        (["-d"], {}, "DAILY_API_KEY"),
        (["-t", "livekit"], {}, "choose webrtc, daily, websocket, twilio"),
        (
            ["-t", "twilio"],
            {"twilio_account_sid": "A", "twilio_auth_token": "t", "twilio_api_key": "k"},
            "not both",
        ),
        (["-t", "twilio"], {**COMPLETE["twilio"], "twilio_region": "ie1"}, "TWILIO_EDGE"),
    ],
)
def test_what_cannot_work_is_refused_at_start(
    arguments: list[str], values: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        check_arguments(arguments, account(**values))


@pytest.mark.parametrize(
    "messages",
    [
        (),
        ("not json",),
        ("[]", "3"),
        (b"\x00\x01", b"\x02"),
        ({"event": "connected"},),
        ({"event": "connected"}, {"event": "start", "start": {"streamSid": "MZ1"}}),
    ],
)
async def test_a_socket_that_speaks_no_transports_language_is_let_go_in_one_line(
    messages: tuple[object, ...], warnings: list[str]
) -> None:
    socket, sent = websocket(*messages)
    await socket.accept()
    assert await open_transport(WebSocketRunnerArguments(websocket=socket), account()) is None
    assert not any("Traceback" in warning for warning in warnings)
    closed = [message for message in sent if message["type"] == "websocket.close"]
    assert all(message["code"] == UNSUPPORTED for message in closed)
