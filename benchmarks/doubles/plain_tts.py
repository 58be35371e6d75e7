"""A scripted double of the plain synthesis server: the published voice agent's protocol, nothing added.

    python -m benchmarks.doubles.plain_tts --host 127.0.0.1 --port 8001 --script script.json

It speaks the tones of the script's section `tts`, at 22,000 Hz. Every `init` is answered at once by a
`stream_created`, and discards what was asked for before; the first text joins that stream. A text after
`close`, `done` or `cancel` begins a new stream, discards what is left of the one before and is announced. A
cancel is not answered. There are no utterance ids and no word times.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from nemotron_speech.engines.base import Segment
from nemotron_speech.engines.scripted import ScriptedTts, TtsScript, read_script
from nemotron_speech.errors import EngineError

SAMPLE_RATE = 22_000
"""Stated by `GET /v1/audio/config` only; clients of this protocol assume it."""
_BATCH_MESSAGE_BYTES = 4096


class State(Enum):
    """The life of a plain stream."""

    OPEN = auto()
    CLOSED = auto()
    """No more text comes; what is queued is still spoken."""
    OVER = auto()
    """Done, cancelled or failed."""


@dataclass(eq=False)
class Stream:
    """Segments spoken under one announcement."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    state: State = State.OPEN
    spoken: int = 0
    samples: int = 0


@dataclass(frozen=True, eq=False)
class Asked:
    """One text to speak, in its stream."""

    stream: Stream
    text: str
    mode: str
    voice: str
    language: str


class PlainServer:
    """One connection as the plain server sees it, without I/O. At most one segment is spoken at a time."""

    def __init__(self) -> None:
        self._voice, self._language, self._mode = "aria", "en", "batch"
        self._stream: Stream | None = None
        self._queue: deque[Asked] = deque()
        self._speaking: Asked | None = None
        self._samples = 0

    @property
    def idle(self) -> bool:
        """True if nothing is being spoken or is to be."""
        return self._speaking is None and not self._queue

    def receive(self, message: str) -> list[str]:
        """Take in one message; return the replies to send now. Raises ValueError for what is no JSON."""
        data: dict[str, Any] = json.loads(message)
        match data.get("type"):
            case "init":
                return self._init(data)
            case "text":
                return self._text(data)
            case "close":
                return self._close()
            case "cancel":
                self._discard()
                self._stream = None
            case "ping":
                return [_json("pong")]
        return []

    def begin(self) -> Asked | None:
        """Take the next segment to speak; None if none is due."""
        if self._speaking is not None or not self._queue:
            return None
        self._speaking, self._samples = self._queue.popleft(), 0
        return self._speaking

    def audio(self, asked: Asked, pcm: bytes) -> bool:
        """Count audio of a segment; whether it may be sent."""
        if asked is not self._speaking:
            return False
        self._samples += len(pcm) // 2
        return True

    def complete(self, asked: Asked) -> list[str]:
        """Return the messages that follow the last audio of a segment."""
        if asked is not self._speaking:
            return []
        self._speaking = None
        stream = asked.stream
        stream.spoken += 1
        stream.samples += self._samples
        done = _json("segment_complete", segment=stream.spoken, audio_ms=_ms(self._samples))
        return [done, *self._finished()]

    def fail(self, asked: Asked, reason: str) -> list[str]:
        """Return the message for a segment that failed; its stream is over, the connection is not."""
        if asked is not self._speaking:
            return []
        self._discard()
        return [_json("error", message=reason, fatal=True)]

    def _init(self, data: dict[str, Any]) -> list[str]:
        self._voice = data.get("voice", "aria").lower()
        self._language = data.get("language", "en").lower()
        self._mode = data.get("default_mode", "batch")
        return self._new_stream()

    def _text(self, data: dict[str, Any]) -> list[str]:
        stream, replies = self._stream, []
        if stream is None or stream.state is not State.OPEN:
            replies = self._new_stream()
        assert self._stream is not None
        if (text := data.get("text", "")).strip():
            mode = data.get("mode", self._mode)
            self._queue.append(Asked(self._stream, text, mode, self._voice, self._language))
        return replies

    def _close(self) -> list[str]:
        if self._stream is None or self._stream.state is not State.OPEN:
            return []
        self._stream.state = State.CLOSED
        return self._finished()

    def _new_stream(self) -> list[str]:
        self._discard()
        self._stream = Stream()
        return [_json("stream_created", stream_id=self._stream.id)]

    def _discard(self) -> None:
        self._queue.clear()
        self._speaking = None
        if self._stream is not None:
            self._stream.state = State.OVER

    def _finished(self) -> list[str]:
        stream = self._stream
        if stream is None or stream.state is not State.CLOSED or self._queue or self._speaking:
            return []
        stream.state = State.OVER
        return [_json("done", total_audio_ms=_ms(stream.samples), segments_generated=stream.spoken)]


def _json(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, **fields})


def _ms(samples: int) -> float:
    return samples / SAMPLE_RATE * 1000


# ------------------------------------------------------------------------------------------- the server


class Connection:
    """One caller of the double: what it asks for is spoken in order, at the script's pace."""

    def __init__(self, websocket: web.WebSocketResponse, script: TtsScript) -> None:
        self._websocket = websocket
        self._script = script
        self._engine = ScriptedTts(
            msgspec.structs.replace(script, sample_rate=SAMPLE_RATE, first_audio_ms=0, step_ms=0)
        )
        self._server = PlainServer()
        self._asked = asyncio.Event()

    async def serve(self) -> None:
        speaking = asyncio.create_task(self._speak())
        try:
            async for message in self._websocket:
                if message.type is WSMsgType.TEXT:
                    await self._send(self._server.receive(message.data))
                    self._asked.set()
        finally:
            speaking.cancel()
            with suppress(asyncio.CancelledError, ConnectionResetError):
                await speaking

    async def _speak(self) -> None:
        while True:
            if (asked := self._server.begin()) is None:
                self._asked.clear()
                await self._asked.wait()
                continue
            try:
                await self._say(asked)
            except EngineError as error:
                await self._send(self._server.fail(asked, str(error)))
            else:
                await self._send(self._server.complete(asked))

    async def _say(self, asked: Asked) -> None:
        """Make one segment, chunk by chunk; in one piece where it was asked for so. Raises EngineError."""
        clock = asyncio.get_running_loop()
        due, held = clock.time() + self._script.first_audio_ms / 1000, b""
        for chunk in self._chunks(asked):
            await asyncio.sleep(due - clock.time())
            due += self._script.step_ms / 1000
            if not self._server.audio(asked, chunk):
                return
            if asked.mode == "stream":
                await self._websocket.send_bytes(chunk)
            else:
                held += chunk
        for start in range(0, len(held), _BATCH_MESSAGE_BYTES):
            if not self._server.audio(asked, b""):
                return
            await self._websocket.send_bytes(held[start : start + _BATCH_MESSAGE_BYTES])

    def _chunks(self, asked: Asked) -> Iterator[bytes]:
        tone = self._engine.open(Segment(asked.text, asked.voice, asked.language))
        while True:
            result = self._engine.step([tone])[0]
            if isinstance(result, EngineError):
                raise result
            yield result.pcm
            if result.done:
                return

    async def _send(self, messages: list[str]) -> None:
        with suppress(ConnectionResetError):
            for message in messages:
                await self._websocket.send_str(message)


def build_app(script: TtsScript) -> web.Application:
    """Return the application: `/ws/tts/stream`, `/health`, `/v1/audio/config`."""
    info = ScriptedTts(script).info

    async def stream(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await Connection(websocket, script).serve()
        return websocket

    async def health(request: web.Request) -> web.Response:
        return web.json_response({"status": "healthy", "model_loaded": True})

    async def config(request: web.Request) -> web.Response:
        shape = {"sample_rate": SAMPLE_RATE, "channels": 1, "encoding": "pcm_s16le"}
        return web.json_response({**shape, "voices": info.voices, "languages": info.languages})

    app = web.Application()
    app.add_routes(
        [
            web.get("/ws/tts/stream", stream),
            web.get("/health", health),
            web.get("/v1/audio/config", config),
        ]
    )
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run the double."""
    parser = argparse.ArgumentParser(description="A scripted double of the plain synthesis server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--script", type=Path, help="JSON; the section `tts` is read")
    options = parser.parse_args(arguments)
    app = build_app(read_script(options.script).tts)
    web.run_app(app, host=options.host, port=options.port, print=None, handle_signals=True)


if __name__ == "__main__":
    main()
