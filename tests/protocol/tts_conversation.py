"""A caller and a synthesiser as one Hypothesis state machine, with messages in flight both ways.

Every step is free to happen at any time: the caller speaks, finishes, interrupts, changes voice or
reconnects; the network delivers one message in either direction; the engine begins a segment, makes a
frame, ends or fails, and a step that was running when its segment was cancelled ends whenever it likes. Each
frame of audio says which segment it is of, so what the caller hears is compared with what was asked for.
"""

from __future__ import annotations

import json
import struct
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from benchmarks.doubles.plain_tts import Asked, PlainServer, State
from nemotron_speech.protocol.tts import (
    AudioReceived,
    Event,
    SegmentSpoken,
    StreamStarted,
    SynthesisFailed,
    UtteranceDone,
)
from nemotron_speech.protocol.tts_client import TtsClient
from nemotron_speech.protocol.tts_streams import Capabilities, SegmentRequest, TtsServer

FRAME = struct.Struct("<HH")
OFFER = Capabilities(22050, ("aria", "john"), ("en",), ("balanced",))
UTTERANCES = st.sampled_from(("hello", "weather", "story"))


class StaleAudio(AssertionError):
    """Audio of an utterance that was given up has been accepted."""


@dataclass
class Spoken:
    """One segment as the caller asked for it."""

    utterance: str
    frames: int
    fails: bool
    stale: bool = False
    heard: list[int] = field(default_factory=list)
    complete: bool = False


class OurServer(TtsServer):
    """The server of this project."""

    def __init__(self) -> None:
        super().__init__(lambda: OFFER)

    def has_dropped(self, segment: SegmentRequest) -> bool:
        return segment.stream.cancelled


class NamelessServer(OurServer):
    """A server that knows no names: it reads none and echoes none, and announces streams in their turn."""

    def receive(self, message: str | bytes) -> list[str]:
        fields = json.loads(message)
        fields.pop("utterance", None)
        return [
            reply.replace(',"names_utterances":true', "") for reply in super().receive(json.dumps(fields))
        ]


class DoubledServer:
    """The double of the plain server, to be used like ours."""

    def __init__(self) -> None:
        self._server = PlainServer()

    @property
    def idle(self) -> bool:
        return self._server.idle

    def receive(self, message: str) -> list[str]:
        return self._server.receive(message)

    def begin(self) -> tuple[list[str], Asked] | None:
        asked = self._server.begin()
        return None if asked is None else ([], asked)

    def audio(self, segment: Asked, pcm: bytes) -> bool:
        return self._server.audio(segment, pcm)

    def complete(self, segment: Asked) -> list[str]:
        return self._server.complete(segment)

    def fail(self, segment: Asked, message: str) -> list[str]:
        return self._server.fail(segment, message)

    def has_dropped(self, segment: Asked) -> bool:
        return segment.stream.state is State.OVER


class SilentServer(DoubledServer):
    """One that answers no pings."""

    def receive(self, message: str) -> list[str]:
        return [] if "ping" in message else super().receive(message)


class Conversation(RuleBasedStateMachine):
    """A client and a server of this project; subclasses put another in the place of one end."""

    client_class: type[TtsClient] = TtsClient
    server_class: type[OurServer | DoubledServer] = OurServer

    def __init__(self) -> None:
        super().__init__()
        self.segments: list[Spoken] = []
        self.connect()

    def connect(self) -> None:
        self.client: TtsClient = self.client_class()
        self.server: Any = self.server_class()
        self.up: deque[str] = deque()
        self.down: deque[str | bytes] = deque()
        self.steps: list[tuple[Any, int]] = []
        self.open: str | None = None
        self.expected_done: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.wire: list[dict] = []

    # ------------------------------------------------------------------------- the caller

    @rule(utterance=UTTERANCES, frames=st.integers(0, 3), fails=st.booleans())
    def speak(self, utterance: str, frames: int, fails: bool) -> None:
        if self.open != utterance:
            self.close_open()
        self.open = utterance
        self.segments.append(Spoken(utterance, frames, fails))
        self.client.speak(utterance, str(len(self.segments) - 1))
        self.flush()

    @rule(utterance=UTTERANCES)
    def finish(self, utterance: str) -> None:
        self.client.finish(utterance)
        self.flush()
        if self.open == utterance:
            self.close_open()

    @rule(voice=st.sampled_from(("aria", "john")))
    def change_voice(self, voice: str) -> None:
        self.client.init(voice)
        self.flush()
        self.close_open()

    @rule()
    def interrupt(self) -> None:
        self.client.cancel()
        self.flush()
        self.give_up()

    @rule()
    def reconnect(self) -> None:
        self.give_up()
        self.connect()

    def flush(self) -> None:
        self.up.extend(self.client.to_send())

    def close_open(self) -> None:
        if self.open is not None:
            self.expected_done[self.open] += 1
        self.open = None

    def give_up(self) -> None:
        for segment in self.segments:
            segment.stale = True
        self.open = None
        self.expected_done.clear()
        self.done.clear()

    # ------------------------------------------------------------------------- the network

    @precondition(lambda self: self.up)
    @rule()
    def server_reads(self) -> None:
        self.send(self.server.receive(self.up.popleft()))

    @precondition(lambda self: self.down)
    @rule()
    def client_reads(self) -> None:
        events = self.client.receive(self.down.popleft())
        self.flush()
        for event in events:
            self.learn(event)

    def learn(self, event: Event) -> None:
        match event:
            case AudioReceived(utterance, pcm):
                self.hear(utterance, *FRAME.unpack(pcm))
            case SegmentSpoken(utterance):
                self.complete(utterance)
            case UtteranceDone(utterance):
                self.done[utterance] += 1
            case SynthesisFailed(message=text):
                self.hear_failure(int(text))
            case StreamStarted():
                pass

    def send(self, messages: list[str]) -> None:
        self.down.extend(messages)
        self.wire.extend(map(json.loads, messages))

    def hear(self, utterance: str, number: int, frame: int) -> None:
        segment = self.segments[number]
        if segment.stale:
            raise StaleAudio(f"frame {frame} of segment {number}")
        assert utterance == segment.utterance
        assert segment is self.next_to_hear()
        assert frame == len(segment.heard)
        segment.heard.append(frame)

    def hear_failure(self, number: int) -> None:
        assert not self.segments[number].stale, "an old failure was reported"

    def complete(self, utterance: str) -> None:
        segment = self.next_to_hear()
        assert segment is not None, "a segment was completed twice"
        assert segment.utterance == utterance
        assert len(segment.heard) == segment.frames, "a segment was completed before its last audio"
        segment.complete = True

    def next_to_hear(self) -> Spoken | None:
        return next((s for s in self.segments if not s.stale and not s.complete), None)

    # ------------------------------------------------------------------------- the engine

    def may_begin(self) -> bool:
        return all(self.server.has_dropped(segment) for segment, _ in self.steps)

    @precondition(may_begin)
    @rule()
    def engine_begins(self) -> None:
        begun = self.server.begin()
        if begun is not None:
            messages, segment = begun
            self.send(messages)
            self.steps.append((segment, 0))

    @precondition(lambda self: self.steps)
    @rule(data=st.data())
    def engine_steps(self, data: st.DataObject) -> None:
        self.step(data.draw(st.integers(0, len(self.steps) - 1)))

    def step(self, index: int) -> None:
        segment, frame = self.steps.pop(index)
        spoken = self.segments[int(segment.text)]
        if frame < spoken.frames:
            pcm = FRAME.pack(int(segment.text), frame)
            if self.server.audio(segment, pcm):
                assert not self.server.has_dropped(segment)
                self.down.append(pcm)
            self.steps.append((segment, frame + 1))
        elif spoken.fails:
            self.send(self.server.fail(segment, segment.text))
        else:
            self.send(self.server.complete(segment))

    # ------------------------------------------------------------------------ left alone, to the end

    def teardown(self) -> None:
        self.run_to_the_end()
        for segment in self.segments:
            assert segment.stale or segment.complete, "what was asked for was not heard"
        assert self.done == self.expected_done
        self.check_wire()

    def run_to_the_end(self) -> None:
        for _ in range(1000):
            if not (self.up or self.down or self.steps or not self.server.idle):
                return
            while self.up:
                self.server_reads()
            if self.may_begin():
                self.engine_begins()
            if self.steps:
                self.step(0)
            while self.down:
                self.client_reads()
        raise AssertionError("the end is never reached")

    def check_wire(self) -> None:
        """What any client may rely on, read off the messages themselves."""
        created = Counter(
            m["utterance"] for m in self.wire if m.get("utterance") and m["type"] == "stream_created"
        )
        assert all(count == 1 for count in created.values())
        done = Counter(m.get("utterance") for m in self.wire if m["type"] == "done")
        assert all(done[utterance] <= 1 for utterance in created)
        for message in self.wire:
            if message["type"] == "done" and message.get("utterance") in created:
                segments = [
                    m
                    for m in self.wire
                    if m["type"] == "segment_complete" and m["utterance"] == message["utterance"]
                ]
                assert [m["segment"] for m in segments] == list(range(1, len(segments) + 1))
                assert message["segments_generated"] == len(segments)
