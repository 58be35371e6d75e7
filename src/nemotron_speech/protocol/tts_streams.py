"""Streaming synthesis, the server's end: which segment is next, and which audio may still be sent.

A caller's text forms streams, spoken one after the other in the order they came. A stream is open until
it is closed (by `close`, by a repeated `init`, or by text of another utterance) and is announced when its
turn comes, so that audio always belongs to the stream announced last. A cancelled stream accepts no audio.

An `init` is answered by the announcement of a stream without a name, which text without a name joins. Text
that names its utterance begins a stream of its own, announced by that name; the other was for nothing.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from weakref import WeakSet

import msgspec

from nemotron_speech.errors import BadRequest, TooLarge, require
from nemotron_speech.languages import matched
from nemotron_speech.protocol.tts import (
    FROM_CLIENT,
    Cancel,
    Cancelled,
    Close,
    Done,
    Init,
    Mode,
    Ping,
    Pong,
    SegmentComplete,
    StreamCreated,
    Text,
    TtsError,
)
from nemotron_speech.protocol.wire import encode

MAX_QUEUED_SEGMENTS = 512
SAMPLE_RATES = (8000, 48000)
"""The least and the most a caller may ask for."""
MAX_UNSPOKEN = 200
"""Characters of what was not spoken that are told."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Capabilities of the synthesis server."""

    sample_rate: int
    voices: Sequence[str]
    languages: Sequence[str]
    presets: Sequence[str]
    max_text: int = 4000


@dataclass(slots=True, eq=False, weakref_slot=True)
class Stream:
    """Segments spoken under one announcement."""

    utterance: str | None
    voice: str
    language: str
    sample_rate: int
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    segments: deque[SegmentRequest] = field(default_factory=deque)
    announced: bool = False
    closed: bool = False
    cancelled: bool = False
    spoken: int = 0
    samples: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class SegmentRequest:
    """One text to speak, in its stream."""

    stream: Stream
    text: str
    mode: Mode
    preset: str


class TtsServer:
    """One caller as the server sees it. At most one segment is being spoken at a time.

    Args:
        capabilities: Returns what the server can say now: voices may be learnt and forgotten.
    """

    def __init__(self, capabilities: Callable[[], Capabilities]) -> None:
        self._capabilities = capabilities
        offer = capabilities()
        self._voice, self._language = offer.voices[0], offer.languages[0]
        self._mode: Mode = "stream"
        self._sample_rate = offer.sample_rate
        self._streams: deque[Stream] = deque()
        self._held: WeakSet[Stream] = WeakSet()
        """Every stream somebody holds still: one that is done may have audio that was not sent yet."""
        self._speaking: SegmentRequest | None = None
        self._samples = 0

    @property
    def idle(self) -> bool:
        """True if every segment asked for has been spoken."""
        speaking = self._speaking is not None and not self._speaking.stream.cancelled
        return not speaking and not any(stream.segments for stream in self._streams)

    # ------------------------------------------------------------------------ what the caller says

    def receive(self, message: str | bytes) -> list[str]:
        """Take in one message; return the replies to send now. Raises BadRequest, which is not fatal."""
        if isinstance(message, bytes):
            raise BadRequest("this endpoint takes JSON text messages, not binary ones")
        match FROM_CLIENT.decode(message):
            case Init() as init:
                return self._init(init)
            case Text() as text:
                return self._text(text)
            case Close() as close:
                return self._close(close)
            case Cancel() as cancel:
                return self._cancel(cancel)
            case Ping():
                return [encode(Pong())]
        raise BadRequest("unknown message")

    def _init(self, init: Init) -> list[str]:
        offer = self._capabilities()
        voice = init.voice or self._voice
        language = matched(init.language, offer.languages) if init.language else self._language
        require("voice", voice, offer.voices)
        self._sample_rate = _checked_rate(init.sample_rate) or self._sample_rate
        self._voice, self._language = voice, language
        self._mode = init.default_mode or self._mode
        replies = self._close_open_stream()
        stream = self._new_stream(None)
        stream.announced = True
        return [*replies, self._announcement(stream, names_utterances=True)]

    def _text(self, text: Text) -> list[str]:
        offer = self._capabilities()
        preset = text.preset or default_preset(offer.presets)
        require("preset", preset, offer.presets)
        if len(text.text) > offer.max_text:
            raise TooLarge(f"a segment may have {offer.max_text} characters, this one has {len(text.text)}")
        if sum(len(s.segments) for s in self._streams) >= MAX_QUEUED_SEGMENTS:
            raise BadRequest(f"{MAX_QUEUED_SEGMENTS} segments are queued already; wait for segment_complete")
        stream = self._open_stream(text.utterance)
        stream.segments.append(SegmentRequest(stream, text.text, text.mode or self._mode, preset))
        return self._finished()

    def _close(self, close: Close) -> list[str]:
        named = [s for s in self._streams if close.utterance in (None, s.utterance)]
        if not named:
            return [encode(Done(total_audio_ms=0, segments_generated=0, utterance=close.utterance))]
        named[-1].closed = True
        return self._finished()

    def _cancel(self, cancel: Cancel) -> list[str]:
        for stream in self._held:
            stream.cancelled |= cancel.utterance in (None, stream.utterance)
        self._streams = deque(s for s in self._streams if not s.cancelled)
        return [encode(Cancelled(utterance=cancel.utterance))]

    def _open_stream(self, utterance: str | None) -> Stream:
        last = self._streams[-1] if self._streams else None
        if last is not None and not last.closed and last.utterance == utterance:
            return last
        self._end_open_stream()
        return self._new_stream(utterance)

    def _new_stream(self, utterance: str | None) -> Stream:
        stream = Stream(utterance, self._voice, self._language, self._sample_rate)
        self._streams.append(stream)
        self._held.add(stream)
        return stream

    def _end_open_stream(self) -> None:
        """Let no more text join; a stream that none has joined is forgotten."""
        if not self._streams:
            return
        last = self._streams[-1]
        last.closed = True
        if last.announced and not self._has_text(last):
            self._streams.pop()

    def _has_text(self, stream: Stream) -> bool:
        """Return whether text of the stream has been spoken, is being spoken, or will be."""
        is_spoken = self._speaking is not None and self._speaking.stream is stream
        return bool(stream.spoken or stream.segments) or is_spoken

    def _close_open_stream(self) -> list[str]:
        self._end_open_stream()
        return self._finished()

    # ------------------------------------------------------------------------- what the engine does

    def begin(self) -> tuple[list[str], SegmentRequest] | None:
        """Take the next segment to speak, with the messages that precede its audio; None if none is due."""
        if self._speaking is not None and not self._speaking.stream.cancelled:
            return None
        stream = self._streams[0] if self._streams else None
        if stream is None or not stream.segments:
            return None
        messages = [] if stream.announced else [self._announcement(stream)]
        stream.announced = True
        self._speaking, self._samples = stream.segments.popleft(), 0
        return messages, self._speaking

    def audio(self, segment: SegmentRequest, pcm: bytes) -> bool:
        """Count audio of `segment`, at the rate of its stream; whether it may be sent."""
        if segment.stream.cancelled or segment is not self._speaking:
            return False
        self._samples += len(pcm) // 2
        return True

    def complete(
        self,
        segment: SegmentRequest,
        words: Sequence[tuple[str, int, int]] | None = None,
        *,
        estimated: bool = False,
        unspoken: Sequence[str] = (),
    ) -> list[str]:
        """Return the messages that follow the last audio of `segment`.

        Args:
            words: Those of its text, with their places in the audio in milliseconds.
            estimated: True if these places are worked out from the text alone.
            unspoken: Part of the text that could not be spoken.
        """
        stream = segment.stream
        if stream.cancelled or segment is not self._speaking:
            return []
        self._speaking = None
        stream.spoken += 1
        stream.samples += self._samples
        done = SegmentComplete(
            segment=stream.spoken,
            audio_ms=_ms(self._samples, stream),
            utterance=stream.utterance,
            words=list(words) if words else None,
            words_estimated=estimated and bool(words),
            unspoken=" ".join(unspoken)[:MAX_UNSPOKEN] or None,
        )
        return [encode(done), *self._finished()]

    def fail(self, segment: SegmentRequest, message: str) -> list[str]:
        """Return the messages for a segment that could not be spoken (to its end); the next one can."""
        if segment.stream.cancelled or segment is not self._speaking:
            return []
        failure = TtsError(message=message, utterance=segment.stream.utterance or msgspec.UNSET)
        return [encode(failure), *self.complete(segment)]

    def error(self, message: str, fatal: bool) -> str:
        return encode(TtsError(message=message, fatal=fatal))

    def _finished(self) -> list[str]:
        """Report the streams at the head that are closed and have nothing left to speak."""
        messages: list[str] = []
        while self._streams and self._streams[0].closed and not self._streams[0].segments:
            stream = self._streams[0]
            if self._speaking is not None and self._speaking.stream is stream:
                break
            self._streams.popleft()
            messages.append(
                encode(
                    Done(
                        total_audio_ms=_ms(stream.samples, stream),
                        segments_generated=stream.spoken,
                        utterance=stream.utterance,
                    )
                )
            )
        return messages

    def _announcement(self, stream: Stream, *, names_utterances: bool = False) -> str:
        created = StreamCreated(
            stream_id=stream.id,
            sample_rate=stream.sample_rate,
            utterance=stream.utterance,
            names_utterances=names_utterances,
        )
        return encode(created)


def default_preset(presets: Sequence[str]) -> str:
    return "balanced" if "balanced" in presets else presets[0]


def _ms(samples: int, stream: Stream) -> float:
    return round(samples * 1000 / stream.sample_rate, 1)


def _checked_rate(sample_rate: int | None) -> int | None:
    least, most = SAMPLE_RATES
    if sample_rate is not None and not least <= sample_rate <= most:
        raise BadRequest(f"sample_rate {sample_rate}; allowed: {least} to {most}")
    return sample_rate
