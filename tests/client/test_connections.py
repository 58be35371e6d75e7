"""The clients against the real servers, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
import pytest
from aiohttp import web

from nemotron_speech import tts_server
from nemotron_speech.audio import Clip
from nemotron_speech.client.connections import AsrConnection, LlmClient, TtsConnection, tts_address
from nemotron_speech.client.turn import answer
from nemotron_speech.engines.scripted import AsrScript, ScriptedTts, TtsScript
from nemotron_speech.errors import BadRequest, Full, PeerError
from tests.cli.servers import Addresses, scripted_servers, serving
from tests.virtual_time import virtual_time

LIMIT_S = 30
SPEECH = (np.sin(np.arange(16000) / 5) * 8000).astype(np.int16)


@pytest.fixture
async def servers() -> AsyncIterator[Addresses]:
    script = AsrScript(transcripts=("what is two plus two", "spell cat"))
    async with scripted_servers(script, TtsScript(fail_on="poison")) as addresses:
        yield addresses


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@virtual_time
async def test_a_voice_that_is_waited_for_longer_than_pings_are_is_still_there() -> None:
    app = tts_server.build_app(ScriptedTts(TtsScript()))
    await asyncio.sleep(0.3)  # the client's clock of pings ticks in whole seconds, the server's does not
    async with serving(app) as port, TtsConnection.open(f"ws://127.0.0.1:{port}") as tts:
        await asyncio.sleep(200)
        utterance = tts.utterance()
        await utterance.say("hello")
        await utterance.finish()
        assert [chunk async for chunk in utterance]


# ------------------------------------------------------------------------------------ recognition


async def test_utterances_are_recognised_one_after_the_other(servers: Addresses) -> None:
    interims: list[str] = []
    async with AsrConnection.open(servers.asr, on_interim=interims.append) as asr:
        await asr.send(SPEECH.tobytes())
        first = await asyncio.wait_for(asr.finish(), LIMIT_S)
        await asr.send(SPEECH.tobytes())
        second = await asyncio.wait_for(asr.finish(), LIMIT_S)
    assert (first.text, second.text) == ("what is two plus two", "spell cat")
    assert "what" in interims


async def test_a_soft_finish_keeps_the_utterance(servers: Addresses) -> None:
    async with AsrConnection.open(servers.asr) as asr:
        await asr.send(SPEECH.tobytes())
        soft = await asyncio.wait_for(asr.finish(finalize=False), LIMIT_S)
        hard = await asyncio.wait_for(asr.finish(), LIMIT_S)
    assert soft.finalize is False
    assert hard.text == "what is two plus two"


async def test_resets_in_flight_are_answered_each_with_its_own(servers: Addresses) -> None:
    async with AsrConnection.open(servers.asr) as asr:
        await asr.send(SPEECH.tobytes())
        finals = await asyncio.wait_for(asyncio.gather(*(asr.finish() for _ in range(3))), LIMIT_S)
    assert [f.text for f in finals] == ["what is two plus two", "", ""]


async def test_a_full_recogniser_is_said_to_be_full() -> None:
    async with scripted_servers(AsrScript(capacity=1)) as servers, AsrConnection.open(servers.asr):
        with pytest.raises(Full):
            async with AsrConnection.open(servers.asr):
                pass


@pytest.mark.parametrize("open", [AsrConnection.open, TtsConnection.open])
async def test_nothing_there_says_what_to_type(open: Callable) -> None:  # type: ignore[type-arg]
    url = f"ws://127.0.0.1:{free_port()}"
    with pytest.raises(PeerError, match=rf"nothing answers at {url}.*uv run nemotron up"):
        async with open(url):
            pass


async def test_a_web_server_is_not_taken_for_a_recogniser() -> None:
    async with serving(web.Application()) as port:
        with pytest.raises(PeerError, match="not the recogniser"):
            async with AsrConnection.open(f"ws://127.0.0.1:{port}"):
                pass


async def test_what_is_no_address_is_said() -> None:
    with pytest.raises(BadRequest, match="not an address"):
        async with AsrConnection.open("nonsense"):
            pass


def websocket_app(
    converse: Callable[[web.WebSocketResponse], Awaitable[None]], path: str = "/"
) -> web.Application:
    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await converse(socket)
        return socket

    app = web.Application()
    app.add_routes([web.get(path, handle)])
    return app


async def test_a_recogniser_that_hangs_up_fails_the_finish_in_flight() -> None:
    async def hang_up(socket: web.WebSocketResponse) -> None:
        await socket.send_str('{"type":"ready"}')
        await socket.receive()
        await socket.close(code=1011, message=b"out of memory")

    async with serving(websocket_app(hang_up)) as port, AsrConnection.open(f"ws://127.0.0.1:{port}") as asr:
        with pytest.raises(PeerError, match=r"hung up: out of memory.*nemotron logs"):
            await asyncio.wait_for(asr.finish(), LIMIT_S)
        with pytest.raises(PeerError):
            await asyncio.wait_for(asr.finish(), LIMIT_S)


async def test_a_recogniser_that_talks_nonsense_is_the_peers_fault() -> None:
    async def babble(socket: web.WebSocketResponse) -> None:
        await socket.send_str('{"type":"ready"}')
        await socket.send_str("[")
        await socket.receive()

    async with serving(websocket_app(babble)) as port, AsrConnection.open(f"ws://127.0.0.1:{port}") as asr:
        with pytest.raises(PeerError, match="JSON"):
            await asyncio.wait_for(asr.finish(), LIMIT_S)


# -------------------------------------------------------------------------------------- synthesis


async def test_segments_are_spoken_at_the_announced_rate(servers: Addresses) -> None:
    async with TtsConnection.open(servers.tts) as tts:
        short = b"".join([pcm async for pcm in tts.speak("Hello.")])
        long = b"".join([pcm async for pcm in tts.speak("Hello.", "And a second sentence.")])
        assert tts.sample_rate == 22050
    assert 0 < len(short) < len(long)


async def test_leaving_early_cancels_and_the_next_utterance_is_clean(servers: Addresses) -> None:
    async with TtsConnection.open(servers.tts) as tts:
        alone = b"".join([pcm async for pcm in tts.speak("Good bye.")])
        story = tts.speak("once upon a time " * 100)
        await anext(story)
        await story.aclose()
        assert b"".join([pcm async for pcm in tts.speak("Good bye.")]) == alone


async def test_an_utterance_without_text_is_silent(servers: Addresses) -> None:
    async with TtsConnection.open(servers.tts) as tts:
        assert [pcm async for pcm in tts.speak()] == []


async def test_a_segment_that_fails_is_said_and_the_next_one_works(servers: Addresses) -> None:
    async with TtsConnection.open(servers.tts) as tts:
        with pytest.raises(BadRequest, match="the synthesiser"):
            async for _ in tts.speak("poison"):
                pass
        assert [pcm async for pcm in tts.speak("Fine.")]


async def test_an_unknown_voice_is_answered_with_the_known_ones(servers: Addresses) -> None:
    async with TtsConnection.open(servers.tts, voice="nobody") as tts:
        with pytest.raises(BadRequest, match="nobody"):
            async for _ in tts.speak("Hello."):
                pass


@pytest.mark.parametrize(
    "url", ["http://h:1", "ws://h:1", "ws://h:1/", "http://h:1/ws/tts/stream", "ws://h:1/ws/tts/stream/"]
)
def test_every_address_of_a_synthesiser_leads_to_its_stream(url: str) -> None:
    assert tts_address(url) == "ws://h:1/ws/tts/stream"


# ---------------------------------------------------------------------------------- language model


async def test_an_answer_is_streamed(servers: Addresses) -> None:
    async with LlmClient.open(servers.llm) as llm:
        pieces = [text async for text in llm.chat([{"role": "user", "content": "what is two plus two"}])]
    assert len(pieces) > 1
    assert "four" in "".join(pieces).lower()


async def test_an_openai_address_works_as_well(servers: Addresses) -> None:
    async with LlmClient.open(servers.llm + "/v1/") as llm:
        assert [text async for text in llm.chat([{"role": "user", "content": "hello"}])]


async def test_no_language_model_says_what_to_type() -> None:
    async with LlmClient.open(f"http://127.0.0.1:{free_port()}") as llm:
        with pytest.raises(PeerError, match="uv run nemotron up"):
            async for _ in llm.chat([]):
                pass


async def test_a_refusal_of_the_model_is_passed_on() -> None:
    async def refuse(request: web.Request) -> web.Response:
        body = {"error": {"code": 400, "type": "exceed_context_size_error", "message": "too long"}}
        return web.Response(status=400, text=json.dumps(body), content_type="application/json")

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", refuse)])
    async with serving(app) as port, LlmClient.open(f"http://127.0.0.1:{port}") as llm:
        with pytest.raises(BadRequest, match="too long"):
            async for _ in llm.chat([]):
                pass


async def said_before_the_end(*, breaks: bool) -> list[str]:
    """Return the text of an answer that neither says why it ends nor that it does."""

    async def begin(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b'data: {"choices":[{"delta":{"content":"Once"}}]}\n\n')
        if breaks:
            await asyncio.sleep(0.05)
            assert request.transport is not None
            request.transport.abort()
        return response

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", begin)])
    async with serving(app) as port, LlmClient.open(f"http://127.0.0.1:{port}") as llm:
        return [text async for text in llm.chat([])]


async def test_an_answer_whose_connection_breaks_is_the_peers_fault() -> None:
    with pytest.raises(PeerError, match="lost the language model"):
        await said_before_the_end(breaks=True)


async def test_a_model_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(5.0)
        return response

    monkeypatch.setattr("nemotron_speech.client.connections.LLM_SILENCE_S", 0.1)
    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", hang)])
    async with serving(app) as port, LlmClient.open(f"http://127.0.0.1:{port}") as llm:
        with pytest.raises(PeerError, match="no sign"):
            async for _ in llm.chat([]):
                pass


async def test_an_answer_whose_body_ends_behind_words_is_whole() -> None:
    assert await said_before_the_end(breaks=False) == ["Once"]


# ---------------------------------------------------------------------------------------- together


async def test_a_whole_turn_over_real_sockets(servers: Addresses) -> None:
    async with (
        AsrConnection.open(servers.asr) as asr,
        TtsConnection.open(servers.tts) as tts,
        LlmClient.open(servers.llm) as llm,
    ):
        reply = await asyncio.wait_for(answer(Clip(SPEECH, 16000), asr, llm, tts), LIMIT_S)
    assert reply.transcript == "what is two plus two"
    assert "four" in reply.text.lower()
    assert reply.audio.seconds > 0.3
