"""Log lines name the caller they are about: its session, as the bots tell it, or a number."""

from __future__ import annotations

import re
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp import web
from loguru import logger

from nemotron_speech import yap_server
from nemotron_speech.caller_log import caller_of, line_format
from nemotron_speech.settings import AsrSettings
from pipecat_bots.nvidia_stt import NVidiaWebSocketSTTService
from tests.bots.fakes import FakeAsr, through
from tests.serving.channel import until
from tests.serving.engines import EchoAsr, LetterTts
from tests.serving.shells import SHELLS, recognising, speaking
from tests.serving.test_rfc6455 import calling as calling_as_a_stranger
from tests.virtual_time import virtual_time

SESSION = "3f2a9c41-70a6-4672-92f0-db98721be45b"


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Lines of the log, as the servers write them."""
    written: list[str] = []
    sink = logger.add(lambda line: written.append(str(line)), format=line_format)  # type: ignore[arg-type]
    yield written
    logger.remove(sink)


def said_of(lines: list[str], caller: str) -> list[str]:
    marked = f"[{caller}] "
    return [line.split(marked, 1)[1].strip() for line in lines if marked in line]


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_session_leads_through_the_recognisers_log(shell: str, lines: list[str]) -> None:
    async with recognising(shell, EchoAsr(capacity=1)) as address, aiohttp.ClientSession() as http:
        async with http.ws_connect(f"ws://{address}/?session={SESSION}") as one:
            await one.receive_json()
            async with http.ws_connect(f"ws://{address}/?session=other-{SESSION}") as two:
                await two.receive()
        await until(lambda: "a caller has gone" in said_of(lines, SESSION[:8]))
    assert said_of(lines, SESSION[:8]) == ["a caller is here (1 of 1)", "a caller has gone"]
    (refusal,) = said_of(lines, "other-3f")
    assert refusal == "closing a caller: all 1 places are taken; try again later or elsewhere"


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_session_leads_through_the_synthesisers_log(shell: str, lines: list[str]) -> None:
    async with speaking(shell, LetterTts()) as address, aiohttp.ClientSession() as http:
        async with http.ws_connect(f"ws://{address}/ws/tts/stream?session={SESSION}") as one:
            await one.send_json({"type": "init"})
        await until(lambda: "a caller has gone" in said_of(lines, SESSION[:8]))
    assert said_of(lines, SESSION[:8])[0] == "a caller is here (1 of 8)"


async def test_a_caller_that_breaks_the_protocol_is_named_too(lines: list[str]) -> None:
    async with recognising("aiohttp", EchoAsr()) as address:
        port = int(address.rpartition(":")[2])
        async with calling_as_a_stranger(port, f"/?session={SESSION}") as one:
            one.writer.write(b"\xff\xff\xff\xff")
            await until(lambda: any("breaks" in line for line in said_of(lines, SESSION[:8])))


async def test_many_callers_are_named_by_what_they_call_themselves(lines: list[str]) -> None:
    app = yap_server.build_app(EchoAsr(), AsrSettings(engine="none"))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await until(lambda: app[yap_server.SERVICE].health()[0] == 200)
        url = f"ws://127.0.0.1:{runner.addresses[0][1]}/"
        async with aiohttp.ClientSession() as http, http.ws_connect(url) as one:
            await one.send_json({"op": "init", "sid": "phone-7", "sr": 16000})
            await until(lambda: "a caller is here (1 of 8)" in said_of(lines, "phone-7"))
    finally:
        await runner.cleanup()


def test_a_caller_that_names_no_session_has_a_number() -> None:
    first, second = (int(re.fullmatch(r"caller-(\d+)", caller_of({}))[1]) for _ in range(2))  # type: ignore[index]
    assert second == first + 1


@pytest.mark.parametrize("named", ["\n[root] all is well", "<red>", "a b", "🙂"])
def test_a_session_cannot_write_lines_of_its_own(named: str) -> None:
    assert re.fullmatch(r"[\w.-]{1,8}|caller-\d+", caller_of({"session": named}))


@pytest.mark.parametrize(
    ("query", "told"), [("", "/?session=s-1"), ("?key=a%20b", "/?key=a%20b&session=s-1")]
)
@virtual_time
async def test_a_bot_tells_the_servers_its_session(query: str, told: str) -> None:
    async with FakeAsr() as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url + query)
        stt.session_id = "s-1"
        await through([stt], [])
    assert asr.addresses == [told]
