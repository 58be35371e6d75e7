"""No byte of an old utterance is ever accepted, and what is left alone is heard completely.

With every kind of server: ours, which names utterances, and those that name nothing, whether they announce a
stream at once or in its turn, whether they answer pings or not.
"""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from nemotron_speech.protocol.tts import AudioReceived, Event, StreamCreated, StreamStarted, UtteranceDone
from nemotron_speech.protocol.tts_client import TtsClient
from nemotron_speech.protocol.tts_named import NamedTalk
from nemotron_speech.protocol.tts_plain import PlainTalk
from tests.protocol.tts_conversation import (
    UTTERANCES,
    Conversation,
    DoubledServer,
    NamelessServer,
    SilentServer,
)

THOROUGH = settings(
    max_examples=100,
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


class PlainConversation(Conversation):
    """With the double of a plain server."""

    server_class = DoubledServer

    def teardown(self) -> None:
        self.run_to_the_end()
        for segment in self.segments:
            assert segment.stale or segment.complete, "what was asked for was not heard"
        assert set(self.client.wanted) == self.unfinished(), "what is finished is done, and nothing else"
        assert not any("utterance" in message for message in self.wire)

    def connect(self) -> None:
        super().connect()
        self.finished: set[str] = set()

    def speak(self, utterance: str, frames: int, fails: bool) -> None:  # pyright: ignore
        super().speak(utterance, frames, fails)
        self.finished.discard(utterance)

    def finish(self, utterance: str) -> None:  # pyright: ignore
        super().finish(utterance)
        self.finished.add(utterance)

    @rule(utterance=UTTERANCES, frames=st.integers(0, 3), fails=st.booleans())
    def speak_plainly(self, utterance: str, frames: int, fails: bool) -> None:
        self.speak(utterance, frames, fails)

    @rule(utterance=UTTERANCES)
    def finish_plainly(self, utterance: str) -> None:
        self.finish(utterance)

    def unfinished(self) -> set[str]:
        return {segment.utterance for segment in self.segments if not segment.stale} - self.finished


class NamelessConversation(PlainConversation):
    """With a server of ours that has forgotten names: it forgets no text and answers a cancel."""

    server_class = NamelessServer


class PinglessConversation(PlainConversation):
    """With a plain server that answers no pings. Nothing fails: that makes its announcements ambiguous."""

    server_class = SilentServer

    def speak(self, utterance: str, frames: int, fails: bool) -> None:  # pyright: ignore
        super().speak(utterance, frames, False)


class AnyAnnouncement(PlainTalk):
    """A client that lets any `stream_created` confirm what it wants now."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._confirmed = True

    def cancel(self) -> None:
        super().cancel()
        self._confirmed = False

    @property
    def _is_new(self) -> bool:
        return self._confirmed

    def receive(self, message: msgspec.Struct) -> tuple[Event, ...]:
        self._confirmed |= isinstance(message, StreamCreated)
        return super().receive(message)


class CarelessClient(TtsClient):
    def _talk_with(self, talk: NamedTalk | PlainTalk) -> None:
        super()._talk_with(AnyAnnouncement(self._send, joins=True, answers_pings=False, pings=1))


class CarelessConversation(PlainConversation):
    client_class = CarelessClient

    def complete(self, utterance: str) -> None: ...

    def teardown(self) -> None:
        self.run_to_the_end()


@pytest.mark.parametrize(
    "conversation", [Conversation, PlainConversation, NamelessConversation, PinglessConversation]
)
def test_no_byte_of_an_old_utterance_is_accepted_and_the_last_is_heard_completely(
    conversation: type[Conversation],
) -> None:
    run_state_machine_as_test(conversation, settings=THOROUGH)


def test_a_client_that_any_announcement_confirms_accepts_stale_audio() -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(CarelessConversation, settings=UNTIL_FOUND)


# ------------------------------------------------------------------------- the hole, message by message

CREATED = '{"type":"stream_created","stream_id":"1"}'
PONG = '{"type":"pong"}'


def plain_client(*, answers_pings: bool) -> TtsClient:
    client = TtsClient()
    client.init()
    client.receive(CREATED)
    if answers_pings:
        client.receive(PONG)
    return client


@pytest.mark.parametrize("answers_pings", [True, False], ids=["pings", "no pings"])
def test_a_late_announcement_of_the_old_answer_does_not_confirm_the_new_one(answers_pings: bool) -> None:
    client = plain_client(answers_pings=answers_pings)
    client.speak("old", "Old.")
    client.finish("old")
    client.receive('{"type":"segment_complete"}')
    client.receive('{"type":"done"}')
    client.speak("older", "Old again.")
    client.cancel()
    client.speak("new", "New.")
    assert client.receive(CREATED) == ()
    assert client.receive(b"oo") == ()
    if answers_pings:
        client.receive(PONG)
    client.receive(CREATED)
    assert client.receive(b"nn")[-1] == AudioReceived("new", b"nn")


def test_the_end_of_the_stream_before_an_init_is_not_the_end_of_the_next() -> None:
    client = plain_client(answers_pings=True)
    client.speak("hello", "")
    client.receive('{"type":"segment_complete"}')
    client.init("aria")
    client.speak("weather", "Rain.")
    client.finish("weather")
    assert client.receive('{"type":"done"}') == ()
    client.receive(CREATED)
    assert client.receive(b"rr")[-1] == AudioReceived("weather", b"rr")
    assert client.receive('{"type":"segment_complete"}')[-1] == UtteranceDone("weather")


def test_an_echoed_id_leaves_nothing_to_guess() -> None:
    client = TtsClient()
    client.init()
    client.receive('{"type":"stream_created","stream_id":"0","names_utterances":true}')
    client.to_send()
    client.speak("old", "Old.")
    client.cancel()
    client.speak("new", "New.")
    old, _, new = (json.loads(message).get("utterance") for message in client.to_send())
    created = '{{"type":"stream_created","stream_id":"1","utterance":"{}"}}'
    assert client.receive(created.format(old)) == ()
    assert client.receive(b"oo") == ()
    assert client.receive(created.format(new)) == (StreamStarted("new", None),)
    assert client.receive(b"nn") == (AudioReceived("new", b"nn"),)
