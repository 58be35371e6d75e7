"""WebSocket clients written for a plain server of each protocol, with the `websockets` library."""

from __future__ import annotations

import pytest
from aiohttp import web

from nemotron_speech import yap_server
from nemotron_speech.engines.espeak_tts.engine import EspeakEngine
from nemotron_speech.engines.scripted import AsrScript, ScriptedAsr
from nemotron_speech.settings import AsrSettings
from tests.foreign.conftest import Foreign
from tests.serving.channel import until
from tests.serving.shells import recognising, speaking

pytestmark = pytest.mark.foreign

SCRIPT = AsrScript(transcripts=("good morning everybody", "how are you"))


async def test_a_plain_recognition_client_gets_one_final_for_each_reset(foreign: Foreign) -> None:
    async with recognising("aiohttp", ScriptedAsr(SCRIPT)) as address:
        heard = await foreign("seed_speech", "asr", f"ws://{address}")
    assert heard["greeting"] == "ready"
    (soft, soft_finalize), (hard, hard_finalize), (end, end_finalize) = heard["finals"]
    assert (soft_finalize, hard_finalize, end_finalize) == (False, True, True)
    assert hard.startswith(soft)
    assert hard in SCRIPT.transcripts
    assert end in SCRIPT.transcripts


async def test_a_client_that_knows_interims_alone_has_the_finals_text(foreign: Foreign) -> None:
    app = yap_server.build_app(ScriptedAsr(SCRIPT), AsrSettings(engine="none"))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await until(lambda: app[yap_server.SERVICE].health()[0] == 200)
        heard = await foreign("seed_speech", "yap", f"ws://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
    assert heard["transcript"] == heard["final"] == "good morning everybody"
    assert heard["code"] == 1000


async def test_a_plain_synthesis_client_is_announced_its_stream_before_it_sends_text(
    foreign: Foreign,
) -> None:
    async with speaking("aiohttp", EspeakEngine()) as address:
        heard = await foreign("seed_speech", "tts", f"ws://{address}/ws/tts/stream")
    assert heard["created"] == "stream_created"
    assert heard["events"] == ["segment_complete", "segment_complete", "done"]
    assert heard["late"] == 0
    assert heard["bytes"] > heard["again"] > 22050
