"""Talk to the servers: asyncio connections around the protocol machines.

    async with AsrConnection.open("ws://localhost:8080") as asr:
        await asr.send(pcm)
        final = await asr.finish()

Every failure between here and a server is a `PeerError` (or `Full`) that says what to do next.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import aiohttp
from aiohttp import WSMsgType

from nemotron_speech.errors import BadRequest, Full, PeerError, SpeechError
from nemotron_speech.invocation import command
from nemotron_speech.protocol import asr as asr_protocol
from nemotron_speech.protocol import tts as tts_protocol
from nemotron_speech.protocol.asr import AsrClient, Final, Interim
from nemotron_speech.protocol.llama import api as llama
from nemotron_speech.protocol.tts import PLAIN_RATE, AudioReceived, StreamStarted, UtteranceDone
from nemotron_speech.protocol.tts_client import TtsClient

START = f"start it with: {command('up')}"
CONNECT_TIMEOUT_S = 5.0
LLM_SILENCE_S = 20.0
"""Longest silence of a language model, in seconds."""
"""A local server accepts at once; this is for one behind a network."""
CLOSE_TIMEOUT_S = 2.0
"""Longest wait, in seconds, for the close of a server that has sent an error message."""
HEARTBEAT_S = 8.0
"""Less than half of the server's: a connection that nobody reads yet answers no ping of the server."""
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
TTS_PATH = "/ws/tts/stream"


# ------------------------------------------------------------------------------------ recognition


class AsrConnection:
    """One stream to the recogniser. Interim transcripts go to `on_interim`."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, url: str, on_interim: Callable[[str], None]
    ) -> None:
        self._socket = socket
        self._url = url
        self._on_interim = on_interim
        self._machine = AsrClient()
        self._answers: dict[str, asyncio.Future[Final]] = {}
        self._failure: SpeechError | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, language: str | None = None, on_interim: Callable[[str], None] = lambda text: None
    ) -> AsyncIterator[AsrConnection]:
        """Connect and wait for a place. Raises PeerError, Full."""
        address = f"{url}?language={language}" if language else url
        async with _websocket(address, "the recogniser") as socket:
            connection = cls(socket, url, on_interim)
            await connection._until_ready()
            reader = asyncio.create_task(connection._read())
            try:
                yield connection
            finally:
                reader.cancel()
                await asyncio.wait([reader])

    async def send(self, pcm: bytes) -> None:
        """Send audio, PCM16LE mono 16 kHz; waits while the server is behind. Raises PeerError, Full."""
        await _send(self._socket, pcm, self._url, lambda: self._failure)

    async def finish(self, finalize: bool = True) -> Final:
        """End the utterance and return its transcript; with `finalize` False only report it so far.

        Raises PeerError, Full.
        """
        id, message = self._machine.reset(finalize)
        self._answers[id] = asyncio.get_running_loop().create_future()
        try:
            await _send(self._socket, message, self._url, lambda: self._failure)
            if self._failure is not None:
                raise self._failure
            return await self._answers[id]
        finally:
            del self._answers[id]

    async def _until_ready(self) -> None:
        while self._machine.state is asr_protocol.ClientState.CONNECTING:
            await self._advance()

    async def _read(self) -> None:
        try:
            while True:
                await self._advance()
        except SpeechError as error:
            self._failure = error
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(error)

    async def _advance(self) -> None:
        """Take in one message."""
        message = await _receive_text(self._socket, "the recogniser", self._url)
        match self._machine.receive(message):
            case Interim(text):
                self._on_interim(text)
            case Final() as final if final.id in self._answers:
                self._answers[final.id].set_result(final)
            case asr_protocol.AsrError(message=reason):
                await _until_closed(self._socket)
                raise _refusal(f"the recogniser at {self._url} says: {reason}", self._socket)


# -------------------------------------------------------------------------------------- synthesis


class TtsConnection:
    """One connection to the synthesiser; one utterance is spoken at a time."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, url: str) -> None:
        self._socket = socket
        self._url = url
        self._machine = TtsClient()
        self._count = 0
        self.sample_rate: int | None = None
        """Hz, as announced with the utterance; known once its first audio has arrived."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, voice: str | None = None, language: str | None = None
    ) -> AsyncIterator[TtsConnection]:
        """Connect. `url` is the server's address, with or without the path. Raises PeerError, Full."""
        async with _websocket(tts_address(url), "the synthesiser") as socket:
            connection = cls(socket, url)
            connection._machine.init(voice, language)
            await connection._flush()
            yield connection

    def utterance(self) -> SpokenUtterance:
        """Begin an utterance that is spoken while its text is still being written."""
        self._count += 1
        return SpokenUtterance(self, f"utterance-{self._count}")

    async def speak(self, *segments: str) -> AsyncIterator[bytes]:
        """Speak whole segments; yields PCM16LE at `sample_rate`. Raises PeerError, Full, BadRequest.

        Leaving the loop early (close the iterator) cancels the rest.
        """
        utterance = self.utterance()
        for segment in segments:
            await utterance.say(segment)
        await utterance.finish()
        try:
            async for pcm in utterance:
                yield pcm
        finally:
            if not utterance.done:
                await self.cancel()

    async def cancel(self) -> None:
        """Stop speaking; nothing asked for so far is heard any more."""
        self._machine.cancel()
        await self._flush()

    async def _flush(self) -> None:
        for message in self._machine.to_send():
            await _send(self._socket, message, self._url, lambda: None)

    async def _receive(self) -> tuple[tts_protocol.Event, ...]:
        message = await _receive(self._socket, "the synthesiser", self._url)
        events = self._machine.receive(message)
        await self._flush()
        for event in events:
            if isinstance(event, StreamStarted):
                self.sample_rate = event.sample_rate or self.sample_rate or PLAIN_RATE
            if isinstance(event, tts_protocol.SynthesisFailed):
                raise await self._error(event)
        return events

    async def _error(self, event: tts_protocol.SynthesisFailed) -> SpeechError:
        text = f"the synthesiser at {self._url} says: {event.message}"
        if not event.fatal:
            return BadRequest(text)
        await _until_closed(self._socket)
        return _refusal(text, self._socket)


class SpokenUtterance:
    """Text in, audio out, at the same time: write with `say` and `finish`, read by iterating."""

    def __init__(self, connection: TtsConnection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._begun = asyncio.Event()
        """Set once the server has something to answer."""
        self.done = False

    async def say(self, text: str, mode: tts_protocol.Mode = "stream") -> None:
        """Queue one segment. Raises PeerError."""
        self._connection._machine.speak(self._name, text, mode)
        await self._connection._flush()
        self._begun.set()

    async def finish(self) -> None:
        """Say that no more text follows."""
        self._connection._machine.finish(self._name)
        await self._connection._flush()
        self.done = self._name not in self._connection._machine.wanted
        self._begun.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await self._begun.wait()
        while not self.done:
            for event in await self._connection._receive():
                match event:
                    case AudioReceived(utterance, pcm) if utterance == self._name:
                        yield pcm
                    case UtteranceDone(utterance) if utterance == self._name:
                        self.done = True


def tts_address(url: str) -> str:
    """Return the WebSocket address of a synthesis server given by any of its addresses."""
    address = _websocket_scheme(url).rstrip("/")
    return address if address.endswith(TTS_PATH) else address + TTS_PATH


# ---------------------------------------------------------------------------------- language model


class LlmClient:
    """A llama.cpp server, or another OpenAI-compatible one (an address that ends in /v1)."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url.rstrip("/").removesuffix("/v1")

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[LlmClient]:
        """Prepare requests to the server at `url`; nothing is sent yet."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=LLM_SILENCE_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            yield cls(session, url)

    async def chat(self, messages: Sequence[llama.Message], max_tokens: int = 512) -> AsyncIterator[str]:
        """Yield the answer's text as it is made. Closing the iterator stops the server. Raises PeerError."""
        request = llama.ChatRequest(messages=messages, max_tokens=max_tokens)
        async for event in self.stream(request):
            if isinstance(event, llama.TextDelta):
                yield event.text

    async def context_tokens(self) -> int | None:
        """Ask for the tokens of context; None where the server does not tell. Raises PeerError."""
        try:
            async with self._session.get(self.url + llama.PROPS_PATH) as response:
                body = await response.read()
                return llama.parse_props(body).n_ctx or None if response.status == 200 else None
        except aiohttp.ClientConnectorError:
            raise _nothing_answers("the language model", self.url) from None
        except (aiohttp.ClientError, TimeoutError, PeerError):
            return None

    async def stream(self, request: llama.ChatRequest) -> AsyncIterator[llama.Event]:
        """Yield the events of one answer. Raises PeerError, BadRequest (too long a prompt)."""
        answer = llama.ChatAnswer()
        try:
            async with self._session.post(self.url + llama.CHAT_PATH, json=request.body()) as response:
                if response.status != 200:
                    raise self._error(llama.parse_error(response.status, await response.read()))
                async for data in response.content.iter_any():
                    for event in answer.feed(data):
                        yield self._checked(event)
                for event in answer.end():
                    yield self._checked(event)
        except aiohttp.ClientConnectorError:
            raise _nothing_answers("the language model", self.url) from None
        except TimeoutError:
            raise PeerError(f"the language model at {self.url} gave no sign in time; {_SEE_LOG}") from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise PeerError(f"lost the language model at {self.url}: {error}; {_SEE_LOG}") from None

    def _checked(self, event: llama.Event) -> llama.Event:
        if isinstance(event, llama.ServerError):
            raise self._error(event)
        return event

    def _error(self, error: llama.ServerError) -> SpeechError:
        kind = BadRequest if error.is_context_overflow else PeerError
        return kind(f"the language model at {self.url} says: {error.message}")


# ------------------------------------------------------------------------------------------ wires

_SEE_LOG = f"see why with: {command('logs')}"


@asynccontextmanager
async def _websocket(url: str, who: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        socket = await _connect(session, _websocket_scheme(url), who)
        try:
            yield socket
        finally:
            await socket.close()


async def _connect(session: aiohttp.ClientSession, url: str, who: str) -> aiohttp.ClientWebSocketResponse:
    try:
        return await session.ws_connect(
            url, heartbeat=HEARTBEAT_S, max_msg_size=MAX_MESSAGE_BYTES, compress=0
        )
    except aiohttp.WSServerHandshakeError as error:
        if error.status == 503:
            raise Full(
                f"{who} at {url} takes no callers now; try again, or see: {command('status')}"
            ) from None
        raise PeerError(f"what answers at {url} is not {who} (HTTP status {error.status}); {START}") from None
    except (aiohttp.ClientConnectionError, TimeoutError):
        raise _nothing_answers(who, url) from None
    except (aiohttp.InvalidURL, ValueError):
        raise BadRequest(f"{url!r} is not an address; give one like ws://localhost:8080") from None


def _websocket_scheme(url: str) -> str:
    return "ws" + url.removeprefix("http") if url.startswith("http") else url


def _nothing_answers(who: str, url: str) -> PeerError:
    return PeerError(f"nothing answers at {url} ({who}); {START}")


async def _send(
    socket: aiohttp.ClientWebSocketResponse,
    message: str | bytes,
    url: str,
    failure: Callable[[], SpeechError | None],
) -> None:
    try:
        await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))
    except (ConnectionError, RuntimeError) as error:
        raise failure() or PeerError(f"lost the server at {url}: {error}; {_SEE_LOG}") from None


async def _receive(socket: aiohttp.ClientWebSocketResponse, who: str, url: str) -> str | bytes:
    message = await socket.receive()
    if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
        return message.data
    raise _refusal(f"{who} at {url} hung up{_reason(message)}; {_SEE_LOG}", socket)


async def _receive_text(socket: aiohttp.ClientWebSocketResponse, who: str, url: str) -> str:
    message = await _receive(socket, who, url)
    if isinstance(message, bytes):
        raise PeerError(f"what answers at {url} is not {who}; {START}")
    return message


async def _until_closed(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Read on after an error message until the close, whose code says more; at most `CLOSE_TIMEOUT_S`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            while (await socket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
                pass


def _reason(message: aiohttp.WSMessage) -> str:
    return f": {message.extra}" if message.type is WSMsgType.CLOSE and message.extra else ""


def _refusal(text: str, socket: aiohttp.ClientWebSocketResponse) -> SpeechError:
    """Full where the server closed with that code, else the server's fault."""
    return Full(text) if socket.close_code == Full.close_code else PeerError(text)
