"""A call costs little: one model for all, few steps for each piece of audio, and nothing after its end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnxruntime
import pytest
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    InputAudioRawFrame,
    OutputAudioRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.observers.base_observer import FrameProcessed, FramePushed
from pipecat.pipeline.worker import PipelineWorker
from pipecat.pipeline.worker_observer import WorkerObserver
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.runner.types import RunnerArguments
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import BaseTransport, TransportParams

from pipecat_bots.llm.tools import toolbox
from pipecat_bots.pipeline import CallSession, Listening, voice_activity
from pipecat_bots.runtime.sweeper import CLOSED_S, LONGEST_S, Sweeper
from pipecat_bots.services import Services, chunked_llm, recogniser, voice
from pipecat_bots.settings import BotSettings
from pipecat_bots.turns.prosody import SmartTurnModel, shared_model
from pipecat_bots.turns.strategies import smart_turns
from pipecat_bots.turns.vad import WatchfulVADAnalyzer
from tests.virtual_time import virtual_time

PIECE = bytes(640)
"""20 ms of silence at 16 kHz."""


# -------------------------------------------------------------------------------------------- models


def test_sessions_share_one_model_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = BotSettings()
    voice_activity(settings), smart_turns(settings)
    loaded: list[Any] = []
    make = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *a, **k: loaded.append(a) or make(*a, **k))
    for _ in range(3):
        voice_activity(settings), smart_turns(settings)
    assert not loaded


async def test_two_detectors_on_one_model_hear_their_own_callers_alone() -> None:
    noise = np.random.default_rng(1).normal(0, 3000, 16000).astype("<i2").tobytes()
    alone, one, other = (WatchfulVADAnalyzer(params=VADParams()) for _ in range(3))
    plain = SileroVADAnalyzer(params=VADParams())
    for detector in (alone, one, other, plain):
        detector.set_sample_rate(16000)
    for at in range(0, 16000, 1024):
        window = noise[at : at + 1024]
        expected = float(np.asarray(plain.voice_confidence(window)).item())
        assert float(np.asarray(one.voice_confidence(window)).item()) == pytest.approx(expected)
        other.voice_confidence(bytes(1024))


def test_the_detector_has_all_that_pipecats_has() -> None:
    assert vars(SileroVADAnalyzer()).keys() <= vars(WatchfulVADAnalyzer()).keys()


@pytest.mark.parametrize("seconds", [0.5, 8, 11])
def test_a_turn_sounds_as_complete_as_to_pipecats_analyzer(seconds: float) -> None:
    samples = np.random.default_rng(2).normal(0, 0.1, int(16000 * seconds)).astype(np.float32)
    expected = LocalSmartTurnAnalyzerV3()._predict_endpoint(samples)["probability"]
    assert SmartTurnModel().probability(samples) == pytest.approx(expected, abs=1e-4)
    assert shared_model() is shared_model()


# -------------------------------------------------------------------------------- a session on no line


class Ear(BaseInputTransport):
    """Takes what it is given for what a caller says."""

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)


class Mouth(BaseOutputTransport):
    """Plays at once, and counts."""

    def __init__(self, params: TransportParams) -> None:
        super().__init__(params)
        self.played = 0

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        self.played += len(frame.audio)
        return True


class NoLine(BaseTransport):
    """A transport without a caller."""

    def __init__(self) -> None:
        super().__init__()
        params = TransportParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            audio_out_sample_rate=24000,
            audio_out_10ms_chunks=2,
        )
        self.ear, self.mouth = Ear(params), Mouth(params)
        self._register_event_handler("on_client_connected")
        self._register_event_handler("on_client_disconnected")

    def input(self) -> Ear:
        return self.ear

    def output(self) -> Mouth:
        return self.mouth


def services(settings: BotSettings) -> Services:
    return Services(recogniser(settings), chunked_llm(settings), voice(settings, "adaptive"))


async def session_on(transport: NoLine) -> CallSession:
    nobody = "127.0.0.1:9"
    settings = BotSettings(
        nvidia_asr_url=f"ws://{nobody}",
        nvidia_tts_url=f"http://{nobody}",
        nvidia_llama_cpp_url=f"http://{nobody}",
        bot_greeting="",
        bot_warm_up=False,
    )
    listening = Listening(voice_activity(settings), smart_turns(settings))
    async with toolbox([], {}) as tools:
        arguments = RunnerArguments(session_id="test")
        arguments.handle_sigint = False
        return CallSession(settings, transport, arguments, services(settings), listening, tools)


async def started(session: CallSession) -> asyncio.Task[None]:
    ready = asyncio.Event()

    @session._worker.event_handler("on_pipeline_started")
    async def _(*_: Any) -> None:
        ready.set()

    running = asyncio.create_task(session.run())
    async with asyncio.timeout(20):
        await ready.wait()
    return running


async def test_a_session_and_its_pipeline_are_gone_after_the_call_and_one_collection() -> None:
    transport = NoLine()
    session = await session_on(transport)
    running = await started(session)
    await transport.ear.push_audio_frame(InputAudioRawFrame(PIECE, 16000, 1))
    worker = session._worker
    left = {type(each).__name__: weakref.ref(each) for each in (session, worker, *_processors(worker))}
    await session.stop()
    await running
    del session, worker, transport, running
    await asyncio.sleep(0.1)
    gc.collect()
    assert [name for name, ref in left.items() if ref() is not None] == []


def _processors(worker: PipelineWorker) -> list[FrameProcessor]:
    found: list[FrameProcessor] = []
    waiting: list[FrameProcessor] = [worker.pipeline]
    while waiting:
        found += waiting
        waiting = [inner for processor in waiting for inner in processor.processors]
    return found


# ------------------------------------------------------------------------------ steps of a piece of audio


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Count what Pipecat does with pieces of audio."""
    steps: Counter[str] = Counter()

    def count(owner: type, method: str, what: str) -> None:
        original = getattr(owner, method)

        def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
            frame = args[0].frame if args and isinstance(args[0], FramePushed | FrameProcessed) else None
            frame = frame or (args[0] if args else self)
            steps[what] += isinstance(frame, InputAudioRawFrame | OutputAudioRawFrame)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(owner, method, counting)

    count(FrameProcessor, "queue_frame", "queued")
    count(FrameProcessor, "push_frame", "pushed")
    count(WorkerObserver, "on_push_frame", "shown")
    count(WorkerObserver, "on_process_frame", "shown")
    for kind in (InputAudioRawFrame, OutputAudioRawFrame):
        count(kind, "__str__", "formatted")
    yield steps


PIECES = 100


async def test_a_piece_of_the_callers_audio_takes_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = NoLine()
    session = await session_on(transport)
    running = await started(session)
    with counted(monkeypatch) as steps:
        for _ in range(PIECES):
            await transport.ear.push_audio_frame(InputAudioRawFrame(PIECE, 16000, 1))
        async with asyncio.timeout(20):
            while steps["queued"] < PIECES:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
    await session.stop()
    await running
    assert steps["pushed"] <= 2 * PIECES, "by the transport, and by the listener for a recorder"
    assert steps["queued"] <= PIECES, "for the listener alone: the recogniser has heard it before"
    assert steps["formatted"] <= PIECES, "by the transport"
    assert steps["shown"] == 0


async def test_a_piece_of_the_bots_audio_takes_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = NoLine()
    session = await session_on(transport)
    running = await started(session)
    audio = TTSAudioRawFrame(bytes([1, 1]) * 24000, 24000, 1)
    with counted(monkeypatch) as steps:
        gate = session._services.tts.next
        assert gate is not None
        for frame in (audio, TTSStoppedFrame()):
            await gate.queue_frame(frame, FrameDirection.DOWNSTREAM)
        async with asyncio.timeout(20):
            while transport.mouth.played < len(audio.audio):
                await asyncio.sleep(0.01)
    await session.stop()
    await running
    pieces = len(audio.audio) / (24000 // 50 * 2)
    assert steps["queued"] <= pieces + 3, "for the transport: what it has played ends there"
    assert steps["pushed"] <= pieces + 3
    assert steps["shown"] == 0


# ------------------------------------------------------------------------------------------- sweeping


@virtual_time
async def test_calls_that_end_together_are_swept_up_after_once() -> None:
    swept: list[float] = []
    clock = asyncio.get_running_loop().time
    sweeper = Sweeper(lambda: False, lambda: swept.append(clock()))
    sweeper.call_ended()
    await asyncio.sleep(1)
    sweeper.call_ended()
    await asyncio.sleep(60)
    assert swept == [CLOSED_S]
    sweeper.call_ended()
    await asyncio.sleep(60)
    assert len(swept) == 2


@virtual_time
async def test_sweeping_waits_for_a_moment_in_which_nobody_waits_but_not_for_ever() -> None:
    swept: list[float] = []
    clock = asyncio.get_running_loop().time
    Sweeper(lambda: clock() < 4.0, lambda: swept.append(clock())).call_ended()
    await asyncio.sleep(60)
    assert swept == [pytest.approx(4.0, abs=0.2)]
    Sweeper(lambda: True, lambda: swept.append(clock())).call_ended()
    await asyncio.sleep(60)
    assert swept[1] == pytest.approx(60 + CLOSED_S + LONGEST_S, abs=0.2)
