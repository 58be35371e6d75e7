"""Streamed answers of a language model's server: bytes go in, events come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from nemotron_speech.errors import PeerError
from nemotron_speech.protocol.llama.events import (
    Event,
    Finish,
    FinishReason,
    Progress,
    TextDelta,
    ThoughtDelta,
)
from nemotron_speech.protocol.llama.facts import stated_error
from nemotron_speech.protocol.llama.tolerance import Surrogates, lenient
from nemotron_speech.protocol.llama.tool_calls import CallAssembler
from nemotron_speech.protocol.llama.wire import (
    ChatChunk,
    CompletionChunk,
    Delta,
    ErrorDetail,
    ProgressBody,
    PromptDetails,
    Timings,
    ToolCall,
    Usage,
)
from nemotron_speech.protocol.sse import MAX_EVENT_BYTES, SseEvent, SseParser

_CHAT_CHUNK = msgspec.json.Decoder(ChatChunk)
_COMPLETION_CHUNK = msgspec.json.Decoder(CompletionChunk)
_ANY_ERROR = msgspec.json.Decoder(ErrorDetail)


class ChatAnswer:
    """Turn the bytes of one streamed chat answer into events."""

    def __init__(self) -> None:
        self._parser = SseParser()
        self._reason: FinishReason | None = None
        self._usage = Usage()
        self._timings: Timings | None = None
        self._surrogates = Surrogates()
        self._calls = CallAssembler()
        self._unframed = b""
        """Start of a body that is no event stream: an answer, or an error, in one piece of JSON."""
        self._is_stream: bool | None = None
        self._has_begun = False
        """True once words or a tool call were received."""
        self.ended = False
        """True once the last event (Finish or ServerError) has been given."""

    @property
    def is_complete(self) -> bool:
        """True if the server has said why the answer ends: nothing but counts follows."""
        return self._reason is not None

    def feed(self, data: bytes) -> list[Event]:
        """Take in the next bytes. Raises PeerError for what is not a chat answer."""
        if self._is_stream is None and data.strip():
            self._is_stream = not data.lstrip().startswith(b"{")
        if self._is_stream is False:
            self._unframed += data
            if len(self._unframed) > MAX_EVENT_BYTES:
                raise PeerError(f"the peer sent an answer of more than {MAX_EVENT_BYTES} bytes")
            return []
        return [event for sse in self._parser.feed(data) if not self.ended for event in self._take(sse)]

    def end(self) -> list[Event]:
        """Take in that the body has ended, as HTTP ends one. Raises PeerError if the answer has not.

        An answer that has begun is over then, whether or not the server said so; a tool call that is not
        complete never is. A connection that breaks is no such end.
        """
        events = self._rest()
        if self.ended:
            return events
        if self._reason is None and not (self._has_begun and self._calls.is_complete):
            raise PeerError("the answer broke off")
        return [*events, self._finish(self._reason or FinishReason.OTHER)]

    def _rest(self) -> list[Event]:
        """Return the events of a body that is no event stream, or whose last event is not closed."""
        text, self._unframed = self._unframed.decode(errors="replace"), b""
        left = [SseEvent(text)] if text else self._parser.finish()
        return [event for sse in left if not self.ended for event in self._take(sse)]

    def _take(self, sse: SseEvent) -> list[Event]:
        if sse.data.strip() == "[DONE]":
            return [self._finish(self._reason or FinishReason.OTHER)]
        if not sse.data.strip():
            return []
        try:
            return self._take_chunk(_chat_chunk(sse))
        except PeerError:
            lines = [line.removeprefix("data:") for line in sse.data.splitlines() if line.strip()]
            if len(lines) < 2:
                raise
            return self._take_lines(lines)

    def _take_lines(self, lines: Sequence[str]) -> list[Event]:
        """Take one chunk from each line: some servers put no empty line between events."""
        taken = (self._take(SseEvent(line)) for line in lines if not self.ended)
        return [event for events in taken for event in events]

    def _take_chunk(self, chunk: ChatChunk) -> list[Event]:
        if chunk.error is not None:
            self.ended = True
            return [stated_error(chunk.error)]
        self._usage = chunk.usage or self._usage
        self._timings = chunk.timings or self._timings
        events: list[Event] = []
        if chunk.prompt_progress is not None:
            events.append(_progress(chunk.prompt_progress))
        for choice in chunk.choices:
            events += self._delta_events(
                choice.message or choice.delta, generated=chunk.prompt_progress is None
            )
            if choice.finish_reason:
                self._reason = _finish_reason(choice.finish_reason)
        return events

    def _delta_events(self, delta: Delta, generated: bool) -> list[Event]:
        events: list[Event] = []
        if thought := _whole_characters(delta.reasoning_content or delta.reasoning):
            events.append(ThoughtDelta(self._surrogates.join(thought)))
        if text := self._surrogates.join(_whole_characters(delta.content)):
            events.append(TextDelta(text, generated))
            self._has_begun = True
        pieces = list(delta.tool_calls or ())
        if delta.function_call is not None:
            pieces.append(ToolCall(function=delta.function_call))
        self._has_begun = self._has_begun or bool(pieces)
        return events + [call for piece in pieces if (call := self._calls.delta(piece)) is not None]

    def _finish(self, reason: FinishReason) -> Finish:
        self.ended = True
        usage, timings = self._usage, self._timings or Timings()
        details = usage.prompt_tokens_details or PromptDetails(None)
        return Finish(
            reason,
            prompt_tokens=usage.prompt_tokens or timings.cache_n + timings.prompt_n,
            cached_tokens=timings.cache_n or details.cached_tokens or 0,
            completion_tokens=usage.completion_tokens or timings.predicted_n,
            states_cache=self._timings is not None or details.cached_tokens is not None,
        )


class CompletionAnswer:
    """Turn the bytes of one streamed `/completion` answer into events. The same interface as `ChatAnswer`."""

    def __init__(self) -> None:
        self._parser = SseParser()
        self.ended = False

    def feed(self, data: bytes) -> list[Event]:
        """Take in the next bytes. Raises PeerError for what is not a completion."""
        return [event for sse in self._parser.feed(data) if not self.ended for event in self._take(sse)]

    def end(self) -> list[Event]:
        """The connection has ended. Raises PeerError when that was in the middle of the answer."""
        if not self.ended:
            raise PeerError("the answer broke off")
        return []

    def _take(self, sse: SseEvent) -> list[Event]:
        chunk = _decode(sse, _COMPLETION_CHUNK)
        if chunk.error is not None:
            self.ended = True
            return [stated_error(chunk.error)]
        events: list[Event] = []
        if chunk.prompt_progress is not None:
            events.append(_progress(chunk.prompt_progress))
        if text := _whole_characters(chunk.content):
            events.append(TextDelta(text))
        if chunk.stop:
            self.ended = True
            reason = FinishReason.LENGTH if chunk.stop_type == "limit" else FinishReason.STOP
            timings = chunk.timings or Timings()
            prompt_tokens = timings.cache_n + timings.prompt_n
            stated = chunk.timings is not None
            events.append(Finish(reason, prompt_tokens, timings.cache_n, timings.predicted_n, stated))
        return events


def _progress(progress: ProgressBody) -> Progress:
    return Progress(progress.total, progress.cache, progress.processed, round(progress.time_ms))


def _whole_characters(text: str | None) -> str:
    return text.replace("\ufffd", "") if text else ""


def _chat_chunk(sse: SseEvent) -> ChatChunk:
    try:
        return _decode(sse, _CHAT_CHUNK)
    except PeerError:
        try:
            return lenient(sse.data)
        except (ValueError, msgspec.ValidationError):
            pass
        raise


def _finish_reason(name: str) -> FinishReason:
    return FinishReason(name) if name in set(FinishReason) else FinishReason.OTHER


def _decode(sse: SseEvent, decoder: msgspec.json.Decoder[Any]) -> Any:
    try:
        if sse.type == "error":
            return decoder.type(error=_ANY_ERROR.decode(sse.data))
        return decoder.decode(sse.data)
    except msgspec.DecodeError as error:
        raise PeerError(f"not an answer of a language model: {error}") from None
