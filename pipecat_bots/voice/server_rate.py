"""The sample rate of a synthesis server that does not state it with its audio."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec

from nemotron_speech.protocol.tts import PLAIN_RATE

CONFIG_PATH = "/v1/audio/config"
_TIMEOUT_S = 1.0


class _Config(msgspec.Struct):
    sample_rate: int


def config_url(stream_url: str) -> str:
    """Return where the server of a WebSocket address describes its audio."""
    parts = urlsplit(stream_url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    path = parts.path.removesuffix("/ws/tts/stream")
    return urlunsplit((scheme, parts.netloc, path + CONFIG_PATH, "", ""))


async def ask_rate(stream_url: str) -> int:
    """Return the rate that the server states over HTTP, in Hz; what its clients assume where it does not."""
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.get(config_url(stream_url)) as response,
        ):
            return msgspec.json.decode(await response.read(), type=_Config).sample_rate
    except (aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError):
        return PLAIN_RATE
