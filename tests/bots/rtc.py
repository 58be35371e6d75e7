"""A WebRTC caller in process: speaks when told, records what it hears, keeps every message of the bot."""

from __future__ import annotations

import asyncio
import fractions
import json
import time
from typing import Any

import aiohttp
import numpy as np
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, AudioResampler

MIC_RATE = 16000
EAR_RATE = 24000


class Microphone(MediaStreamTrack):
    """20 ms frames in real time: silence unless something is being said."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._speech = np.zeros(0, np.int16)
        self._frame = 0
        self._began = 0.0
        self.silent = asyncio.Event()

    def say(self, pcm: bytes) -> None:
        self._speech = np.frombuffer(pcm, np.int16)
        self.silent.clear()

    async def recv(self) -> AudioFrame:
        if not self._frame:
            self._began = time.monotonic()
        await asyncio.sleep(max(0.0, self._began + self._frame * 0.02 - time.monotonic()))
        samples = MIC_RATE // 50
        part, self._speech = self._speech[:samples], self._speech[samples:]
        if not len(self._speech):
            self.silent.set()
        frame = AudioFrame(format="s16", layout="mono", samples=samples)
        frame.planes[0].update(np.pad(part, (0, samples - len(part))).tobytes())
        frame.sample_rate, frame.time_base = MIC_RATE, fractions.Fraction(1, MIC_RATE)
        frame.pts = self._frame * samples
        self._frame += 1
        return frame


class Caller:
    """One call to a bot at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pc = RTCPeerConnection()
        self._changed = asyncio.Condition()
        self._listening: asyncio.Task[None] | None = None
        self.mic = Microphone()
        self.messages: list[dict[str, Any]] = []
        self.heard: list[np.ndarray] = []

    async def __aenter__(self) -> Caller:
        self._pc.addTransceiver(self.mic, "sendrecv")
        channel = self._pc.createDataChannel("chat", ordered=True)
        channel.on("open", lambda: channel.send(json.dumps(_client_ready())))
        channel.on("message", self._on_message)
        self._pc.on("track", self._on_track)
        await self._pc.setLocalDescription(await self._pc.createOffer())
        offer = {"sdp": self._pc.localDescription.sdp, "type": self._pc.localDescription.type}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self._url}/api/offer", json=offer) as response,
        ):
            answer = await response.json()
        await self._pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pc.close()
        if self._listening is not None:
            self._listening.cancel()

    async def wait_for(self, kind: str, *, after: int = 0, timeout_s: float = 30.0) -> dict[str, Any]:
        """Return the first message of this type, or server message of this type, from index `after` on."""

        def found() -> dict[str, Any] | None:
            return next((m for m in self.messages[after:] if kind in (m["type"], _inner_type(m))), None)

        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: found() is not None)
        message = found()
        assert message is not None
        return message

    def loudness(self) -> float:
        """RMS of all that was heard."""
        samples = np.concatenate(self.heard) if self.heard else np.zeros(1)
        return float(np.sqrt((samples.astype(float) ** 2).mean()))

    async def _on_message(self, data: str | bytes) -> None:
        if isinstance(data, str) and data.startswith("{"):
            async with self._changed:
                self.messages.append(json.loads(data))
                self._changed.notify_all()

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._listening = asyncio.ensure_future(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        resampler = AudioResampler(format="s16", layout="mono", rate=EAR_RATE)
        try:
            while True:
                frame = await track.recv()
                self.heard += [part.to_ndarray().reshape(-1) for part in resampler.resample(frame)]
        except MediaStreamError:
            return


def _client_ready() -> dict[str, Any]:
    about = {"library": "test"}
    return {
        "label": "rtvi-ai",
        "type": "client-ready",
        "id": "1",
        "data": {"version": "2.0.0", "about": about},
    }


def _inner_type(message: dict[str, Any]) -> str | None:
    data = message.get("data")
    return data.get("type") if message["type"] == "server-message" and isinstance(data, dict) else None
