"""Check at start that the voice speaks the language of the bot: it is never spoken in another one."""

from __future__ import annotations

import asyncio

import aiohttp
import msgspec

from nemotron_speech.errors import BadRequest, ConfigurationError
from nemotron_speech.languages import matched
from pipecat_bots.settings import BotSettings
from pipecat_bots.voice.addresses import config_url, stream_url

PATIENCE_S = 10.0
"""Longest wait, in seconds, for a server that starts beside the bot, where a language was chosen."""
AGAIN_S = 0.25
_TIMEOUT_S = 1.0


class _Config(msgspec.Struct):
    languages: tuple[str, ...] = ()


async def check_language(settings: BotSettings, patience_s: float = PATIENCE_S) -> None:
    """Raise ConfigurationError where the voice does not speak BOT_LANGUAGE; it names those that it does.

    A server that is away, or does not say, is taken to speak it: what it refuses later is an outage.
    """
    chosen = "bot_language" in settings.model_fields_set
    offered = await _offered(settings.nvidia_tts_url, patience_s if chosen else 0.0)
    try:
        if offered:
            matched(settings.bot_language, offered)
    except BadRequest:
        raise ConfigurationError(
            f"BOT_LANGUAGE: the voice at {settings.nvidia_tts_url} does not speak {settings.bot_language!r}; "
            f"choose one of {', '.join(offered)}, or start it with an engine that does"
        ) from None


async def _offered(url: str, patience_s: float) -> tuple[str, ...]:
    """Return the languages of a server; none where it does not say within that time."""
    until = asyncio.get_running_loop().time() + patience_s
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        while True:
            try:
                async with http.get(config_url(stream_url(url))) as response:
                    return msgspec.json.decode(await response.read(), type=_Config).languages
            except msgspec.MsgspecError:
                return ()
            except (aiohttp.ClientError, OSError, TimeoutError):
                if asyncio.get_running_loop().time() >= until:
                    return ()
            await asyncio.sleep(AGAIN_S)
