"""Address of a synthesis server, and its answer about its audio over HTTP."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec

from nemotron_speech.protocol.tts import PLAIN_RATE

STREAM_PATH = "/ws/tts/stream"
CONFIG_PATH = "/v1/audio/config"
_TIMEOUT_S = 1.0


class _Config(msgspec.Struct):
    sample_rate: int


def stream_url(url: str) -> str:
    """Return the WebSocket address of a server given as `http(s)://` or `ws(s)://`."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/")
    return urlunsplit(
        (scheme, parts.netloc, path if path.endswith("/stream") else path + STREAM_PATH, "", "")
    )


def config_url(stream_url: str) -> str:
    """Return where the server of a WebSocket address describes its audio."""
    parts = urlsplit(stream_url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    path = parts.path.removesuffix(STREAM_PATH)
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
