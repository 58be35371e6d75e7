"""Each reset gets exactly one final, covering exactly the audio before it, whatever the interleaving."""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from nemotron_speech.protocol import asr
from nemotron_speech.protocol.asr import (
    AsrClient,
    AsrServer,
    Audio,
    ClientState,
    Final,
    Interim,
    Ready,
    ResetRequested,
)


def words(samples: list[int]) -> str:
    """The transcript of an utterance: its samples, so that a text says which audio it covers."""
    return " ".join(map(str, samples))


@dataclass
class Utterance:
    sent: list[int] = field(default_factory=list)
    loose_byte: bytes = b""


class Recognition(RuleBasedStateMachine):
    """One caller of a recogniser that hears sample values; audio is cut anywhere, between bytes too."""

    def __init__(self) -> None:
        super().__init__()
        self.client, self.server = AsrClient(), AsrServer()
        self.up: deque[str | bytes] = deque()
        self.down: deque[str] = deque([self.server.ready()])
        self.heard: list[int] = []
        self.inbox: deque[Audio | ResetRequested] = deque()
        self.utterance = Utterance()
        self.sample = 0
        self.expected: deque[tuple[str, str, bool]] = deque()
        self.over: set[int] = set()

    # ------------------------------------------------------------------------- the caller

    @rule(byte_count=st.integers(1, 9))
    def say(self, byte_count: int) -> None:
        data = self.utterance.loose_byte
        while len(data) < byte_count:
            data += struct.pack("<h", self.sample)
            self.utterance.sent.append(self.sample)
            self.sample = (self.sample + 1) % 30000
        self.utterance.loose_byte = data[byte_count:]
        self.up.append(data[:byte_count])

    @rule(finalize=st.booleans())
    def reset(self, finalize: bool) -> None:
        id, message = self.client.reset(finalize)
        self.up.append(message)
        whole = self.utterance.sent
        if self.utterance.loose_byte:
            whole = whole[:-1]
        self.expected.append((id, words(whole), finalize))
        if finalize:
            self.utterance = Utterance()

    # ------------------------------------------------------------------------- the network and the engine

    @precondition(lambda self: self.up)
    @rule()
    def server_reads(self) -> None:
        self.inbox.append(self.server.receive(self.up.popleft()))

    @precondition(lambda self: self.inbox)
    @rule()
    def engine_steps(self) -> None:
        match self.inbox.popleft():
            case Audio(pcm):
                self.heard += struct.unpack(f"<{len(pcm) // 2}h", pcm)
                message = self.server.interim(words(self.heard))
                if message is not None:
                    self.down.append(message)
            case ResetRequested() as request:
                self.down.append(self.server.final(request, asr.SentUtterance(words(self.heard))))
                if request.finalize:
                    self.heard = []

    @precondition(lambda self: self.down)
    @rule()
    def client_reads(self) -> None:
        match self.client.receive(self.down.popleft()):
            case Final(id, text, finalize):
                assert (id, text, finalize) == self.expected.popleft()
                if finalize:
                    self.over.update(map(int, text.split()))
            case Interim(text):
                assert not self.over & set(map(int, text.split())), "an old utterance came back"
            case Ready():
                assert self.client.state is ClientState.READY
            case event:
                raise AssertionError(event)

    def teardown(self) -> None:
        while self.up:
            self.server_reads()
        while self.inbox:
            self.engine_steps()
        while self.down:
            self.client_reads()
        assert not self.expected, "a reset was not answered"
        assert self.client.pending == ()


Recognition.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestRecognition = Recognition.TestCase


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_audio_split_anywhere_is_the_same_audio(pcm: bytes, cuts: list[int]) -> None:
    server = AsrServer()
    edges = [0, *sorted(min(cut, len(pcm)) for cut in cuts), len(pcm)]
    heard = b""
    for start, end in pairwise(edges):
        message = server.receive(pcm[start:end])
        assert isinstance(message, Audio)
        assert len(message.pcm) % 2 == 0
        heard += message.pcm
    assert heard == pcm[: len(pcm) & ~1]
