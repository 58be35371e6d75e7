"""Audio on its way through WebRTC, with less work for each piece of it than in Pipecat and aiortc.

Pipecat's outgoing track hands aiortc 10 ms at a time, half a packet: each is a timer, a level, and a way to
an encoder's thread and back, a hundred times a second, and half of them give no packet. It also asks for the
next piece when 10 ms are left: an event loop that is later than that puts silence into the middle of a word.
aiortc's decoding thread makes a task on the event loop for every packet that it has decoded, each in stereo;
how loud a packet is it finds out in a loop of Python's over all samples. `make_lean` puts the pieces of this
file into their places; the tests fail when those are none any more.
"""

from __future__ import annotations

import asyncio
import math
import queue
import threading
from collections import deque
from fractions import Fraction
from typing import Any

import numpy as np
from aiortc import MediaStreamTrack, rtcrtpreceiver, rtp
from aiortc.codecs import get_decoder
from aiortc.codecs.base import Decoder
from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av import AudioFrame
from av.error import FFmpegError
from loguru import logger

PACKET_S = 0.02
SPARE_S = 2 * PACKET_S
"""Seconds left to send when more is asked for; the bot counts as silent earlier by as much."""


class VoiceTrack(MediaStreamTrack):
    """Speech of the bot, a packet at a time, with silence between; has the interface of Pipecat's track.

    Args:
        sample_rate: Sample rate of the mono PCM16LE that is added, in Hz.
        auto_silence: True if silence is sent while there is nothing to say.
    """

    kind = "audio"

    def __init__(self, sample_rate: int, auto_silence: bool = True) -> None:
        super().__init__()
        self._rate = sample_rate
        self._samples = round(sample_rate * PACKET_S)
        self._auto_silence = auto_silence
        self._audio = bytearray()
        self._added = self._sent = 0
        """Bytes added and sent since the start."""
        self._askers: deque[tuple[int, asyncio.Future[bool]]] = deque()
        """Futures to resolve, each with the sent bytes that it waits for."""
        self._more = asyncio.Event()
        self._began: float | None = None
        self._pts = 0
        self._tick = Fraction(1, sample_rate)

    def add_audio_bytes(self, audio: bytes) -> asyncio.Future[bool]:
        """Say something after the rest; the future's result comes when there is room for more."""
        self._audio += audio
        self._added += len(audio)
        room = asyncio.get_running_loop().create_future()
        self._askers.append((self._added - round(SPARE_S * self._rate) * 2, room))
        self._tell()
        self._more.set()
        return room

    def waiting_s(self) -> float:
        """Return the seconds until what was added last has been heard to its end, if nothing delays it."""
        now = asyncio.get_running_loop().time()
        due = now if self._began is None else self._began + self._pts / self._rate
        return max(0.0, due - now) + len(self._audio) / 2 / self._rate

    async def recv(self) -> AudioFrame:
        """Return the next packet's audio when it is time for it."""
        await self._its_time()
        if not self._audio and not self._auto_silence:
            self._more.clear()
            await self._more.wait()
        audio = bytes(self._audio[: 2 * self._samples])
        del self._audio[: 2 * self._samples]
        self._sent += len(audio)
        self._tell()
        return self._frame(audio.ljust(2 * self._samples, b"\0"))

    async def _its_time(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._began is None:
            self._began = now
        if (wait_s := self._began + self._pts / self._rate - now) > 0:
            await asyncio.sleep(wait_s)

    def _tell(self) -> None:
        while self._askers and self._askers[0][0] <= self._sent:
            _, room = self._askers.popleft()
            if not room.done():
                room.set_result(True)

    def _frame(self, audio: bytes) -> AudioFrame:
        frame = AudioFrame(format="s16", layout="mono", samples=self._samples)
        frame.planes[0].update(audio)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._pts, self._tick
        self._pts += self._samples
        return frame


Encoded = tuple[RTCRtpCodecParameters, JitterFrame]


def decode(
    loop: asyncio.AbstractEventLoop,
    encoded: queue.Queue[Encoded | None],
    decoded: asyncio.Queue[Any],
    failed: threading.Event,
) -> None:
    """Decode packets until there is a None in their place. Has the interface of aiortc's worker."""
    name, decoder = "", None
    while (next_ := encoded.get()) is not None:
        codec, packet = next_
        if decoder is None or codec.name != name:
            name, decoder = codec.name, _decoder(codec)
        try:
            frames = decoder.decode(packet)
        except FFmpegError as error:
            logger.debug(f"a {name} packet cannot be decoded: {error}")
            failed.set()
            continue
        for frame in frames:
            loop.call_soon_threadsafe(decoded.put_nowait, frame)
    loop.call_soon_threadsafe(decoded.put_nowait, None)


def _decoder(codec: RTCRtpCodecParameters) -> Decoder:
    decoder = get_decoder(codec)
    if isinstance(decoder, OpusDecoder):
        decoder.codec.layout = "mono"
    return decoder


def level_dbov(frame: AudioFrame) -> int:
    """Return how loud a frame of mono PCM16 is: -127 to 0 dB of the loudest (RFC 6465, appendix A)."""
    samples = np.frombuffer(bytes(frame.planes[0]), np.int16)[: frame.samples]
    rms = math.sqrt(float(np.dot(samples.astype(np.float64), samples)) / max(1, frame.samples)) / 32767
    return -127 if rms == 0 else round(min(0.0, max(-127.0, 20 * math.log10(rms))))


def make_lean() -> None:
    """Have the WebRTC connections made from now on use `VoiceTrack`, `decode` and `level_dbov`."""
    from pipecat.transports.smallwebrtc import transport

    transport.RawAudioTrack = VoiceTrack  # type: ignore[assignment, misc]
    rtcrtpreceiver.decoder_worker = decode
    rtp.compute_audio_level_dbov = level_dbov
