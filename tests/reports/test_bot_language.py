"""A language that the voice does not speak is refused aloud: at start, else when a session connects."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace

import pytest
from aiohttp import web
from loguru import logger
from pipecat.tests.utils import SleepFrame

from nemotron_speech import tts_server
from nemotron_speech.errors import ConfigurationError
from nemotron_speech.settings import TtsSettings
from pipecat_bots import process
from pipecat_bots.connections.outage import Dependent, Notice
from pipecat_bots.magpie_websocket_tts import MagpieWebSocketTTSService
from pipecat_bots.nvidia_stt import NVidiaWebSocketSTTService
from pipecat_bots.settings import BotSettings
from pipecat_bots.voice.language_check import check_language
from tests.bots.fakes import free_port, through
from tests.serving.engines import EchoAsr, LetterTts
from tests.serving.shells import recognising, speaking


def voice(*languages: str) -> LetterTts:
    engine = LetterTts()
    engine.info = replace(engine.info, languages=languages)
    return engine


def settings(url: str, language: str | None) -> BotSettings:
    chosen = {} if language is None else {"bot_language": language}
    return BotSettings(nvidia_tts_url=url, **chosen)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("language", "languages", "says"),
    [
        ("fr", ("en", "de"), "does not speak 'fr'; choose one of en, de"),
        ("english", ("en", "de"), "does not speak 'english'"),
        (None, ("de",), "does not speak 'en'; choose one of de"),
        ("de_DE", ("en", "de"), ""),
        ("EN-us", ("en", "de"), ""),
        (None, ("en-GB",), ""),
    ],
)
async def test_the_voice_must_speak_the_language_of_the_bot(
    language: str | None, languages: tuple[str, ...], says: str
) -> None:
    async with speaking("aiohttp", voice(*languages)) as address:
        wanted = settings(f"http://{address}", language)
        if not says:
            await check_language(wanted)
            return
        with pytest.raises(ConfigurationError, match=says):
            await check_language(wanted)


async def test_a_voice_that_starts_beside_the_bot_is_waited_for() -> None:
    port = free_port()
    checking = asyncio.create_task(check_language(settings(f"http://127.0.0.1:{port}", "fr")))
    await asyncio.sleep(0)
    runner = web.AppRunner(tts_server.build_app(voice("en"), TtsSettings(engine="none")), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        with pytest.raises(ConfigurationError, match="'fr'"):
            await checking
    finally:
        await runner.cleanup()


async def test_a_voice_that_is_away_keeps_no_bot_from_starting() -> None:
    await check_language(settings(f"http://127.0.0.1:{free_port()}", None))
    await check_language(settings(f"http://127.0.0.1:{free_port()}", "fr"), patience_s=0.0)


def test_a_bot_does_not_start_in_a_language_without_a_voice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(settings: BotSettings) -> None:
        raise ConfigurationError("BOT_LANGUAGE: the voice does not speak 'fr'; choose one of en")

    monkeypatch.setattr(sys, "argv", ["bot"])
    monkeypatch.setattr(process.log, "set_up", lambda settings: None)
    monkeypatch.setattr(process, "check_language", refuse)
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="ERROR")
    with pytest.raises(SystemExit) as ended:
        process.serve(lambda: None)
    logger.remove(sink)
    assert ended.value.code == 2
    assert any("choose one of en" in line for line in lines)


async def outage_of(service: Dependent) -> Notice:
    """Return what a service reports within the first second."""
    notices: list[Notice] = []

    @service.event_handler("on_outage")
    async def outage(_: object, notice: Notice) -> None:
        notices.append(notice)

    await through([service], [SleepFrame(1.0)])
    assert len(notices) == 1, notices
    return notices[0]


async def test_a_session_says_that_the_voice_refuses_its_language_and_asks_for_nothing() -> None:
    engine = voice("en")
    async with speaking("aiohttp", engine) as address:
        options = MagpieWebSocketTTSService.Settings(language="fr")
        notice = await outage_of(MagpieWebSocketTTSService(url=f"http://{address}", settings=options))
    assert notice.level == "error"
    assert "refuses: unknown language 'fr'; allowed: en" in notice.message
    assert not engine.batches


async def test_a_session_says_that_the_recogniser_refuses_its_language() -> None:
    async with recognising("aiohttp", EchoAsr()) as address:
        options = NVidiaWebSocketSTTService.Settings(language="xx")
        notice = await outage_of(NVidiaWebSocketSTTService(url=f"ws://{address}", settings=options))
    assert "The speech recogniser at" in notice.message
    assert "refuses:" in notice.message
