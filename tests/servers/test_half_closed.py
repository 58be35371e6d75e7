"""A caller that closes its half of the connection, as `nc -N` and many SDKs do, gets what it asked for."""

from __future__ import annotations

import asyncio
import json

import numpy as np

from nemotron_speech.engines.scripted import AsrScript, ScriptedAsr
from tests.servers.shells import recognising

SPEECH = (np.sin(np.arange(320)) * 8000).astype("<i2").tobytes()
UPGRADE = (
    "GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def masked(opcode: int, payload: bytes) -> bytes:
    """Return a client's frame of less than 64 KiB, masked with zeros."""
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the opcode and payload of a server's frame of less than 126 bytes, or of less than 64 KiB."""
    first, length = await reader.readexactly(2)
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2))
    return first & 0x0F, await reader.readexactly(length)


async def told_after_closing_its_half(*messages: bytes) -> list[dict[str, object]]:
    """Say `messages` and close the half at once; return what is answered until the server closes too."""
    script = AsrScript(transcripts=("what time is it",), final_ms=50)
    async with recognising("aiohttp", ScriptedAsr(script)) as address:
        host, port = address.rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(UPGRADE.encode())
        assert b"101" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"".join(messages))
        writer.write_eof()
        heard = []
        async with asyncio.timeout(3):
            while (frame := await read_frame(reader))[0] != 8:
                if frame[0] == 1:
                    heard.append(json.loads(frame[1]))
            assert int.from_bytes(frame[1][:2]) == 1000
            assert await reader.read() == b""
        writer.close()
        return heard


async def test_the_final_asked_for_comes_after_the_half_is_closed() -> None:
    audio = masked(2, SPEECH) * 40
    heard = await told_after_closing_its_half(audio, masked(1, b'{"type":"reset"}'))
    assert heard[-1]["text"] == "what time is it"
    assert heard[-1]["is_final"] is True


async def test_who_asked_for_nothing_is_not_kept() -> None:
    heard = await told_after_closing_its_half(masked(2, SPEECH) * 3)
    assert all(message["type"] == "ready" or not message.get("is_final") for message in heard)
