"""No byte of an old utterance is ever accepted, and what is left alone is heard completely."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from nemotron_speech.protocol.tts import AudioReceived, StreamCreated, StreamStarted, TtsClient
from tests.protocol.tts_conversation import UTTERANCES, Conversation, PlainServer, StaleAudio

THOROUGH = settings(
    max_examples=200,
    stateful_step_count=50,
    suppress_health_check=[HealthCheck.too_slow],
)
UNTIL_FOUND = settings(
    THOROUGH,
    max_examples=3000,
    phases=(Phase.generate,),
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
)


class NoIdCheck(TtsClient):
    """A client that lets any `stream_created` confirm what it wants now."""

    def _stream_created(self, message: StreamCreated) -> StreamStarted | None:
        return super()._stream_created(msgspec.structs.replace(message, utterance=None))


class OnlyStaleAudio(Conversation):
    """Speaks, interrupts and looks for stale audio; nothing else happens, so that it is found soon."""

    @rule()
    def speak(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().speak("story", 3, False)

    def finish(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """No rule here."""

    def change_voice(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """No rule here."""

    def reconnect(self) -> None:
        """No rule here."""

    def hear(self, utterance: str, number: int, frame: int) -> None:
        if self.segments[number].stale:
            raise StaleAudio(f"frame {frame} of segment {number}")

    def hear_failure(self, number: int) -> None: ...

    def complete(self, utterance: str) -> None: ...

    def teardown(self) -> None:
        self.run_to_the_end()


class CarelessConversation(OnlyStaleAudio):
    client_class = NoIdCheck


class PlainConversation(Conversation):
    """One utterance at a time with a server that knows no ids."""

    server_class = PlainServer

    def close_open(self) -> None:
        if self.open is not None and (message := self.client.finish(self.open)):
            self.up.append(message)
        super().close_open()

    @rule(voice=st.sampled_from(("aria", "john")))
    def change_voice(self, voice: str) -> None:
        self.close_open()
        super().change_voice(voice)

    def hear_failure(self, number: int) -> None:
        """Nothing says whose failure it is."""

    def check_wire(self) -> None:
        assert not any("utterance" in message for message in self.wire)


class UnprotectedConversation(OnlyStaleAudio, PlainConversation):
    """The caller speaks again at once."""


class PatientConversation(PlainConversation):
    """The caller speaks again only when its interruption has been acknowledged."""

    @rule(utterance=UTTERANCES, frames=st.integers(0, 3), fails=st.booleans())
    def speak(self, utterance: str, frames: int, fails: bool) -> None:
        while any("cancel" in message for message in self.up):
            self.server_reads()
        while any(isinstance(m, str) and "cancelled" in m for m in self.down):
            self.client_reads()
        super().speak(utterance, frames, fails)


def test_no_byte_of_an_old_utterance_is_accepted_and_the_last_is_heard_completely() -> None:
    run_state_machine_as_test(Conversation, settings=THOROUGH)


def test_without_the_id_check_stale_audio_is_found() -> None:
    with pytest.raises(StaleAudio):
        run_state_machine_as_test(CarelessConversation, settings=UNTIL_FOUND)


def test_a_server_that_echoes_no_ids_leaves_the_known_hole() -> None:
    with pytest.raises(StaleAudio):
        run_state_machine_as_test(UnprotectedConversation, settings=UNTIL_FOUND)


def test_waiting_for_the_acknowledgement_closes_the_hole_without_ids() -> None:
    run_state_machine_as_test(PatientConversation, settings=THOROUGH)


def test_the_known_hole_is_a_late_stream_created() -> None:
    """The shortest way into it, message by message."""
    client = TtsClient()
    client.speak("old", "Old.")
    late = '{"type":"stream_created","stream_id":"1"}'
    client.cancel()
    client.speak("new", "New.")
    client.receive(late)
    assert client.receive(b"oo") == AudioReceived("new", b"oo")


def test_an_echoed_id_closes_the_known_hole() -> None:
    client = TtsClient()
    old = json.loads(client.speak("old", "Old."))["utterance"]
    client.cancel()
    new = json.loads(client.speak("new", "New."))["utterance"]
    created = '{{"type":"stream_created","stream_id":"1","utterance":"{}"}}'
    assert client.receive(created.format(old)) is None
    assert client.receive(b"oo") is None
    assert client.receive(created.format(new)) == StreamStarted("new", None)
    assert client.receive(b"nn") == AudioReceived("new", b"nn")
