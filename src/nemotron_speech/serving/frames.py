"""WebSocket frames (RFC 6455), and a client that costs little per message, for thousands of connections.

The client masks what it is told to send in advance, asks for no extensions, and answers pings.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from typing import cast
from urllib.parse import urlsplit

from nemotron_speech.errors import BadRequest

try:
    from websockets.speedups import apply_mask
except ImportError:  # an installation of websockets without its C extension
    from websockets.utils import apply_mask

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_FINAL = 0x80
_MASKED = 0x80
_ACCEPT_SALT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def masked_frame(payload: bytes, kind: int = BINARY) -> bytes:
    """Return `payload` as one frame from a client."""
    key = secrets.token_bytes(4)
    return _head(len(payload), kind, _MASKED) + key + apply_mask(payload, key)


def plain_frame(payload: bytes, kind: int = BINARY) -> bytes:
    """Return `payload` as one frame from a server."""
    return _head(len(payload), kind, 0) + payload


def _head(length: int, kind: int, masked: int) -> bytes:
    if length < 126:
        return bytes((_FINAL | kind, masked | length))
    if length < 1 << 16:
        return bytes((_FINAL | kind, masked | 126)) + length.to_bytes(2)
    return bytes((_FINAL | kind, masked | 127)) + length.to_bytes(8)


class WebSocketClient(asyncio.Protocol):
    """One connection; a subclass hears `opened`, `received` and `lost`."""

    def __init__(self) -> None:
        self.paused = False
        """True while the other side reads too slowly."""
        self._transport: asyncio.Transport | None = None
        self._request = b""
        self._key = base64.b64encode(secrets.token_bytes(16))
        self._open = False
        self._input = bytearray()
        self._message = bytearray()
        self._kind = CONTINUATION

    # ------------------------------------------------------------------------ for the subclass

    async def connect(self, url: str) -> None:
        """Open the connection. Raises OSError, BadRequest (the address)."""
        parts = urlsplit(url)
        secure = parts.scheme in ("wss", "https")
        if not parts.hostname:
            raise BadRequest(f"{url!r} is not an address; give one like ws://localhost:8080")
        self.address(parts.hostname, parts.path or "/", parts.query)
        await asyncio.get_running_loop().create_connection(
            lambda: self, parts.hostname, parts.port or (443 if secure else 80), ssl=secure or None
        )

    def address(self, host: str, path: str, query: str) -> None:
        """Say what to ask the server for; for connections made by other means than `connect`."""
        target = f"{path}?{query}" if query else path
        self._request = (
            f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {self._key.decode()}\r\n\r\n"
        ).encode()

    def opened(self) -> None:
        """Note that the server accepted."""

    def received(self, kind: int, payload: bytes) -> None:
        """Take in a whole message (TEXT, BINARY) or the server's CLOSE."""

    def lost(self, reason: str) -> None:
        """Note that the connection was refused, or has gone."""

    def write(self, frame: bytes) -> None:
        """Send a frame made before."""
        if self._transport:
            self._transport.write(frame)

    def send(self, text: str) -> None:
        self.write(masked_frame(text.encode(), TEXT))

    def close(self) -> None:
        """Say good-bye and hang up, without waiting."""
        if self._transport and not self._transport.is_closing():
            self.write(masked_frame((1000).to_bytes(2), CLOSE))
            self._transport.close()

    # ---------------------------------------------------------------------------- from asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not an instance of it
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.lost(f"the connection was cut{f': {exc}' if exc else ''}")

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def data_received(self, data: bytes) -> None:
        self._input += data
        if not self._open and not self._accepted():
            return
        while (frame := self._next_frame()) is not None:
            self._take(*frame)

    # --------------------------------------------------------------------------------- parsing

    def _accepted(self) -> bool:
        """Return True if the server's answer is here and accepts the upgrade."""
        head, end, rest = bytes(self._input).partition(b"\r\n\r\n")
        if not end:
            return False
        self._input = bytearray(rest)
        accept = base64.b64encode(hashlib.sha1(self._key + _ACCEPT_SALT).digest())
        status = head.split(b" ", 2)[1:2]
        if status != [b"101"] or accept not in head:
            self.lost(f"no WebSocket there: {head.partition(bytes((13, 10)))[0].decode(errors='replace')}")
            self.close()
            return False
        self._open = True
        self.opened()
        return True

    def _next_frame(self) -> tuple[int, bool, bytes] | None:
        """Take a frame off the input: its kind, whether it is the last of its message, its payload."""
        data = self._input
        if len(data) < 2:
            return None
        start, length = 2, data[1] & 0x7F
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(data) < start:
                return None
            length = int.from_bytes(data[2:start])
        if len(data) < start + length:
            return None
        kind, last, payload = data[0] & 0x0F, bool(data[0] & _FINAL), bytes(data[start : start + length])
        del data[: start + length]
        return kind, last, payload

    def _take(self, kind: int, last: bool, payload: bytes) -> None:
        if kind == PING:
            self.write(masked_frame(payload, PONG))
        elif kind == CLOSE:
            self.received(CLOSE, payload)
        elif kind != PONG:
            self._kind = kind or self._kind
            self._message += payload
            if last:
                message, self._message = bytes(self._message), bytearray()
                self.received(self._kind, message)
