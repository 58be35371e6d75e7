"""Audio through WebRTC in whole packets: on time, complete, and with nothing done twice."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any

import numpy as np
import pytest
from aiortc import RTCPeerConnection, rtp
from aiortc.codecs import get_encoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av import AudioFrame
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.transport import SmallWebRTCClient

from pipecat_bots.transports.webrtc_audio import PACKET_S, SPARE_S, VoiceTrack, decode, level_dbov, make_lean
from tests.virtual_time import virtual_time

RATE = 24000
PACKET = RATE // 50
OPUS = RTCRtpCodecParameters("audio/opus", 48000, 2, 96)


def pcm(*values: int) -> bytes:
    """A packet of each value."""
    return np.repeat(np.array(values, np.int16), PACKET).tobytes()


def values(frame: AudioFrame) -> list[int]:
    return sorted(set(frame.to_ndarray().reshape(-1).tolist()))


@virtual_time
async def test_packets_leave_at_the_pace_of_real_time_and_silence_between() -> None:
    clock = asyncio.get_running_loop().time
    track = VoiceTrack(RATE)
    track.add_audio_bytes(pcm(1, 2))
    frames = [await track.recv() for _ in range(4)]
    assert [values(frame) for frame in frames] == [[1], [2], [0], [0]]
    assert clock() == pytest.approx(3 * PACKET_S)
    assert [frame.pts for frame in frames] == [0, PACKET, 2 * PACKET, 3 * PACKET]
    assert {frame.sample_rate for frame in frames} == {RATE}


@virtual_time
async def test_less_than_a_packet_is_sent_and_filled_up() -> None:
    track = VoiceTrack(RATE)
    track.add_audio_bytes(pcm(7)[:100])
    assert values(await track.recv()) == [0, 7]


@virtual_time
async def test_more_is_asked_for_before_there_is_nothing_left() -> None:
    track, packets = VoiceTrack(RATE), round(SPARE_S / PACKET_S)
    rooms = [track.add_audio_bytes(pcm(n)) for n in range(packets + 2)]
    assert [room.done() for room in rooms] == [*[True] * packets, False, False]
    await track.recv()
    assert rooms[packets].done()
    assert not rooms[packets + 1].done()


@virtual_time
async def test_a_loop_that_was_late_sends_what_is_due_at_once() -> None:
    clock = asyncio.get_running_loop().time
    track = VoiceTrack(RATE)
    track.add_audio_bytes(pcm(1, 2, 3, 4))
    await track.recv()
    await asyncio.sleep(3 * PACKET_S)
    began = clock()
    assert [values(await track.recv()) for _ in range(3)] == [[2], [3], [4]]
    assert clock() == began


@virtual_time
async def test_a_track_without_silence_waits_for_something_to_say() -> None:
    track = VoiceTrack(RATE, auto_silence=False)
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(1)
    assert not waiting.done()
    track.add_audio_bytes(pcm(3))
    assert values(await waiting) == [3]


async def test_pipecats_transport_says_what_it_has_to_say_through_the_track() -> None:
    make_lean()
    placed: list[Any] = []

    class Connection:
        def event_handler(self, name: str) -> Any:
            return lambda handler: handler

        def audio_input_track(self) -> None: ...
        def video_input_track(self) -> None: ...
        def screen_video_input_track(self) -> None: ...
        def replace_audio_track(self, track: Any) -> None:
            placed.append(track)

    async def connected(_: Any) -> None: ...

    client = SmallWebRTCClient(Connection(), type("Callbacks", (), {"on_client_connected": connected}))  # type: ignore[arg-type]
    client._params, client._out_sample_rate = TransportParams(audio_out_enabled=True), RATE
    await client._handle_client_connected()
    assert [type(track) for track in placed] == [VoiceTrack]


# ------------------------------------------------------------------------------------------ receiving


def encoded(packets: int) -> list[JitterFrame]:
    """A tone as Opus, in packets."""
    encoder, made = get_encoder(OPUS), []
    tone = (8000 * np.sin(np.arange(48000) * 2 * np.pi * 440 / 48000)).astype(np.int16)
    for number in range(packets + 1):
        frame = AudioFrame(format="s16", layout="mono", samples=960)
        frame.planes[0].update(tone[number * 960 : (number + 1) * 960].tobytes())
        frame.sample_rate, frame.pts = 48000, number * 960
        made += encoder.encode(frame)[0]
    return [JitterFrame(data, number * 960) for number, data in enumerate(made)]


async def decoded(jobs: list[Any]) -> tuple[list[AudioFrame], threading.Event]:
    jobs_queue: queue.Queue[Any] = queue.Queue()
    out: asyncio.Queue[Any] = asyncio.Queue()
    failed = threading.Event()
    for job in [*jobs, None]:
        jobs_queue.put(job)
    await asyncio.to_thread(decode, asyncio.get_running_loop(), jobs_queue, out, failed)
    frames = []
    while (frame := await out.get()) is not None:
        frames.append(frame)
    return frames, failed


async def test_opus_is_decoded_as_one_channel_and_the_end_is_told() -> None:
    packets = encoded(10)
    frames, failed = await decoded([(OPUS, packet) for packet in packets])
    assert len(frames) == len(packets)
    assert {frame.layout.name for frame in frames} == {"mono"}
    loud = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])[4800:]
    assert 4000 < np.abs(loud.astype(int)).max() < 12000
    assert not failed.is_set()


async def test_a_packet_that_is_none_is_told_of_and_the_next_one_decoded() -> None:
    (packet, *_) = encoded(3)
    frames, failed = await decoded([(OPUS, JitterFrame(b"\x03" * 3, 0)), (OPUS, packet)])
    assert failed.is_set()
    assert len(frames) == 1


async def test_connections_decode_with_it() -> None:
    make_lean()
    caller, bot = RTCPeerConnection(), RTCPeerConnection()
    heard: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    @bot.on("track")
    def _(track: Any) -> None:
        asyncio.ensure_future(track.recv()).add_done_callback(heard.set_result)

    caller.addTrack(VoiceTrack(RATE))
    await caller.setLocalDescription(await caller.createOffer())
    await bot.setRemoteDescription(caller.localDescription)
    await bot.setLocalDescription(await bot.createAnswer())
    await caller.setRemoteDescription(bot.localDescription)
    frame = (await asyncio.wait_for(heard, 20)).result()
    await caller.close()
    await bot.close()
    assert frame.layout.name == "mono"
    assert rtp.compute_audio_level_dbov is level_dbov


@pytest.mark.parametrize("amplitude", [0, 1, 200, 5000, 32767])
def test_a_packet_is_as_loud_as_to_aiortc(amplitude: int) -> None:
    frame = AudioFrame(format="s16", layout="mono", samples=480)
    wave = amplitude * np.sin(np.arange(480) / 7)
    frame.planes[0].update(wave.astype(np.int16).tobytes())
    samples = [int(x) for x in wave.astype(np.int16)]
    rms = (sum(x * x for x in samples) / 480) ** 0.5 / 32767
    assert level_dbov(frame) == (-127 if rms == 0 else round(20 * np.log10(rms)))
