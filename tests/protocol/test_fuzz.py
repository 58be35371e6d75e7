"""Whatever arrives, a machine answers with its own errors and goes on with the next message."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.errors import BadRequest, PeerError
from nemotron_speech.protocol import asr, tts
from nemotron_speech.protocol.asr import AsrClient, AsrServer, ResetRequested
from nemotron_speech.protocol.tts_client import TtsClient
from nemotron_speech.protocol.tts_streams import Capabilities, TtsServer
from nemotron_speech.protocol.wire import tag_of

OFFER = Capabilities(22050, ("aria",), ("en",), ("balanced",), max_text=100)

_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
MESSAGES = [
    message
    for module in (asr, tts)
    for message in vars(module).values()
    if isinstance(message, type) and issubclass(message, msgspec.Struct)
]
_TAGS = st.sampled_from(sorted(map(tag_of, MESSAGES)))
_FIELDS = st.sampled_from(sorted({field for message in MESSAGES for field in message.__struct_fields__}))
_ALMOST = st.builds(
    lambda tag, fields: json.dumps({"type": tag} | fields), _TAGS, st.dictionaries(_FIELDS, _JSON, max_size=5)
)
_CUT = st.builds(lambda text, at: text[: at % (len(text) + 1)], _ALMOST, st.integers(0, 1000))
TEXTS = _ALMOST | _CUT | st.text() | _JSON.map(json.dumps)


@given(st.lists(TEXTS | st.binary(max_size=64), max_size=8))
def test_the_asr_server_survives_any_message(messages: list[str | bytes]) -> None:
    server = AsrServer()
    for message in messages:
        with contextlib.suppress(BadRequest):
            server.receive(message)
    assert server.receive('{"type":"reset"}') == ResetRequested(True, None)


@given(st.lists(TEXTS, max_size=8))
def test_the_asr_client_survives_any_message(messages: list[str]) -> None:
    client = AsrClient()
    client.reset()
    for message in messages:
        with contextlib.suppress(PeerError):
            client.receive(message)


@given(st.lists(TEXTS | st.binary(max_size=64), max_size=8))
def test_the_tts_server_survives_any_message_and_speaks_the_next_text(messages: list[str | bytes]) -> None:
    server = TtsServer(lambda: OFFER)
    for message in messages:
        with contextlib.suppress(BadRequest):
            server.receive(message)
    server.receive('{"type":"cancel"}')
    server.receive('{"type":"text","text":"Good day."}')
    begun = server.begin()
    assert begun is not None
    assert begun[1].text == "Good day."


@given(st.lists(TEXTS | st.binary(max_size=64), max_size=8))
def test_the_tts_client_survives_any_message(messages: list[str | bytes]) -> None:
    client = TtsClient()
    client.speak("u", "Good day.")
    for message in messages:
        with contextlib.suppress(PeerError):
            client.receive(message)


@pytest.mark.parametrize("depth", [1_000, 100_000])
@pytest.mark.parametrize("machine", [AsrServer, lambda: TtsServer(lambda: OFFER)])
def test_deeply_nested_json_is_a_bad_request(machine: type[AsrServer], depth: int) -> None:
    for message in (
        "[" * depth,
        '{"type":' * depth,
        '{"type":"reset","x":' + "[" * depth + "]" * depth + "}",
    ):
        with pytest.raises(BadRequest):
            machine().receive(message)
