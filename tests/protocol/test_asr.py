"""Streaming recognition on the wire: what each message means, and what is refused."""

from __future__ import annotations

import json

import pytest

from nemotron_speech.errors import BadRequest, PeerError, TooLarge
from nemotron_speech.protocol.asr import (
    AsrClient,
    AsrError,
    AsrServer,
    Audio,
    ClientState,
    EndOfUtterance,
    Final,
    Interim,
    Ready,
    ResetRequested,
    SentUtterance,
    events_of,
)
from nemotron_speech.protocol.wire import MAX_AUDIO_BYTES, MAX_TEXT_BYTES


@pytest.mark.parametrize(
    ("message", "finalize"),
    [
        ('{"type":"reset"}', True),
        ('{"type":"reset","finalize":true}', True),
        ('{"type":"reset","finalize":false}', False),
        ('{"type":"end"}', True),
        ('{"type":"reset","note":"fields nobody knows are ignored"}', True),
    ],
)
def test_every_spelling_of_a_reset_is_understood(message: str, finalize: bool) -> None:
    assert AsrServer().receive(message) == ResetRequested(finalize, None)


def test_a_plain_client_reads_the_fields_it_knows() -> None:
    server = AsrServer()
    assert json.loads(server.ready()) == {"type": "ready"}
    assert json.loads(server.interim("hel") or "") == {"type": "transcript", "text": "hel", "is_final": False}
    assert json.loads(server.final(ResetRequested(True, None), SentUtterance("hello"))) == {
        "type": "transcript",
        "text": "hello",
        "is_final": True,
        "finalize": True,
    }


def test_the_id_of_a_reset_is_echoed() -> None:
    server = AsrServer()
    request = server.receive('{"type":"reset","id":"seven"}')
    assert isinstance(request, ResetRequested)
    assert json.loads(server.final(request, SentUtterance("")))["id"] == "seven"


def test_an_interim_is_sent_only_when_the_text_changed() -> None:
    server = AsrServer()
    assert server.interim("") is None
    assert server.interim("one") is not None
    assert server.interim("one") is None
    assert server.interim("one two") is not None


def test_after_a_hard_final_the_same_words_are_news_again() -> None:
    server = AsrServer()
    server.interim("yes")
    server.final(ResetRequested(True, None), SentUtterance("yes"))
    assert server.interim("yes") is not None


def test_after_a_soft_final_the_same_words_are_no_news() -> None:
    server = AsrServer()
    server.interim("yes")
    server.final(ResetRequested(False, None), SentUtterance("yes"))
    assert server.interim("yes") is None


def test_a_hard_reset_restores_the_alignment_of_samples() -> None:
    server = AsrServer()
    server.receive(b"\x01\x00\x02")
    server.receive('{"type":"reset"}')
    assert server.receive(b"\x03\x00") == Audio(b"\x03\x00")


def test_a_soft_reset_between_the_bytes_of_a_sample_loses_nothing() -> None:
    server = AsrServer()
    assert server.receive(b"\x01\x00\x02") == Audio(b"\x01\x00")
    server.receive('{"type":"reset","finalize":false}')
    assert server.receive(b"\x00\x03\x00") == Audio(b"\x02\x00\x03\x00")


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("", "must be JSON"),
        ("hello", "must be JSON"),
        ('{"type":"reset"', "must be JSON"),
        ("[" * 100_000, "nested"),
        ("null", '"type"'),
        ("[]", '"type"'),
        ("{}", '"type"'),
        ('{"type":7}', '"type"'),
        ('{"type":"restart"}', "'restart'; allowed: end, reset"),
        ('{"type":"reset","finalize":"yes"}', "finalize"),
        ('{"type":"reset","id":7}', "id"),
    ],
)
def test_a_bad_message_is_refused_by_what_is_wrong_with_it(message: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says.replace("[", r"\[")):
        AsrServer().receive(message)


def test_messages_beyond_any_honest_size_are_refused() -> None:
    with pytest.raises(TooLarge, match=str(MAX_AUDIO_BYTES)):
        AsrServer().receive(bytes(MAX_AUDIO_BYTES + 1))
    with pytest.raises(TooLarge, match=str(MAX_TEXT_BYTES)):
        AsrServer().receive(" " * (MAX_TEXT_BYTES + 1))


def test_the_client_matches_finals_to_resets_in_order_without_ids() -> None:
    client = AsrClient()
    first, _ = client.reset()
    second, _ = client.reset(finalize=False)
    final = '{"type":"transcript","text":"x","is_final":true,"finalize":%s}'
    assert client.receive(final % "true") == Final(first, "x", True)
    assert client.receive(final % "false") == Final(second, "x", False)


def test_a_server_that_does_not_say_which_reset_it_answers_knows_hard_ones_only() -> None:
    client = AsrClient()
    id, _ = client.reset(finalize=False)
    assert client.receive('{"type":"transcript","text":"x","is_final":true}') == Final(id, "x", True)


def test_a_soft_reset_with_an_id_is_told_that_it_was_flushed() -> None:
    server, client = AsrServer(), AsrClient()
    _, message = client.reset(finalize=False)
    request = server.receive(message)
    assert isinstance(request, ResetRequested)
    answer = client.receive(server.final(request, SentUtterance("one")))
    assert isinstance(answer, Final)
    assert answer.flushed
    plain = json.loads(server.final(ResetRequested(False, None), SentUtterance("one")))
    assert plain == {"type": "transcript", "text": "one", "is_final": True, "finalize": False}


def test_a_final_nobody_asked_for_is_the_servers_fault() -> None:
    with pytest.raises(PeerError, match="nobody asked for"):
        AsrClient().receive('{"type":"transcript","text":"x","is_final":true}')


def test_a_final_out_of_turn_is_the_servers_fault() -> None:
    client = AsrClient()
    client.reset()
    second, _ = client.reset()
    with pytest.raises(PeerError, match=second):
        client.receive(json.dumps({"type": "transcript", "text": "x", "is_final": True, "id": second}))


def test_the_client_follows_the_state_of_the_server() -> None:
    client = AsrClient()
    assert client.state is ClientState.CONNECTING
    assert client.receive('{"type":"ready"}') == Ready()
    assert client.state is ClientState.READY
    assert client.receive('{"type":"error","message":"full"}') == AsrError(message="full")
    assert client.state is ClientState.FAILED


def test_the_client_ignores_what_it_does_not_know() -> None:
    client = AsrClient()
    assert client.receive('{"type":"weather","sunny":true}') is None
    assert client.receive('{"type":"transcript","text":"a","confidence":0.5}') == Interim("a")


def test_word_times_of_a_final_reach_the_client() -> None:
    server, client = AsrServer(), AsrClient()
    id, message = client.reset()
    request = server.receive(message)
    assert isinstance(request, ResetRequested)
    final = server.final(
        request, SentUtterance("one two", 0, 700, [("one", 0, 300), ("two", 300, 700)], [0.9, 0.8])
    )
    words = (("one", 0, 300), ("two", 300, 700))
    assert client.receive(final) == Final(id, "one two", True, words, 0, 700, (0.9, 0.8))


def test_a_client_that_knows_words_only_reads_a_final_with_confidences() -> None:
    server = AsrServer()
    final = server.final(ResetRequested(True, None), SentUtterance("one", 0, 300, [("one", 0, 300)], [0.9]))
    assert json.loads(final)["words"] == [["one", 0, 300]]


def test_the_end_of_an_utterance_is_told_once_to_a_client_that_asked() -> None:
    server, client = AsrServer(events_of(["eou"])), AsrClient()
    assert client.receive(server.ready(("eou",))) == Ready(("eou",))
    assert server.ended(100) is None, "nothing was said"
    server.interim("yes")
    message = server.ended(200)
    assert message is not None
    assert json.loads(message) == {"type": "eou", "end_ms": 200}
    assert client.receive(message) == EndOfUtterance(end_ms=200)
    assert server.ended(300) is None
    server.interim("yes please")
    assert server.ended(400) is not None
    server.final(ResetRequested(True, None), SentUtterance("yes please"))
    server.interim("yes please")
    assert server.ended(500) is not None, "another utterance may end with the same words"


def test_a_client_that_asked_for_no_events_gets_none() -> None:
    server = AsrServer()
    assert server.ready(("eou",)) == '{"type":"ready"}'
    server.interim("yes")
    assert server.ended(200) is None


def test_an_event_nobody_sends_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadRequest, match="'cough'; allowed: eou"):
        events_of(["eou", "cough"])


def test_an_interim_of_a_very_long_utterance_says_where_it_begins() -> None:
    server, client = AsrServer(), AsrClient()
    assert server.interim("a b") is not None
    assert client.receive(server.interim("b c", offset=2) or "") == Interim("b c", None, 2)
    assert server.interim("b c", offset=2) is None
