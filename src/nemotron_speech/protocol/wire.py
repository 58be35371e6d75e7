"""JSON codec of typed messages, with errors that say what is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from nemotron_speech.errors import BadRequest, TooLarge

MAX_TEXT_BYTES = 256 * 1024
MAX_AUDIO_BYTES = 1024 * 1024


def tag_of(message_type: type[msgspec.Struct]) -> str:
    return str(message_type.__struct_config__.tag)


class Decoder:
    """Decode the messages one side of a protocol may send; refuse everything else by name."""

    def __init__(self, types: Iterable[type[msgspec.Struct]], tag_field: str = "type") -> None:
        self._decoders = {tag_of(t): msgspec.json.Decoder(t) for t in types}
        self._tag_field = tag_field
        self._raw = msgspec.json.Decoder()

    def tag(self, message: str | bytes) -> str:
        """Return the message's type. Raises BadRequest when there is none."""
        value = self._parse(message)
        tag = value.get(self._tag_field) if isinstance(value, dict) else None
        if not isinstance(tag, str):
            raise BadRequest(
                f'a message is a JSON object with a string "{self._tag_field}"; {self._allowed()}'
            )
        return tag

    def decode(self, message: str | bytes) -> Any:
        """Return the typed message. Raises BadRequest (what was wrong, what is allowed) or TooLarge."""
        check_text_size(message)
        tag = self.tag(message)
        if tag not in self._decoders:
            raise BadRequest(f"unknown message {self._tag_field} {tag[:40]!r}; {self._allowed()}")
        try:
            return self._decoders[tag].decode(message)
        except msgspec.ValidationError as error:
            raise BadRequest(f"bad {tag!r} message: {error}") from None

    def decode_known(self, message: str | bytes) -> Any | None:
        """Return the typed message, or None for a type this side does not know (clients ignore those)."""
        return self.decode(message) if self.tag(message) in self._decoders else None

    def _parse(self, message: str | bytes) -> object:
        try:
            return self._raw.decode(message)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise BadRequest(f"a text message must be JSON: {error}") from None
        except RecursionError:
            raise BadRequest("a text message must be JSON that is not nested this deep") from None

    def _allowed(self) -> str:
        return f"allowed: {', '.join(sorted(self._decoders))}"


def encode(message: msgspec.Struct) -> str:
    return msgspec.json.encode(message).decode()


def check_text_size(message: str | bytes) -> None:
    """Raise TooLarge for a text message no honest client sends; a character counts as at least one byte."""
    if len(message) > MAX_TEXT_BYTES:
        raise TooLarge(f"a text message may have {MAX_TEXT_BYTES} bytes, this one has {len(message)}")


def check_audio_size(pcm: bytes) -> None:
    """Raise TooLarge for an audio message no honest client sends."""
    if len(pcm) > MAX_AUDIO_BYTES:
        raise TooLarge(f"an audio message may have {MAX_AUDIO_BYTES} bytes, this one has {len(pcm)}")


class WholeSamples:
    """Puts samples together again that messages have cut in two (PCM16LE)."""

    def __init__(self) -> None:
        self._half = b""

    def of(self, data: bytes) -> bytes:
        """Return the whole samples up to the end of `data`."""
        if not self._half and not len(data) & 1:
            return data
        data = self._half + data
        whole = len(data) & ~1
        self._half = data[whole:]
        return data[:whole]

    def restart(self) -> None:
        """Forget half a sample: what follows begins with a whole one."""
        self._half = b""
