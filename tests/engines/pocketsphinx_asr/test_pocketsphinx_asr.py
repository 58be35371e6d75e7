"""The engine and its processes: what happens when one dies, hangs, or is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from nemotron_speech.audio import from_pcm, resample
from nemotron_speech.engines.base import (
    AsrResult,
    AsrStream,
    AsrWork,
    Flush,
    Segment,
    SynthesisMode,
    TtsResult,
)
from nemotron_speech.engines.espeak_tts.engine import EspeakEngine
from nemotron_speech.engines.pocketsphinx_asr.engine import PocketsphinxEngine
from nemotron_speech.errors import BadRequest, ConfigurationError, EngineError, Full

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers are reached over POSIX sockets")


@pytest.fixture(scope="module")
def engine() -> Iterator[PocketsphinxEngine]:
    engine = PocketsphinxEngine(workers=2, streams_per_worker=1)
    engine.load()
    yield engine
    engine.unload()


@pytest.fixture(scope="module")
def speech() -> bytes:
    voice = EspeakEngine()
    stream = voice.open(Segment("hello there, thank you very much", "john", mode=SynthesisMode.BATCH))
    result = voice.step([stream])[0]
    assert isinstance(result, TtsResult)
    return resample(from_pcm(result.pcm), voice.info.sample_rate, 16000).tobytes()


def hear(engine: PocketsphinxEngine, stream: AsrStream, pcm: bytes, flush: Flush = Flush.HARD) -> AsrResult:
    size = 2 * stream.wanted_samples
    for start in range(0, len(pcm), size):
        assert isinstance(engine.step([AsrWork(stream, pcm[start : start + size])])[0], AsrResult)
    result = engine.step([AsrWork(stream, b"", flush)])[0]
    assert isinstance(result, AsrResult), result
    return result


def worker_of(stream: AsrStream) -> int:
    return stream.worker.pid  # type: ignore[attr-defined]


def test_words_have_true_times_and_confidence(engine: PocketsphinxEngine, speech: bytes) -> None:
    stream = engine.open("en-US")
    early = hear(engine, stream, speech)
    late = hear(engine, stream, speech)
    engine.close(stream)
    assert early.text == late.text != ""
    shift = len(speech) // 32
    for first, second in zip(early.words, late.words, strict=True):
        assert second.start_ms - first.start_ms == pytest.approx(shift, abs=2)
        assert 0 <= (first.confidence or 0) <= 1


def test_interim_text_comes_while_the_speech_goes_on(engine: PocketsphinxEngine, speech: bytes) -> None:
    stream = engine.open("en")
    assert hear(engine, stream, speech[: len(speech) // 2], Flush.SOFT).text
    engine.close(stream)


def test_a_closed_streams_speech_is_not_in_the_next_one(engine: PocketsphinxEngine, speech: bytes) -> None:
    for _ in range(2):
        stream = engine.open("en")
        hear(engine, stream, speech, Flush.SOFT)
        engine.close(stream)
        following = engine.open("en")
        assert hear(engine, following, b"").text == ""
        engine.close(following)


def test_a_stream_too_many_is_refused(engine: PocketsphinxEngine) -> None:
    streams = [engine.open("en") for _ in range(engine.info.capacity)]
    with pytest.raises(Full, match="2 decoders"):
        engine.open("en")
    for stream in streams:
        engine.close(stream)


def test_a_language_other_than_english_is_refused(engine: PocketsphinxEngine) -> None:
    with pytest.raises(BadRequest, match="'de'"):
        engine.open("de")


def test_a_killed_worker_costs_only_its_own_streams(engine: PocketsphinxEngine, speech: bytes) -> None:
    lost, kept = engine.open("en"), engine.open("en")
    assert worker_of(lost) != worker_of(kept)
    expected = hear(engine, kept, speech).text
    os.kill(worker_of(lost), signal.SIGKILL)
    silence = bytes(2 * kept.wanted_samples)
    results = engine.step([AsrWork(lost, silence), AsrWork(kept, silence, Flush.HARD)])
    assert isinstance(results[0], EngineError)
    assert isinstance(results[1], AsrResult)
    engine.close(lost)
    following = engine.open("en")
    assert hear(engine, following, speech).text == expected
    assert hear(engine, kept, speech).text == expected
    for stream in (following, kept):
        engine.close(stream)


def test_a_hanging_worker_is_replaced(speech: bytes) -> None:
    engine = PocketsphinxEngine(workers=1, streams_per_worker=1, biased=False, step_timeout_s=0.5)
    engine.load()
    try:
        stream = engine.open("en")
        os.kill(worker_of(stream), signal.SIGSTOP)
        assert isinstance(engine.step([AsrWork(stream, bytes(3200))])[0], EngineError)
        assert isinstance(engine.step([AsrWork(stream, bytes(3200))])[0], EngineError), "it stays lost"
        engine.close(stream)
        again = engine.open("en")
        assert isinstance(engine.step([AsrWork(again, b"", Flush.HARD)])[0], AsrResult)
    finally:
        engine.unload()


def test_an_interrupt_from_the_keyboard_leaves_the_workers_alone(engine: PocketsphinxEngine) -> None:
    stream = engine.open("en")
    os.kill(worker_of(stream), signal.SIGINT)
    time.sleep(0.1)
    assert hear(engine, stream, b"").text == ""
    engine.close(stream)


def test_workers_do_not_outlive_a_killed_parent() -> None:
    program = (
        "from nemotron_speech.engines.pocketsphinx_asr.engine import PocketsphinxEngine\n"
        "engine = PocketsphinxEngine(workers=1, streams_per_worker=1, biased=False)\n"
        "engine.load()\n"
        "print(engine.open('en').worker.pid, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        worker = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 30
    while _runs(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(worker)


def _runs(pid: int) -> bool:
    """Whether the process is there, a zombie that nobody has reaped yet not counted."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(state.stdout.strip()) and not state.stdout.strip().startswith("Z")


def test_an_engine_that_is_not_loaded_says_so() -> None:
    with pytest.raises(ConfigurationError, match="not loaded"):
        PocketsphinxEngine().open("en")
