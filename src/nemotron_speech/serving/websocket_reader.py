"""The server's half of reading a WebSocket (RFC 6455): bytes in, whole messages and control frames out.

It waits for nothing and writes nothing. Extensions are never agreed on, so the reserved bits must be zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nemotron_speech.errors import PeerError, TooLarge
from nemotron_speech.serving.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, apply_mask

_FINAL, _RESERVED, _OPCODE = 0x80, 0x70, 0x0F
_MASKED, _LENGTH = 0x80, 0x7F
_MASK_BYTES = 4
_LONGER_LENGTH = {126: 2, 127: 8}
"""Bytes of length that follow when the second byte says so."""
_WHOLE_BINARY = _FINAL | BINARY
_MEDIUM = _MASKED | 126
_KINDS = frozenset((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
_MAX_CONTROL_BYTES = 125
_CLOSE_CODES = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015)))
"""The protocol's own codes that may be sent; 3000 to 4999 are free for others."""
_NO_CODE = 1000
"""Stands for a good-bye without a code."""


class Violation(PeerError):
    """Input that is no WebSocket, or not what a client may send."""

    def __init__(self, message: str, close_code: int = 1002) -> None:
        super().__init__(message)
        self.close_code = close_code


class FrameReader:
    """Puts together what one client sends.

    Args:
        message: Told of every whole message, in order, from within `feed`.
        control: Told of the kind and payload of every control frame; a good-bye's is the code to answer.
        limits: Bytes that a message of each kind may have.
    """

    def __init__(
        self,
        message: Callable[[str | bytes], None],
        control: Callable[[int, bytes], None],
        limits: Mapping[int, int],
    ) -> None:
        self._message_came = message
        self._control_came = control
        self._limits = limits
        self._rest = bytearray()
        self._needed = 0
        """Bytes of `_rest` without which nothing new can be said."""
        self._pieces = bytearray()
        self._kind = CONTINUATION
        """Opcode of the message whose pieces are coming; CONTINUATION between messages."""
        self._over = False

    def feed(self, data: bytes) -> None:
        """Take in bytes of the socket. Bytes after a close frame or an error are ignored.

        Raises Violation, and TooLarge as soon as a message is announced that is.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = bytes(self._rest)
            self._rest.clear()
        at, size = 0, len(data)
        while at < size and not self._over:
            end = self._audio(data, at, size) or self._frame(data, at)
            if not end:
                self._rest += data[at:]
                return
            at = end

    def _audio(self, data: bytes, at: int, size: int) -> int:
        """Take the frame at `at` if it is what nearly all are, a whole message of 126 bytes or more.

        Returns the end of it; 0 if it is another, or not all of it is here.
        """
        if self._kind or size < at + 8 or data[at] != _WHOLE_BINARY or data[at + 1] != _MEDIUM:
            return 0
        end = at + 8 + (data[at + 2] << 8 | data[at + 3])
        if end > size:
            return 0
        self._message_came(apply_mask(data[at + 8 : end], data[at + 4 : at + 8]))
        return end

    def _frame(self, data: bytes, at: int) -> int:
        """Take the frame that begins at `at`, and return its end; 0 if not all of it is here."""
        here = len(data) - at
        if here < 2:
            return self._wait_for(2)
        first, second = data[at], data[at + 1]
        self._check(first, second)
        start, length = at + 2, second & _LENGTH
        if longer := _LONGER_LENGTH.get(length):
            start += longer
            if len(data) < start:
                return self._wait_for(start - at)
            length = int.from_bytes(data[start - longer : start])
        self._check_length(first & _OPCODE, length)
        end = start + _MASK_BYTES + length
        if len(data) < end:
            return self._wait_for(end - at)
        payload = apply_mask(data[start + _MASK_BYTES : end], data[start : start + _MASK_BYTES])
        self._frame_came(first & _OPCODE, bool(first & _FINAL), payload)
        return end

    def _wait_for(self, size: int) -> int:
        self._needed = size
        return 0

    def _check(self, first: int, second: int) -> None:
        kind, last = first & _OPCODE, first & _FINAL
        if first & _RESERVED:
            raise self._violation("a reserved bit is set, and no extension was agreed on")
        if kind not in _KINDS:
            raise self._violation(f"there is no opcode {kind}")
        if not second & _MASKED:
            raise self._violation("a client masks its frames")
        if kind >= CLOSE:
            if not last or second & _LENGTH > _MAX_CONTROL_BYTES:
                raise self._violation("a control frame is whole, and has 125 bytes at most")
        elif (kind == CONTINUATION) != (self._kind != CONTINUATION):
            raise self._violation("a message is either begun or continued")

    def _check_length(self, kind: int, length: int) -> None:
        kind = kind or self._kind
        size = len(self._pieces) + length
        if kind < CLOSE and size > self._limits[kind]:
            self._over = True
            self._pieces.clear()
            what = "a text" if kind == TEXT else "an audio"
            raise TooLarge(f"{what} message may have {self._limits[kind]} bytes, this one has {size} or more")

    def _frame_came(self, kind: int, last: bool, payload: bytes) -> None:
        if kind == CLOSE:
            self._over = True
            self._control_came(CLOSE, self._checked_good_bye(payload))
        elif kind > CLOSE:
            self._control_came(kind, payload)
        elif kind and last:
            self._whole(kind, payload)
        else:
            self._piece_came(kind or self._kind, last, payload)

    def _piece_came(self, kind: int, last: bool, payload: bytes) -> None:
        self._pieces += payload
        self._kind = CONTINUATION if last else kind
        if last:
            whole = bytes(self._pieces)
            self._pieces.clear()
            self._whole(kind, whole)

    def _whole(self, kind: int, payload: bytes) -> None:
        self._message_came(self._text(payload, "the text") if kind == TEXT else payload)

    def _text(self, payload: bytes, what: str) -> str:
        try:
            return payload.decode()
        except UnicodeDecodeError:
            raise self._violation(f"{what} is not UTF-8", 1007) from None

    def _checked_good_bye(self, payload: bytes) -> bytes:
        """Return the close code to answer with: two bytes."""
        if not payload:
            return _NO_CODE.to_bytes(2)
        code = int.from_bytes(payload[:2]) if len(payload) > 1 else 0
        if code not in _CLOSE_CODES and not 3000 <= code <= 4999:
            raise self._violation(f"there is no close code {code}")
        self._text(payload[2:], "the reason")
        return payload[:2]

    def _violation(self, message: str, code: int = 1002) -> Violation:
        self._over = True
        return Violation(message, code)
