"""The moment of the bot's first audible sample, whatever the transport does before it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from pipecat.frames.frames import Frame, OutputAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.transport import SmallWebRTCClient, SmallWebRTCOutputTransport

from pipecat_bots.frames import SoundLeftFrame
from pipecat_bots.observability.first_sound import FirstSound
from pipecat_bots.transports.webrtc_audio import VoiceTrack
from tests.virtual_time import virtual_time

RATE = 24000


class Line(BaseOutputTransport):
    """A transport that takes each frame 20 ms after it is given."""

    def __init__(self) -> None:
        super().__init__(TransportParams())
        self.now = 100.0
        self.is_open = True
        self.left: list[float] = []

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        self.now += 0.02
        return self.is_open

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        assert isinstance(frame, SoundLeftFrame)
        self.left.append(frame.at)


def audio(silent_ms: float, loud_ms: float = 0.0) -> OutputAudioRawFrame:
    silent, loud = (round(ms * RATE / 1000) for ms in (silent_ms, loud_ms))
    samples = np.concatenate([np.full(silent, 20), np.full(loud, -4000)]).astype("<i2")
    return OutputAudioRawFrame(samples.tobytes(), RATE, 1)


class TrackedLine(Line):
    """A transport that gives its audio to a WebRTC track."""

    def __init__(self, track: VoiceTrack) -> None:
        super().__init__()
        self._client = SimpleNamespace(_audio_output_track=track)
        self._track = track

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        return await self._track.add_audio_bytes(frame.audio)


@pytest.fixture
def line() -> Line:
    line = Line()
    FirstSound(line, clock=lambda: line.now)
    return line


async def test_what_waits_and_what_is_silent_is_in_the_moment(line: Line) -> None:
    for frame in (audio(20), audio(5, 15), audio(0, 20)):
        assert await line.write_audio_frame(frame)
    assert line.left == [pytest.approx(100.045)]


async def test_a_sound_after_a_silence_is_a_beginning_and_a_gap_is_none(line: Line) -> None:
    await line.write_audio_frame(audio(0, 20))
    line.now += 0.05
    await line.write_audio_frame(audio(0, 20))
    line.now += 0.5
    await line.write_audio_frame(audio(0, 20))
    assert line.left == [pytest.approx(100.02), pytest.approx(100.61)]


async def test_what_the_transport_did_not_take_has_not_left(line: Line) -> None:
    line.is_open = False
    assert not await line.write_audio_frame(audio(0, 20))
    assert line.left == []


@pytest.mark.parametrize("begins_s", [0.101, 0.105, 0.119, 0.12])
@pytest.mark.parametrize("silent_ms", [0, 8, 25])
@virtual_time
async def test_what_waits_in_a_webrtc_track_is_in_the_moment(begins_s: float, silent_ms: float) -> None:
    loop, track = asyncio.get_running_loop(), VoiceTrack(RATE)
    audible: list[float] = []

    async def send() -> None:
        for _ in range(20):
            samples = (await track.recv()).to_ndarray().reshape(-1)
            audible.extend(loop.time() + np.flatnonzero(np.abs(samples) > 1000) / RATE)

    line = TrackedLine(track)
    FirstSound(line, clock=loop.time)
    sending = asyncio.create_task(send())
    await asyncio.sleep(begins_s)
    whole = audio(silent_ms, 100 - silent_ms).audio
    for start in range(0, len(whole), 960):
        await line.write_audio_frame(OutputAudioRawFrame(whole[start : start + 960], RATE, 1))
    await sending
    assert line.left == [pytest.approx(audible[0], abs=0.0005)]


def test_pipecats_transport_keeps_its_track_where_it_is_looked_for() -> None:
    client = SmallWebRTCClient.__init__.__code__.co_names
    output = SmallWebRTCOutputTransport.__init__.__code__.co_names
    assert "_audio_output_track" in client
    assert "_client" in output
