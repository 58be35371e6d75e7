"""Streaming synthesis on the wire: streams, segments and what a plain client may rely on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nemotron_speech.errors import BadRequest, PeerError, TooLarge
from nemotron_speech.protocol.tts import (
    AudioReceived,
    SegmentSpoken,
    StreamStarted,
    SynthesisFailed,
    UtteranceDone,
)
from nemotron_speech.protocol.tts_client import TtsClient
from nemotron_speech.protocol.tts_streams import MAX_QUEUED_SEGMENTS, Capabilities, SegmentRequest, TtsServer

OFFER = Capabilities(22050, ("aria", "john"), ("en", "de"), ("aggressive", "balanced"), max_text=100)
SECOND = bytes(2 * OFFER.sample_rate)


def say(server: TtsServer, **fields: Any) -> list[dict[str, Any]]:
    return [json.loads(reply) for reply in server.receive(json.dumps(fields))]


def begin(server: TtsServer) -> tuple[list[dict[str, Any]], SegmentRequest]:
    begun = server.begin()
    assert begun is not None
    return [json.loads(message) for message in begun[0]], begun[1]


def speak(server: TtsServer, pcm: bytes = SECOND) -> list[dict[str, Any]]:
    """Speak the next segment; return every message that goes with it."""
    messages, segment = begin(server)
    assert server.audio(segment, pcm)
    return [*messages, *map(json.loads, server.complete(segment))]


def test_a_plain_client_is_served_as_it_expects() -> None:
    server = TtsServer(lambda: OFFER)
    [created] = say(server, type="init", voice="aria", language="en")
    assert created["type"] == "stream_created"
    assert created["stream_id"]
    assert created["sample_rate"] == 22050
    assert say(server, type="text", text="One.", mode="stream") == []
    assert say(server, type="text", text="Two.", mode="batch") == []
    assert say(server, type="close") == []
    assert speak(server) == [{"type": "segment_complete", "segment": 1, "audio_ms": 1000}]
    assert speak(server) == [
        {"type": "segment_complete", "segment": 2, "audio_ms": 1000},
        {"type": "done", "total_audio_ms": 2000, "segments_generated": 2},
    ]
    assert server.idle


def test_every_init_is_answered_at_once_by_a_stream_that_text_without_a_name_joins() -> None:
    server = TtsServer(lambda: OFFER)
    first, second = (say(server, type="init", voice=voice)[0] for voice in ("aria", "john"))
    assert first["stream_id"] != second["stream_id"]
    say(server, type="text", text="One.")
    messages, segment = begin(server)
    assert messages == []
    assert (segment.stream.id, segment.stream.voice) == (second["stream_id"], "john")
    say(server, type="cancel")
    say(server, type="text", text="Two.")
    assert begin(server)[0][0]["stream_id"] not in (first["stream_id"], second["stream_id"])


def test_an_init_in_the_middle_of_speech_is_answered_and_loses_nothing() -> None:
    server = TtsServer(lambda: OFFER)
    say(server, type="text", text="One.")
    _, one = begin(server)
    assert [m["type"] for m in say(server, type="init", voice="john")] == ["stream_created"]
    say(server, type="text", text="Two.")
    assert [json.loads(m)["type"] for m in server.complete(one)] == ["segment_complete", "done"]
    messages, two = begin(server)
    assert messages == []
    assert two.stream.voice == "john"


def test_text_with_a_name_gets_a_stream_of_its_own_and_the_nameless_one_is_over_without_a_word() -> None:
    server = TtsServer(lambda: OFFER)
    [nameless] = say(server, type="init")
    assert nameless["names_utterances"]
    assert say(server, type="text", text="One.", utterance="u1") == []
    named, *rest = speak(server)
    assert (named["type"], named["utterance"]) == ("stream_created", "u1")
    assert named["stream_id"] != nameless["stream_id"]
    assert [m["type"] for m in rest] == ["segment_complete"]
    assert [m["type"] for m in say(server, type="close", utterance="u1")] == ["done"]


def test_the_utterance_is_echoed_by_every_message_of_its_stream() -> None:
    server = TtsServer(lambda: OFFER)
    say(server, type="text", text="One.", utterance="u1")
    say(server, type="close", utterance="u1")
    assert [m["utterance"] for m in speak(server)] == ["u1", "u1", "u1"]


def test_text_after_close_begins_a_new_stream() -> None:
    server = TtsServer(lambda: OFFER)
    say(server, type="text", text="One.")
    say(server, type="close")
    say(server, type="text", text="Two.")
    first = speak(server)
    second = speak(server)
    assert first[-1]["type"] == "done"
    assert second[0]["type"] == "stream_created"
    assert second[0]["stream_id"] != first[0]["stream_id"]


def test_text_of_another_utterance_closes_the_one_before() -> None:
    server = TtsServer(lambda: OFFER)
    say(server, type="text", text="One.", utterance="u1")
    say(server, type="text", text="Two.", utterance="u2")
    assert [m["type"] for m in speak(server)] == ["stream_created", "segment_complete", "done"]
    assert speak(server)[0]["utterance"] == "u2"


def test_no_init_speaks_with_the_first_voice() -> None:
    server = TtsServer(lambda: OFFER)
    say(server, type="text", text="One.")
    assert begin(server)[1].stream.voice == "aria"


def test_a_repeated_init_changes_the_voice_of_what_follows_only() -> None:
    server = TtsServer(lambda: OFFER)
    say(server, type="init", voice="aria")
    say(server, type="text", text="One.")
    say(server, type="init", voice="john", default_mode="batch")
    say(server, type="text", text="Two.")
    _, one = begin(server)
    assert (one.stream.voice, one.mode) == ("aria", "stream")
    server.complete(one)
    _, two = begin(server)
    assert (two.stream.voice, two.mode) == ("john", "batch")


def test_cancel_is_acknowledged_and_what_was_running_is_not_sent() -> None:
    server = TtsServer(lambda: OFFER)
    say(server, type="text", text="One.", utterance="u1")
    _, running = begin(server)
    assert say(server, type="cancel") == [{"type": "cancelled"}]
    assert not server.audio(running, SECOND)
    assert server.complete(running) == []
    assert server.fail(running, "broken") == []
    assert server.idle


def test_cancel_of_one_utterance_leaves_the_other() -> None:
    server = TtsServer(lambda: OFFER)
    say(server, type="text", text="One.", utterance="u1")
    say(server, type="text", text="Two.", utterance="u2")
    assert say(server, type="cancel", utterance="u1") == [{"type": "cancelled", "utterance": "u1"}]
    assert begin(server)[1].text == "Two."


def test_the_next_segment_begins_while_a_cancelled_one_is_still_in_the_engine() -> None:
    server = TtsServer(lambda: OFFER)
    say(server, type="text", text="Old.")
    _, old = begin(server)
    say(server, type="cancel")
    say(server, type="text", text="New.")
    messages, new = begin(server)
    assert messages[0]["type"] == "stream_created"
    assert not server.audio(old, SECOND)
    assert server.audio(new, SECOND)
    assert server.complete(old) == []
    assert json.loads(server.complete(new)[0])["audio_ms"] == 1000


def test_one_segment_is_spoken_at_a_time() -> None:
    server = TtsServer(lambda: OFFER)
    say(server, type="text", text="One.")
    say(server, type="text", text="Two.")
    _, one = begin(server)
    assert server.begin() is None
    server.complete(one)
    assert begin(server)[1].text == "Two."


def test_a_failed_segment_is_reported_and_the_next_one_spoken() -> None:
    server = TtsServer(lambda: OFFER)
    say(server, type="text", text="One.", utterance="u1")
    say(server, type="text", text="Two.", utterance="u1")
    _, one = begin(server)
    error, complete = map(json.loads, server.fail(one, "broken"))
    assert error == {"type": "error", "message": "broken", "fatal": False, "utterance": "u1"}
    assert complete["type"] == "segment_complete"
    assert speak(server)[0]["audio_ms"] == 1000


def test_close_with_nothing_to_speak_is_done_at_once() -> None:
    assert say(TtsServer(lambda: OFFER), type="close") == [
        {"type": "done", "total_audio_ms": 0, "segments_generated": 0}
    ]


def test_close_after_the_last_audio_is_done_at_once() -> None:
    server = TtsServer(lambda: OFFER)
    say(server, type="text", text="One.")
    speak(server)
    assert say(server, type="close") == [{"type": "done", "total_audio_ms": 1000, "segments_generated": 1}]


def test_a_server_is_idle_when_what_was_asked_for_is_spoken_closed_or_not() -> None:
    server = TtsServer(lambda: OFFER)
    assert server.idle
    say(server, type="text", text="One.")
    assert not server.idle
    _, segment = begin(server)
    assert not server.idle
    server.complete(segment)
    assert server.idle


def test_ping_is_answered() -> None:
    assert say(TtsServer(lambda: OFFER), type="ping") == [{"type": "pong"}]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"type": "init", "voice": "nobody"}, "voice 'nobody'; allowed: aria, john"),
        ({"type": "init", "language": "tlh"}, "language 'tlh'; allowed: en, de"),
        ({"type": "init", "default_mode": "fast"}, "default_mode"),
        ({"type": "text", "text": "a", "mode": "fast"}, "mode"),
        ({"type": "text", "text": "a", "preset": "wild"}, "preset 'wild'; allowed: aggressive, balanced"),
        ({"type": "text", "text": "a" * 101}, "100 characters, this one has 101"),
        ({"type": "text"}, "text"),
        ({"type": "speak", "text": "a"}, "'speak'; allowed: cancel, close, init, ping, text"),
    ],
)
def test_a_bad_message_names_what_is_allowed_and_the_next_one_works(fields: dict, says: str) -> None:
    server = TtsServer(lambda: OFFER)
    with pytest.raises(BadRequest, match=says):
        say(server, **fields)
    assert server.idle
    say(server, type="text", text="One.")
    assert begin(server)[1].text == "One."


def test_audio_is_not_what_a_synthesiser_takes() -> None:
    with pytest.raises(BadRequest, match="not binary"):
        TtsServer(lambda: OFFER).receive(b"\0\0")


def test_a_text_that_is_too_long_is_too_large() -> None:
    with pytest.raises(TooLarge):
        say(TtsServer(lambda: OFFER), type="text", text="a" * 101)


def test_the_queue_of_segments_is_bounded() -> None:
    server = TtsServer(lambda: OFFER)
    for number in range(MAX_QUEUED_SEGMENTS):
        say(server, type="text", text="a", utterance=str(number))
    with pytest.raises(BadRequest, match=f"{MAX_QUEUED_SEGMENTS} segments"):
        say(server, type="text", text="one more")


# ------------------------------------------------------------------------------------- client

CREATED = '{"type":"stream_created","stream_id":"7"}'
NAMED = '{"type":"stream_created","stream_id":"7","names_utterances":true}'
COMPLETE = '{"type":"segment_complete"}'


def connected(answer: str = NAMED) -> TtsClient:
    client = TtsClient()
    client.init()
    client.receive(answer)
    client.to_send()
    return client


def sent(client: TtsClient) -> list[dict[str, Any]]:
    return [json.loads(message) for message in client.to_send()]


def wire_id(client: TtsClient) -> str:
    [message] = sent(client)
    return message["utterance"]


def test_nothing_but_init_is_sent_before_the_server_has_shown_its_habits() -> None:
    client = TtsClient()
    client.speak("answer", "One.")
    client.finish("answer")
    assert [m["type"] for m in sent(client)] == ["init", "ping"]
    assert client.wanted == ("answer",)
    client.receive(NAMED)
    assert [m["type"] for m in sent(client)] == ["text", "close"]


@pytest.mark.parametrize("answer", [CREATED, '{"type":"pong"}'], ids=["at init", "at the first text"])
def test_a_plain_server_is_sent_no_names_whenever_it_announces(answer: str) -> None:
    client = connected(answer)
    client.speak("answer", "One.")
    assert sent(client) == [{"type": "text", "text": "One.", "mode": "stream"}]
    if answer != CREATED:
        client.receive(CREATED)
    assert client.receive(b"ab")[-1] == AudioReceived("answer", b"ab")


def test_a_server_that_never_answers_is_taken_for_a_plain_one() -> None:
    client = TtsClient()
    client.speak("answer", "One.")
    client.to_send()
    client.assume_plain()
    assert [m["type"] for m in sent(client)] == ["text"]
    client.receive(CREATED)
    assert client.receive(b"ab")[-1] == AudioReceived("answer", b"ab")


def test_an_id_is_never_used_again() -> None:
    client = connected()
    client.speak("answer", "One.")
    before = wire_id(client)
    client.cancel()
    client.to_send()
    client.speak("answer", "Two.")
    assert wire_id(client) != before


def test_text_after_finish_or_init_is_a_new_stream_of_the_same_utterance() -> None:
    client = connected()
    client.speak("answer", "One.")
    client.finish("answer")
    client.speak("answer", "Two.")
    client.init("john")
    client.speak("answer", "Three.")
    ids = [m["utterance"] for m in sent(client) if m["type"] == "text"]
    assert len(set(ids)) == 3
    assert client.wanted == ("answer",)


def test_finish_closes_only_what_is_open() -> None:
    client = connected()
    client.finish("answer")
    assert client.to_send() == []
    client.speak("answer", "One.")
    wire = wire_id(client)
    client.finish("another")
    assert client.to_send() == []
    client.finish("answer")
    assert sent(client) == [{"type": "close", "utterance": wire}]
    client.finish("answer")
    assert client.to_send() == []


def test_the_client_accepts_the_minimal_messages_of_a_plain_server() -> None:
    client = connected(CREATED)
    client.speak("answer", "One.")
    client.finish("answer")
    assert client.receive(b"ab") == (StreamStarted("answer", None), AudioReceived("answer", b"ab"))
    assert client.receive(COMPLETE) == (SegmentSpoken("answer", None), UtteranceDone("answer"))
    assert client.receive('{"type":"done"}') == ()
    assert client.receive(b"cd") == ()
    assert client.wanted == ()


def test_text_and_voices_wait_where_a_plain_server_would_forget_what_it_has_not_spoken() -> None:
    client = connected(CREATED)
    client.speak("one", "One.")
    client.finish("one")
    client.speak("two", "Two.")
    assert [m["type"] for m in sent(client)] == ["text", "close"]
    assert client.receive(b"aa")[-1] == AudioReceived("one", b"aa")
    client.receive(COMPLETE)
    assert client.to_send() == []
    client.receive('{"type":"done"}')
    assert [m["type"] for m in sent(client)] == ["text"]
    client.init("john")
    assert client.to_send() == []
    client.receive(CREATED)
    client.receive(COMPLETE)
    assert [m["type"] for m in sent(client)] == ["init"]


def test_a_fatal_error_of_a_plain_server_costs_one_segment_and_the_others_are_asked_for_again() -> None:
    client = connected(CREATED)
    for text in ("One.", "Two.", "Three."):
        client.speak("answer", text)
    client.finish("answer")
    client.to_send()
    error, spoken = client.receive('{"type":"error","message":"broken","fatal":true}')
    assert error == SynthesisFailed("broken", True, "answer")
    assert spoken == SegmentSpoken("answer", None)
    again = sent(client)
    assert [m["type"] for m in again] == ["cancel", "ping", "text", "text", "close"]
    assert [m["text"] for m in again if m["type"] == "text"] == ["Two.", "Three."]


def test_audio_before_any_stream_is_dropped() -> None:
    client = TtsClient()
    client.speak("answer", "One.")
    assert client.receive(b"ab") == ()
    client.receive(NAMED)
    assert client.receive(b"ab") == ()


def test_errors_reach_the_caller_unless_they_are_of_an_old_utterance() -> None:
    client = connected()
    client.speak("old", "One.")
    old = wire_id(client)
    error = {"type": "error", "message": "broken", "fatal": False}
    assert client.receive(json.dumps(error | {"utterance": old})) == (
        SynthesisFailed("broken", False, "old"),
    )
    client.cancel()
    assert client.receive(json.dumps(error | {"utterance": old})) == ()
    assert client.receive(json.dumps(error)) == (SynthesisFailed("broken", False),)
    assert client.receive('{"type":"error","message":"gone","fatal":true,"utterance":"x"}') == (
        SynthesisFailed("gone", True),
    )


@pytest.mark.parametrize("message", ["{", "[]", '{"type":"stream_created"}', '{"type":"error","message":1}'])
def test_a_message_no_server_should_send_is_the_servers_fault(message: str) -> None:
    with pytest.raises(PeerError, match="the synthesiser broke the protocol"):
        TtsClient().receive(message)
