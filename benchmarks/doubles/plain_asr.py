"""A scripted double of the seed's streaming recogniser, which speaks its protocol and nothing more.

    uv run python -m benchmarks.doubles.plain_asr --host 127.0.0.1 --port 8080 --script script.json

It recites the transcripts of its script, as `nemotron_speech.engines.scripted` does, to whoever is loud
enough. Words are heard `word_lag_ms` behind their sound. A soft reset answers with what has been heard, at
once; only a hard reset flushes the rest. It echoes no ids and knows no times.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from nemotron_speech.engines.scripted import AsrScript, Hearing, read_script

RATE = 16000
INTERIM_MS = 160
WORD_LAG_MS = 200
"""Audio between a word's end and its being heard, in milliseconds, where the script gives none."""


class PlainAsr:
    """One caller: messages in, the messages that answer them out."""

    def __init__(self, script: AsrScript) -> None:
        self._hearing = Hearing(script, RATE)
        self._told = ""
        self._samples = 0

    def audio(self, pcm: bytes) -> list[str]:
        """Hear PCM16LE at 16 kHz; return the interims that are due, one every 160 ms at most."""
        due = [interim for chunk in self._chunks(pcm) if (interim := self._hear(chunk))]
        return due[-1:]

    def reset(self, finalize: bool) -> str:
        """Return the one answer to a reset."""
        text = self._hearing.transcript() if finalize else self._hearing.so_far()
        self._told = text
        if finalize:
            self._hearing.restart()
            self._told = ""
        return _transcript(text, is_final=True, finalize=finalize)

    def _chunks(self, pcm: bytes) -> list[bytes]:
        """Cut audio where interims are due."""
        chunks: list[bytes] = []
        every = INTERIM_MS * RATE // 1000
        at = 0
        while at < len(pcm):
            until = at + 2 * (every - (self._samples + at // 2) % every)
            chunks.append(pcm[at:until])
            at = until
        return chunks

    def _hear(self, pcm: bytes) -> str | None:
        self._hearing.hear(pcm)
        self._samples += len(pcm) // 2
        if self._samples % (INTERIM_MS * RATE // 1000):
            return None
        text = self._hearing.so_far()
        if text == self._told:
            return None
        self._told = text
        return _transcript(text, is_final=False)


def application(script: AsrScript | None = None) -> web.Application:
    """Return the server: WebSocket at `/`, and `/health`."""
    script = script or AsrScript()
    if script.word_lag_ms is None:
        script = msgspec.structs.replace(script, word_lag_ms=WORD_LAG_MS)

    async def converse(request: web.Request) -> web.WebSocketResponse:
        return await _converse(request, script)

    app = web.Application()
    app.add_routes([web.get("/", converse), web.get("/health", _health)])
    return app


async def _converse(request: web.Request, script: AsrScript) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    caller = PlainAsr(script)
    await socket.send_str(json.dumps({"type": "ready"}))
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            answers = caller.audio(message.data)
        else:
            answers = await _asked(caller, json.loads(message.data), script)
        for answer in answers:
            await socket.send_str(answer)
    return socket


async def _asked(caller: PlainAsr, message: dict[str, Any], script: AsrScript) -> list[str]:
    """Answer a text message; a hard reset keeps the connection busy while the rest is recognised."""
    if message["type"] not in ("reset", "end"):
        return []
    finalize = bool(message.get("finalize", True))
    if finalize:
        await asyncio.sleep(script.final_ms / 1000)
    return [caller.reset(finalize)]


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"status": "healthy", "model_loaded": True})


def _transcript(text: str, **facts: bool) -> str:
    return json.dumps({"type": "transcript", "text": text, **facts})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--script", type=Path, help="its section `asr`")
    arguments = parser.parse_args()
    script = read_script(arguments.script).asr
    web.run_app(application(script), host=arguments.host, port=arguments.port, print=None)


if __name__ == "__main__":
    main()
