"""Loopback servers with scripted behaviour for the bots' services, and helpers to drive these.

The recogniser hears words in sample values (see `spoken`), so a test can tell which audio a final covers; the
voice says each segment in a sample value of its own.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any, TypeVar

import numpy as np
from aiohttp import WSMsgType, web
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    LLMContextFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.tests.utils import SleepFrame, run_test

from nemotron_speech.errors import SpeechError
from nemotron_speech.protocol.asr import AsrServer, Audio, SentUtterance
from nemotron_speech.protocol.tts_streams import Capabilities, TtsServer
from tests.bots.delayed_mail import DelayedMail

FrameT = TypeVar("FrameT", bound=Frame)

WORDS = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TTS_RATE = 16000
MS_PER_CHARACTER = 10


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class FakeServer:
    """A server on a port of its own that can go away and come back."""

    def __init__(self) -> None:
        self.port = free_port()
        self.connections = 0
        self.addresses: list[str] = []
        self._runner: web.AppRunner | None = None
        self._sockets: set[web.WebSocketResponse] = set()

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    async def start(self) -> None:
        app = web.Application()
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Die: connections are cut without a farewell."""
        for ws in list(self._sockets):
            if ws._req is not None and ws._req.transport is not None:
                ws._req.transport.abort()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @asynccontextmanager
    async def socket(self, request: web.Request) -> AsyncIterator[web.WebSocketResponse]:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        self.connections += 1
        self.addresses.append(request.path_qs)
        self._sockets.add(ws)
        try:
            yield ws
        finally:
            self._sockets.discard(ws)

    async def __aenter__(self) -> Any:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


# -------------------------------------------------------------------------------------- recogniser


def spoken(*words: str, ms: int = 100, vocabulary: Sequence[str] = WORDS) -> list[InputAudioRawFrame]:
    """Audio frames of 20 ms in which the fake recogniser hears these words."""
    frames = []
    for word in words:
        pcm = np.full(320, vocabulary.index(word), np.int16).tobytes()
        frames += [InputAudioRawFrame(pcm, 16000, 1) for _ in range(ms // 20)]
    return frames


def utterance(*words: str) -> list[Frame]:
    """One stretch of speech as the voice activity detector frames it."""
    return [
        VADUserStartedSpeakingFrame(),
        *spoken(*words),
        SleepFrame(0.05),
        VADUserStoppedSpeakingFrame(stop_secs=0.2),
    ]


def heard(pcm: bytes, vocabulary: Sequence[str] = WORDS) -> str:
    values = np.frombuffer(pcm, np.int16)
    runs = values[np.insert(np.diff(values) != 0, 0, True)] if len(values) else values
    return " ".join(vocabulary[v] for v in runs if v)


class FakeAsr(FakeServer):
    """A recogniser. `final_delay_s` makes its finals late; `full` refuses callers; `deaf` sends no finals.

    Several delays of finals are taken in turn. Each counts from its reset; what follows waits for it.

    Args:
        lag_ms: If given, it is a plain one: no ids; words are heard so much audio after they end; a soft
            reset is answered at once and flushes nothing; interims come every 160 ms. A function is asked
            each time.
    """

    def __init__(
        self,
        final_delay_s: float | Sequence[float] = 0.0,
        vocabulary: Sequence[str] = WORDS,
        lag_ms: int | Callable[[], int] | None = None,
    ) -> None:
        super().__init__()
        self._delays = cycle([final_delay_s] if isinstance(final_delay_s, int | float) else final_delay_s)
        self.vocabulary = vocabulary
        self.lag_ms = lag_ms
        self.full = False
        self.deaf = False
        self.knows_soft_resets = True
        self.resets = 0
        self._mails: list[DelayedMail] = []

    @property
    def url(self) -> str:
        return f"ws://{self.authority}"

    @property
    def is_idle(self) -> bool:
        """True if no message is still to be sent."""
        return all(mail.is_empty for mail in self._mails)

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/", self.serve)]

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        async with self.socket(request) as ws:
            if self.full:
                await ws.close(code=1013, message=b"full")
                return ws
            machine, pcm, mail = AsrServer(), bytearray(), DelayedMail(ws)
            self._mails.append(mail)
            await ws.send_str(machine.ready())
            async for message in ws:
                if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                    continue
                understood = machine.receive(message.data)
                if isinstance(understood, Audio):
                    pcm += understood.pcm
                    await self._send_interim(mail, machine, bytes(pcm))
                    continue
                self.resets += 1
                if self.deaf:
                    continue
                hard = understood.finalize or not self.knows_soft_resets
                text = self._text(bytes(pcm), hard)
                if hard:
                    pcm.clear()
                delay_s = next(self._delays) if hard or self.lag_ms is None else 0.0
                await mail.send(self._dialect(machine.final(understood, SentUtterance(text))), delay_s)
        return ws

    async def _send_interim(self, mail: DelayedMail, machine: AsrServer, pcm: bytes) -> None:
        due = self.lag_ms is None or len(pcm) // 2 % 2560 < 320
        if due and (interim := machine.interim(self._text(pcm, self.lag_ms is None))):
            await mail.send(interim)

    def _text(self, pcm: bytes, flush: bool) -> str:
        """Return the text of the audio; without a flush, that of `lag_ms` ago and of ended words only."""
        if flush or self.lag_ms is None:
            return heard(pcm, self.vocabulary)
        lag_ms = self.lag_ms if isinstance(self.lag_ms, int) else self.lag_ms()
        past = pcm[: max(0, len(pcm) - 32 * lag_ms)]
        text = heard(past, self.vocabulary)
        unended = past != b"" and past[-2:] != b"\0\0"
        return text.rpartition(" ")[0] if unended else text

    def _dialect(self, message: str) -> str:
        if self.lag_ms is None:
            return message
        keep = ("type", "text", "is_final", *(["finalize"] if self.knows_soft_resets else []))
        return json.dumps({key: value for key, value in json.loads(message).items() if key in keep})


# ------------------------------------------------------------------------------------------- voice


class FakeTts(FakeServer):
    """A voice: each segment in the sample value of its number.

    Args:
        delay_s: Before the first audio of a segment.
        ms_per_character: How long a text sounds.
        work_per_audio: Seconds of work in a second of audio; in mode `batch` all audio comes after it.
        fails: Texts it cannot say.
        hangs: Whether it takes text and never answers.
        plain: Whether it knows no ids, rates or words, and does not complete a segment it could not say.
    """

    def __init__(
        self,
        delay_s: float = 0.05,
        fails: Sequence[str] = (),
        hangs: bool = False,
        plain: bool = False,
        ms_per_character: int = MS_PER_CHARACTER,
        work_per_audio: float = 0.02,
    ) -> None:
        super().__init__()
        self.plain = plain
        self.delay_s = delay_s
        self.ms_per_character = ms_per_character
        self.work_per_audio = work_per_audio
        self.fails = fails
        self.hangs = hangs
        self.full = False
        self.words: Callable[[str], list[tuple[str, int, int]] | None] = lambda text: None
        self.segments: list[tuple[str, str]] = []
        self.cancels = 0
        self.inits: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://{self.authority}"

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/ws/tts/stream", self.serve)]

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        async with self.socket(request) as ws:
            if self.full:
                await ws.close(code=1013, message=b"full")
                return ws
            machine = TtsServer(lambda: Capabilities(TTS_RATE, ("aria",), ("en",), ("balanced",), 20000))
            work = asyncio.Event()
            speaking = asyncio.create_task(self._speak(ws, machine, work))
            try:
                async for message in ws:
                    self._note(message.data)
                    try:
                        replies = machine.receive(self._understood(message.data))
                    except SpeechError as error:
                        replies = [machine.error(str(error), fatal=False)]
                    for reply in self._dialect(replies):
                        await ws.send_str(reply)
                    work.set()
            finally:
                speaking.cancel()
        return ws

    def _understood(self, data: str) -> str:
        """A message as a server reads it that may know no names."""
        known = json.loads(data)
        if self.plain:
            known.pop("utterance", None)
        return json.dumps(known)

    def _note(self, data: Any) -> None:
        message = json.loads(data)
        match message["type"]:
            case "text":
                self.segments.append((message["text"], message["mode"]))
            case "cancel":
                self.cancels += 1
            case "init":
                self.inits.append(message)

    async def _speak(self, ws: web.WebSocketResponse, machine: TtsServer, work: asyncio.Event) -> None:
        number = 0
        while True:
            await work.wait()
            work.clear()
            while not self.hangs and (begun := machine.begin()) is not None:
                announcement, segment = begun
                number += 1
                for message in self._dialect(announcement):
                    await ws.send_str(message)
                await asyncio.sleep(self.delay_s)
                if segment.text in self.fails:
                    replies = machine.fail(segment, "cannot say that")
                else:
                    await self._audio(ws, machine, segment, number)
                    replies = machine.complete(segment, self.words(segment.text))
                for message in self._dialect(replies):
                    await ws.send_str(message)

    def _dialect(self, messages: list[str]) -> list[str]:
        if not self.plain:
            return messages
        decoded = [json.loads(message) for message in messages]
        failed = any(message["type"] == "error" for message in decoded)
        keep = ("type", "stream_id", "audio_ms", "total_audio_ms", "message")
        return [
            json.dumps({key: message[key] for key in keep if key in message})
            for message in decoded
            if not (failed and message["type"] == "segment_complete")
        ]

    async def _audio(self, ws: web.WebSocketResponse, machine: TtsServer, segment: Any, number: int) -> None:
        samples = len(segment.text) * self.ms_per_character * TTS_RATE // 1000
        pcm = np.full(samples, number, np.int16).tobytes()
        step = 3200 if segment.mode == "stream" else max(1, len(pcm))
        for start in range(0, len(pcm), step):
            part = pcm[start : start + step]
            await asyncio.sleep(self.work_per_audio * len(part) / 2 / TTS_RATE)
            if machine.audio(segment, part):
                await ws.send_bytes(part)


# ---------------------------------------------------------------------------------- language model


FIELDS_OF_VLLM = {"chat_template_kwargs", "continue_final_message", "add_generation_prompt"}


class FakeLlm(FakeServer):
    """A llama.cpp server that answers every question with `reply`, word by word, and can go on with it."""

    def __init__(self, reply: str = "Hello there.", token_s: float = 0.01) -> None:
        super().__init__()
        self.reply = reply
        self.token_s = token_s
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.aborted = 0
        self.overlaps = 0
        """Requests that came while another one was not closed yet."""
        self._at_work: list[asyncio.Transport] = []
        self.status = 200
        self.error: dict[str, Any] = {}
        self.max_messages = 1000
        self.strict = False
        """Whether it refuses fields that OpenAI's server does not know."""
        self.stall_after: int | None = None
        """After so many tokens it says nothing for a long time."""
        self.tool_call: tuple[str, str] | None = None
        """Name and arguments of a tool that every question is answered with, before its result is known."""
        self.thoughts: tuple[dict[str, str], ...] = ()
        """What every answer and every call begins with, as the server sends it."""

    @property
    def url(self) -> str:
        return f"http://{self.authority}"

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/health", self.health),
            web.get("/v1/models", self.health),
            web.post("/v1/chat/completions", self.chat),
        ]

    async def health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.keys.append(request.headers.get("Authorization"))
        if self.status != 200:
            return web.json_response({"error": self.error}, status=self.status)
        if self.strict and (unknown := FIELDS_OF_VLLM & set(body)):
            error = {"message": f"Unrecognized request arguments: {unknown}", "type": "invalid_request_error"}
            return web.json_response({"error": error}, status=400)
        if len(body["messages"]) > self.max_messages:
            error = {"code": 400, "type": "exceed_context_size_error", "message": "too long"}
            return web.json_response({"error": error}, status=400)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        transport = request.transport
        assert transport is not None
        self.overlaps += any(not other.is_closing() for other in self._at_work)
        self._at_work.append(transport)
        try:
            await self._stream(response, body)
        except (ConnectionError, asyncio.CancelledError):
            self.aborted += 1
        finally:
            self._at_work.remove(transport)
        return response

    @property
    def is_idle(self) -> bool:
        """True if no request is being answered."""
        return not self._at_work

    def reply_to(self, messages: Sequence[dict[str, Any]]) -> str:
        """Return the answer to a conversation."""
        return self.reply

    async def _stream(self, response: web.StreamResponse, body: dict[str, Any]) -> None:
        for delta in self.thoughts:
            await self._event(response, {"choices": [{"index": 0, "delta": delta}]})
        if self.tool_call and body["messages"][-1]["role"] == "user":
            name, arguments = self.tool_call
            function = {"name": name, "arguments": arguments}
            call = {"index": 0, "id": f"c{len(self.requests)}", "function": function}
            choice = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}
            await self._event(response, {"choices": [choice]})
            await response.write(b"data: [DONE]\n\n")
            return
        rest = reply = self.reply_to(body["messages"])
        if body.get("continue_final_message"):
            begun = body["messages"][-1]["content"]
            assert reply.startswith(begun), f"{begun!r} is not how the answer began"
            rest = reply[len(begun) :]
        tokens = re.findall(r"\s*\S+|\s+", rest)
        limit = body.get("max_tokens") or len(tokens)
        for n, token in enumerate(tokens[:limit]):
            await asyncio.sleep(30.0 if n == self.stall_after else self.token_s)
            await self._event(response, {"choices": [{"index": 0, "delta": {"content": token}}]})
        reason = "stop" if len(tokens) <= limit else "length"
        usage = {
            "prompt_tokens": 7,
            "completion_tokens": len(tokens[:limit]),
            "total_tokens": 7 + len(tokens),
        }
        usage["prompt_tokens_details"] = {"cached_tokens": 5}  # type: ignore[assignment]
        await self._event(response, {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        await self._event(response, {"choices": [], "usage": usage})
        await response.write(b"data: [DONE]\n\n")

    async def _event(self, response: web.StreamResponse, data: dict[str, Any]) -> None:
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "fake", **data}
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())


# ------------------------------------------------------------------------------------------ driving


def question(text: str = "Hello") -> LLMContextFrame:
    """A conversation that waits for an answer."""
    return LLMContextFrame(LLMContext([{"role": "user", "content": text}]))


Step = Frame | Callable[[], Coroutine[Any, Any, Any]]


async def through(
    processors: Sequence[FrameProcessor], steps: Iterable[Step], **options: Any
) -> tuple[list[Frame], list[Frame]]:
    """Run frames through processors; what came out at the end, and at the beginning.

    A step that is no frame is something to do (a server to stop, an answer to wait for) before the next one.
    """

    def frames() -> Iterator[Frame]:
        for step in steps:
            if isinstance(step, Frame):
                yield step
            else:
                task = asyncio.ensure_future(step())
                tasks.append(task)
                yield SleepFrame(0.05)
                while not task.done():
                    yield SleepFrame(0.05)

    tasks: list[asyncio.Future[Any]] = []
    pipeline = Pipeline(list(processors))
    down, up = await run_test(pipeline, frames_to_send=frames(), start_timeout=20.0, **options)  # type: ignore[arg-type]
    await asyncio.gather(*tasks)
    return list(down), list(up)


def answered(context: LLMContext, timeout_s: float = 20.0) -> Callable[[], Awaitable[None]]:
    """A step that waits until the conversation has one more answer of the bot."""

    def answers() -> int:
        messages = [m for m in context.get_messages() if isinstance(m, dict)]
        return sum(m.get("role") == "assistant" and bool(m.get("content")) for m in messages)

    before = answers()

    async def wait() -> None:
        async with asyncio.timeout(timeout_s):
            while answers() == before:
                await asyncio.sleep(0.02)

    return wait


def of_type(frames: Sequence[Frame], kind: type[FrameT]) -> list[FrameT]:
    return [frame for frame in frames if isinstance(frame, kind)]
