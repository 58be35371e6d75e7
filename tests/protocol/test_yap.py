"""Many-caller recognition on the wire: what each message means, and what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.errors import BadRequest, PeerError, TooLarge
from nemotron_speech.protocol.asr import Audio, ResetRequested, SentUtterance
from nemotron_speech.protocol.wire import MAX_AUDIO_BYTES
from nemotron_speech.protocol.yap import (
    CloseRequested,
    Opened,
    YapClient,
    YapEndOfUtterance,
    YapError,
    YapFinal,
    YapInterim,
    YapServer,
)

NOW_MS = 1_700_000_000_123
RESET = ResetRequested(finalize=True, id=None)
INIT = '{"op":"init","sid":"s1","sr":16000}'


def opened() -> YapServer:
    server = YapServer(lambda: NOW_MS)
    server.receive(INIT)
    return server


def test_a_session_begins_with_who_it_is_and_how_it_sounds() -> None:
    server = YapServer(lambda: NOW_MS)
    assert server.receive('{"op":"init","sid":"s1","sr":48000}') == Opened("s1", 48000, None)
    assert server.sid == "s1"
    assert server.receive(bytes(640)) == Audio(bytes(640))
    assert server.receive('{"op":"flush"}') == RESET
    assert server.receive('{"op":"close","sid":"s1"}') == CloseRequested(RESET)


def test_an_init_without_a_rate_means_16_kilohertz() -> None:
    assert YapServer(lambda: 0).receive('{"op":"init","sid":"a"}') == Opened("a", 16000, None)


def test_a_plain_client_reads_the_fields_it_knows() -> None:
    server = opened()
    assert json.loads(server.interim("hel") or "") == {
        "op": "interim",
        "sid": "s1",
        "text": "hel",
        "final": False,
        "ts": NOW_MS,
    }
    assert json.loads(server.final(RESET, SentUtterance("hello"))) == {
        "op": "final",
        "sid": "s1",
        "text": "hello",
        "final": True,
        "ts": NOW_MS,
    }


def test_an_interim_is_sent_only_when_the_text_changed() -> None:
    server = opened()
    assert server.interim("") is None
    assert server.interim("one") is not None
    assert server.interim("one") is None
    server.final(RESET, SentUtterance("one"))
    assert server.interim("one") is not None, "another utterance, the same word"


@pytest.mark.parametrize("frame", [640, 1280, 2, 3])
def test_any_cut_of_the_audio_gives_the_same_samples(frame: int) -> None:
    server, data, heard = opened(), bytes(range(256)) * 8, b""
    for start in range(0, len(data), frame):
        match server.receive(data[start : start + frame]):
            case Audio(pcm):
                assert len(pcm) % 2 == 0
                heard += pcm
    assert heard == data


def test_half_a_sample_before_a_flush_does_not_shift_what_follows() -> None:
    server = opened()
    server.receive(b"\x01\x00\x02")
    server.receive('{"op":"flush"}')
    assert server.receive(b"\x03\x00") == Audio(b"\x03\x00")


@pytest.mark.parametrize(
    ("before", "message", "says"),
    [
        ([], b"\x00\x00", "first"),
        ([], '{"op":"close"}', "first"),
        ([], '{"op":"init"}', "sid"),
        ([], '{"op":"init","sid":""}', "1 to 256 characters"),
        ([], '{"op":"init","sid":"' + "x" * 257 + '"}', "1 to 256 characters"),
        ([], '{"op":"init","sid":"a","sr":4000}', "sr is 4000; allowed: 8000 to 96000 Hz"),
        ([], '{"op":"init","sid":"a","sr":"16k"}', "sr"),
        ([], '{"type":"init","sid":"a"}', '"op"'),
        ([INIT], INIT, "another needs its own"),
        ([INIT], '{"op":"close","sid":"s2"}', "session 's1', not 's2'"),
        ([INIT], '{"op":"pause"}', "'pause'; allowed: close, flush, init"),
        ([INIT, '{"op":"close"}'], b"\x00\x00", "closed"),
        ([INIT, '{"op":"close"}'], '{"op":"close"}', "closed"),
    ],
)
def test_a_bad_message_is_refused_by_what_is_wrong_with_it(
    before: list[str], message: str | bytes, says: str
) -> None:
    server = YapServer(lambda: NOW_MS)
    for earlier in before:
        server.receive(earlier)
    with pytest.raises(BadRequest, match=says):
        server.receive(message)


def test_an_audio_message_beyond_any_honest_size_is_refused() -> None:
    with pytest.raises(TooLarge, match=str(MAX_AUDIO_BYTES)):
        opened().receive(bytes(MAX_AUDIO_BYTES + 2))


@given(st.lists(st.sampled_from(["audio", "flush", "interim"]), max_size=30))
def test_each_flush_and_the_close_get_one_final_and_both_ends_agree(steps: list[str]) -> None:
    client, server = YapClient("me"), YapServer(lambda: NOW_MS)
    server.receive(client.init())
    heard, asked, finals = 0, [], []

    def answer() -> None:
        message = client.receive(server.final(asked.pop(0), SentUtterance(str(heard))))
        assert isinstance(message, YapFinal)
        finals.append(message.text)

    for step in steps:
        match step:
            case "audio":
                server.receive(bytes(2))
                heard += 1
            case "flush":
                asked.append(server.receive(client.flush()))
                answer()
            case "interim":
                if message := server.interim(str(heard), heard):
                    assert client.receive(message) == YapInterim(
                        sid="me", text=str(heard), final=False, ts=NOW_MS, end_ms=heard
                    )
    closing = server.receive(client.close())
    assert isinstance(closing, CloseRequested)
    asked.append(closing.reset)
    assert client.pending == 1
    answer()
    assert client.pending == 0
    assert len(finals) == steps.count("flush") + 1


def test_a_final_nobody_asked_for_is_the_servers_fault() -> None:
    with pytest.raises(PeerError, match="nobody asked for"):
        YapClient("s1").receive(opened().final(RESET, SentUtterance("x")))


def test_a_text_of_another_session_is_the_servers_fault() -> None:
    with pytest.raises(PeerError, match="'s1' to 'me'"):
        YapClient("me").receive(opened().interim("x") or "")


def test_the_client_ignores_what_it_does_not_know() -> None:
    client = YapClient("me")
    assert client.receive('{"op":"weather"}') is None
    assert client.receive('{"op":"error","message":"full"}') == YapError(message="full")
    found = client.receive('{"op":"interim","sid":"me","text":"a","confidence":1}')
    assert isinstance(found, YapInterim)
    assert found.text == "a"


def test_the_end_of_an_utterance_is_told_to_those_who_asked_in_their_init() -> None:
    server, client = YapServer(lambda: NOW_MS), YapClient("s1", events=("eou",))
    server.receive(client.init())
    server.interim("hello")
    message = server.ended(640)
    assert message is not None
    assert client.receive(message) == YapEndOfUtterance(sid="s1", ts=NOW_MS, end_ms=640)
    assert server.ended(660) is None
    plain = opened()
    plain.interim("hello")
    assert plain.ended(640) is None


def test_an_event_nobody_sends_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadRequest, match="'cough'; allowed: eou"):
        YapServer(lambda: 0).receive('{"op":"init","sid":"a","events":["cough"]}')


def test_how_sure_the_model_is_comes_beside_the_words() -> None:
    server, client = opened(), YapClient("s1")
    server.receive(client.close())
    final = client.receive(server.final(RESET, SentUtterance("yes", 0, 90, [("yes", 0, 90)], [0.75])))
    assert isinstance(final, YapFinal)
    assert (final.words, final.confidences) == ([("yes", 0, 90)], [0.75])
