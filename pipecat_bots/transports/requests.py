"""Bodies of a runner's HTTP routes: one that fits none of them is answered with the fields they take."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal

from aiortc import RTCSessionDescription
from aiortc.sdp import SessionDescription, candidate_from_sdp
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 256 * 1024
"""Most bytes of a request; an offer has a few thousand."""


class Start(BaseModel):
    """The body of `POST /start`."""

    model_config = ConfigDict(extra="allow", strict=True)

    transport: str | None = None
    body: Any = None
    createDailyRoom: bool | None = None  # noqa: N815
    dailyRoomProperties: dict[str, Any] | None = None  # noqa: N815
    dailyMeetingTokenProperties: dict[str, Any] | None = None  # noqa: N815
    enableDefaultIceServers: bool | None = None  # noqa: N815


class SdpOffer(BaseModel):
    """The body of `POST /api/offer`, and of the same path below a session."""

    model_config = ConfigDict(extra="allow", strict=True)

    sdp: str
    type: Literal["offer"]
    pc_id: str | None = None
    restart_pc: bool | None = None

    @field_validator("sdp")
    @classmethod
    def _describes_a_call(cls, sdp: str) -> str:
        """Read the description as the connection will. Raises ValueError."""
        RTCSessionDescription(sdp=sdp, type="offer")
        try:
            session = SessionDescription.parse(sdp)
        except (ValueError, IndexError, KeyError, AttributeError, AssertionError, TypeError):
            raise ValueError("it is no session description") from None
        if not session.media:
            raise ValueError("it offers no media")
        for media in session.media:
            if media.ice is None or not (media.ice.usernameFragment and media.ice.password):
                raise ValueError("it has no ICE credentials")
            if media.dtls is None or not media.dtls.fingerprints:
                raise ValueError("it has no DTLS fingerprint")
        return sdp


class Candidate(BaseModel):
    """One address at which a caller may be found; an empty one says that there are no more."""

    model_config = ConfigDict(extra="allow", strict=True)

    candidate: str
    sdp_mid: str
    sdp_mline_index: int

    @field_validator("candidate")
    @classmethod
    def _is_one(cls, candidate: str) -> str:
        """Read the candidate as the connection will. Raises ValueError."""
        if candidate:
            try:
                candidate_from_sdp(candidate)
            except (ValueError, IndexError, AssertionError):
                raise ValueError("it is no ICE candidate") from None
        return candidate


class Candidates(BaseModel):
    """The body of `PATCH /api/offer`, and of the same path below a session."""

    model_config = ConfigDict(extra="allow", strict=True)

    pc_id: str
    candidates: list[Candidate] = []


_ROOMS = re.compile(r"^/daily(-dialin-webhook)?/?$")
"""Routes that make a room at Daily."""
_OFFER = re.compile(r"^(/sessions/[^/]+)?/api/offer/?$")
_ROUTES: tuple[tuple[str, re.Pattern[str], type[BaseModel]], ...] = (
    ("POST", re.compile(r"^/start/?$"), Start),
    ("POST", _OFFER, SdpOffer),
    ("PATCH", _OFFER, Candidates),
)


Lacks = Callable[[str | None, bool], str | None]
"""Says what a transport lacks here: its name, or None for the usual one, and whether a room is asked for."""


class CheckedBodies:
    """ASGI middleware: requests of these routes go on when their bodies are what the routes take.

    An empty body of `/start` is one with every default. Others get 400 (no JSON, or a transport that cannot
    work here), 413 or 422, and a sentence.

    Args:
        lacks: Says what a transport lacks here, as a sentence; None where it lacks nothing.
    """

    def __init__(self, app: ASGIApp, lacks: Lacks = lambda transport, wants_room: None) -> None:
        self._app = app
        self._lacks = lacks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _ROOMS.match(scope["path"]) and (lack := self._lacks("daily", True)):
            await JSONResponse({"detail": lack}, 400)(scope, receive, send)
            return
        model = _model(scope)
        if model is None:
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        if problem := _problem(model, body) or self._lack(model, body):
            status, detail = problem
            await JSONResponse({"detail": detail}, status)(scope, receive, send)
            return
        await self._app(_as_json(scope), _again(body, receive), send)

    def _lack(self, model: type[BaseModel], body: bytes) -> tuple[int, str] | None:
        if model is not Start:
            return None
        start = Start.model_validate(json.loads(body)) if body.strip() else Start()
        lack = self._lacks(start.transport, bool(start.createDailyRoom))
        return (400, lack) if lack else None


def _as_json(scope: Scope) -> Scope:
    """Return the request with the content type that its body was found to have."""
    others = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
    return {**scope, "headers": [*others, (b"content-type", b"application/json")]}


def _model(scope: Scope) -> type[BaseModel] | None:
    if scope["type"] != "http":
        return None
    method, asked = scope["method"], scope["path"]
    return next((model for verb, path, model in _ROUTES if verb == method and path.match(asked)), None)


async def _read(receive: Receive) -> bytes:
    """Return the body, or its beginning where it is too long."""
    body, more = b"", True
    while more and len(body) <= MOST_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read already, and then what follows it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _problem(model: type[BaseModel], body: bytes) -> tuple[int, str] | None:
    """Return the status and the sentence that refuse a body; None where it is taken."""
    if len(body) > MOST_BYTES:
        return 413, f"The request is larger than {MOST_BYTES // 1024} KiB."
    if not body.strip() and model is Start:
        return None
    try:
        model.model_validate(json.loads(body))
    except ValidationError as error:
        return 422, _sentence(error)
    except (ValueError, RecursionError):
        return 400, "The request is no JSON."
    return None


def _sentence(error: ValidationError) -> str:
    """Return what is wrong with a body, name by name, without its values."""
    parts = []
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(map(str, each["loc"])) or "body"
        parts.append(f"{name}: {each['msg']}")
    return "; ".join(parts) + "."
