"""A caller on WebRTC: speaks clips into a bot, hears it, and notes when everything happened.

Times are seconds on the event loop's clock. The recording has two tracks on one clock: what the caller
said and what it heard. A frame of the microphone leaves when its last sample has been spoken, and one that is
heard begins when its packet arrives: the listener's own jitter buffer is not in it.
"""

from __future__ import annotations

import asyncio
import fractions
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

from nemotron_speech.audio import Clip, Samples, rms
from pipecat_bots.connections.jitter import keep_nothing_back

RATE = 24000
"""Sample rate of what is said, heard and recorded, in Hz."""
_FRAME = RATE // 50
_FRAME_S = 0.02
_SENT_RATE = 2 * RATE
"""Sample rate sent, in Hz: the codec's own. aiortc's encoder keeps back a packet of any other rate."""
_AUDIBLE = 200
"""RMS of 20 ms above which the bot is heard."""


@dataclass(frozen=True, slots=True)
class RtviEvent:
    """One message of the bot on the data channel."""

    at: float
    type: str
    data: Any


class _Microphone(MediaStreamTrack):
    """20 ms frames at the pace of real time: what was queued, else silence."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._queued = np.zeros(0, np.int16)
        self._frames = 0
        self._started = 0.0
        self._said: asyncio.Future[float] | None = None
        self.spoken: list[tuple[float, Samples]] = []

    def say(self, samples: Samples) -> asyncio.Future[float]:
        self._queued = np.concatenate([self._queued, samples])
        self._said = asyncio.get_running_loop().create_future()
        return self._said

    async def recv(self) -> AudioFrame:
        loop = asyncio.get_running_loop()
        self._started = self._started or loop.time()
        await asyncio.sleep(max(0.0, self._started + self._frames * _FRAME_S - loop.time()))
        samples, self._queued = self._queued[:_FRAME], self._queued[_FRAME:]
        if len(samples):
            began = loop.time() - _FRAME_S
            self.spoken.append((began, samples))
            if not len(self._queued) and self._said is not None and not self._said.done():
                self._said.set_result(began + len(samples) / RATE)
        sent = np.repeat(np.pad(samples, (0, _FRAME - len(samples))), 2)
        frame = AudioFrame(format="s16", layout="mono", samples=len(sent))
        frame.planes[0].update(sent.astype("<i2").tobytes())
        frame.sample_rate, frame.pts = _SENT_RATE, self._frames * len(sent)
        frame.time_base = fractions.Fraction(1, _SENT_RATE)
        self._frames += 1
        return frame


@dataclass
class Caller:
    """One call. Make it with `call()`."""

    _connection: RTCPeerConnection
    _channel: Any
    _microphone: _Microphone = field(default_factory=_Microphone)
    events: list[RtviEvent] = field(default_factory=list)
    heard: list[tuple[float, Samples]] = field(default_factory=list)
    """Audio from the bot: arrival time, and 20 ms of samples."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _hearing: list[asyncio.Task[None]] = field(default_factory=list)

    # ------------------------------------------------------------------------------- speaking

    def say(self, clip: Clip) -> asyncio.Future[float]:
        """Speak a clip; the future's result is when its last sample was sent."""
        return self._microphone.say(clip.at(RATE).samples)

    def write(self, text: str) -> None:
        """Send a text in place of speech."""
        self.send(
            "send-text", {"content": text, "options": {"run_immediately": True, "audio_response": True}}
        )

    def send(self, kind: str, data: Any) -> None:
        """Send an RTVI message."""
        message = {"label": "rtvi-ai", "id": f"c{len(self.events)}", "type": kind, "data": data}
        self._channel.send(json.dumps(message))

    async def hang_up(self) -> None:
        """End the call early; what was recorded stays."""
        await self._connection.close()

    # ------------------------------------------------------------------------------- hearing

    async def until(
        self, wanted: str | Callable[[RtviEvent], bool], *, since: int = 0, timeout_s: float = 20.0
    ) -> RtviEvent:
        """Wait for an event (its type, or a test of it) at or after index `since` of `events`.

        Raises TimeoutError that lists what was seen instead.
        """

        def found() -> RtviEvent | None:
            test = wanted if callable(wanted) else lambda event: event.type == wanted
            return next((event for event in self.events[since:] if test(event)), None)

        try:
            async with asyncio.timeout(timeout_s):
                while (event := found()) is None:
                    self._news.clear()
                    await self._news.wait()
                return event
        except TimeoutError:
            seen = [event.type for event in self.events[since:]]
            raise TimeoutError(f"no {wanted} within {timeout_s} s; seen: {seen}") from None

    async def hears(self, *, after: float, timeout_s: float = 20.0) -> float:
        """Return when the first audible 20 ms after time `after` arrived."""
        async with asyncio.timeout(timeout_s):
            while True:
                for at, samples in self.heard:
                    if at >= after and rms(samples) > _AUDIBLE:
                        return at
                await asyncio.sleep(0.02)

    async def silence(self, seconds: float, *, timeout_s: float = 60.0) -> None:
        """Wait until the bot has been silent for `seconds`."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout_s):
            while True:
                loud = [at for at, samples in self.heard if rms(samples) > _AUDIBLE]
                since = loop.time() - (loud[-1] if loud else -seconds)
                if since >= seconds:
                    return
                await asyncio.sleep(seconds - since + 0.01)

    def between(self, start: float, end: float) -> Samples:
        """Return what was heard in an interval."""
        pieces = [samples for at, samples in self.heard if start <= at < end]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)

    def recording(self) -> Samples:
        """Return [samples, 2]: left what the caller said, right what it heard, on one clock."""
        tracks = (self._microphone.spoken, self.heard)
        times = [at for track in tracks for at, _ in track]
        if not times:
            return np.zeros((0, 2), np.int16)
        start, end = min(times), max(times) + 1.0
        stereo = np.zeros((int((end - start) * RATE), 2), np.int16)
        for column, track in enumerate(tracks):
            cursor = 0
            for at, samples in track:
                # frames arrive in bursts; their audio is laid end to end, never on top of each other
                cursor = max(cursor, int((at - start) * RATE))
                room = stereo[cursor : cursor + len(samples), column]
                room[:] = samples[: len(room)]
                cursor += len(samples)
        return stereo

    def save(self, path: Path) -> None:
        """Write the recording as a stereo WAV file."""
        import soundfile

        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, self.recording(), RATE, subtype="PCM_16")

    # ------------------------------------------------------------------------------- the call

    def _listen(self) -> None:
        @self._channel.on("message")
        def _(message: str) -> None:
            if not isinstance(message, str) or message.startswith("ping"):
                return
            decoded = json.loads(message)
            at = asyncio.get_running_loop().time()
            self.events.append(RtviEvent(at, decoded.get("type", ""), decoded.get("data")))
            self._news.set()

        @self._connection.on("track")
        def _(track: MediaStreamTrack) -> None:
            if track.kind == "audio":
                self._hearing.append(asyncio.create_task(self._hear(track)))

    async def _hear(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                received = await track.recv()
                assert isinstance(received, AudioFrame)
                at = asyncio.get_running_loop().time()
                self.heard.append((at, _at_our_rate(received)))
        except MediaStreamError:
            return


@asynccontextmanager
async def call(url: str, body: dict[str, Any] | None = None) -> AsyncIterator[Caller]:
    """Call the bot whose runner is at `url`; connected and `bot-ready` on entry."""
    keep_nothing_back()
    connection = RTCPeerConnection()
    channel = connection.createDataChannel("chat", ordered=True)
    caller = Caller(connection, channel)
    caller._listen()
    connection.addTransceiver(caller._microphone, "sendrecv")
    opened = asyncio.Event()
    channel.on("open", opened.set)
    try:
        await _negotiate(connection, url.rstrip("/"), body or {})
        async with asyncio.timeout(20):
            await opened.wait()
        caller.send("client-ready", {"version": "2.0.0", "about": {"library": "nemotron-caller"}})
        await caller.until("bot-ready")
        yield caller
    finally:
        await connection.close()


async def _negotiate(connection: RTCPeerConnection, url: str, body: dict[str, Any]) -> None:
    await connection.setLocalDescription(await connection.createOffer())
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with session.post(f"{url}/start", json={"transport": "webrtc", "body": body}) as response:
            id = (await response.json())["sessionId"]
        offer = {"sdp": connection.localDescription.sdp, "type": connection.localDescription.type}
        async with session.post(f"{url}/sessions/{id}/api/offer", json=offer) as response:
            answer = await response.json()
    await connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))


def _at_our_rate(frame: AudioFrame) -> Samples:
    """Return a packet's sound at `RATE`: means of two samples each, none of which waits for the next."""
    left = frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0].astype(np.int32)
    if frame.sample_rate != 2 * RATE:
        return Clip(left.astype(np.int16), frame.sample_rate).at(RATE).samples
    return (left.reshape(-1, 2).sum(axis=1) // 2).astype(np.int16)


def loudest_tone(samples: Samples, rate: int = RATE) -> float | None:
    """Return the strongest frequency in Hz, or None for silence."""
    if rms(samples) < _AUDIBLE:
        return None
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))
