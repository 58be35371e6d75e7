"""Callers whose audio is read in one batch: each hears what it would alone, and pays for nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nemotron_speech.engines.base import AsrResult, AsrWork, Flush, Word
from nemotron_speech.engines.whisper_asr.engine import WhisperEngine, WhisperStream
from nemotron_speech.engines.whisper_asr.model import Audio, Reading, WhisperModel, WhisperReading
from nemotron_speech.errors import EngineError
from nemotron_speech.server import AsrService
from nemotron_speech.settings import AsrSettings
from tests.engines.conftest import MakeWhisper
from tests.engines.whisper_asr.tiny_whisper import save_whisper
from tests.engines.whisper_asr.whisper_streams import chirp, final, silence
from tests.serving.channel import talking, until

pytest.importorskip("faster_whisper", reason="faster-whisper is not installed")


@pytest.fixture
def engine(make_whisper: MakeWhisper) -> WhisperEngine:
    return make_whisper(max_batch=8, buffer_s=5.0)


def together(engine: WhisperEngine, audio: Sequence[bytes]) -> tuple[list[AsrResult], int]:
    """Give each its audio, all in step, those that are through leaving; also return the number of steps."""
    streams: dict[int, WhisperStream] = {i: engine.open(None) for i in range(len(audio))}
    rest, finals, steps = list(audio), {}, 0
    while streams:
        work = {}
        for i, stream in streams.items():
            size = 2 * stream.wanted_samples
            flush = Flush.HARD if len(rest[i]) < size else Flush.NONE
            work[i] = AsrWork(stream, rest[i][:size], flush)
            rest[i] = rest[i][size:]
        steps += 1
        for (i, item), outcome in zip(work.items(), engine.step(list(work.values())), strict=True):
            assert isinstance(outcome, AsrResult), outcome
            if item.flush is Flush.HARD:
                finals[i] = outcome
                engine.close(streams.pop(i))
    return [finals[i] for i in range(len(audio))], steps


@pytest.mark.parametrize("beam_size", [1, 3])
def test_many_callers_read_together_hear_what_each_hears_alone(
    beam_size: int, make_whisper: MakeWhisper
) -> None:
    """Utterances of all lengths, some longer than the buffer; words, times and confidence are the same."""
    engine = make_whisper(max_batch=8, buffer_s=5.0, beam_size=beam_size)
    seconds = (0.3, 1.0, 8.0, 0.0, 2.7, 6.1)
    audio = [chirp(length, seed) for seed, length in enumerate(seconds)]
    alone = [together(engine, [pcm])[0][0] for pcm in audio]
    batched, _ = together(engine, audio)
    assert [result.text for result in batched] == [result.text for result in alone]
    assert len({result.text for result in batched}) == len(audio)
    for one, other in zip(batched, alone, strict=True):
        assert places(one.words) == places(other.words)
        assert [w.confidence for w in one.words] == pytest.approx(
            [w.confidence for w in other.words], abs=1e-3
        )


def test_the_readings_of_a_step_are_one_batch(engine: WhisperEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = watch(engine, monkeypatch)
    _, steps = together(engine, [chirp(1.2, 0), chirp(1.2, 1), silence(1.2)])
    assert sizes == [2] * steps


def test_a_batch_is_no_larger_than_is_said(
    make_whisper: MakeWhisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_whisper(max_batch=2)
    assert engine.info.max_batch == 2
    sizes = watch(engine, monkeypatch)
    together(engine, [chirp(0.4, seed) for seed in range(5)])
    assert sizes == [2, 2, 1]


async def test_callers_of_a_server_share_its_steps_and_each_hears_itself(make_whisper: MakeWhisper) -> None:
    engine, sizes = make_whisper(max_batch=4), []
    audio = [chirp(1.3, seed) for seed in range(4)]
    expected = [final(engine, pcm) for pcm in audio]
    step = engine.step

    def counted(work: Sequence[AsrWork]) -> list[AsrResult | EngineError]:
        sizes.append(len(work))
        return step(work)

    engine.step = counted  # type: ignore[method-assign]
    service = AsrService(engine, AsrSettings(engine="none"))

    async def call(pcm: bytes) -> str:
        async with talking(service) as caller:
            for start in range(0, len(pcm), 640):
                caller.say(pcm[start : start + 640])
            caller.say(type="reset")
            messages = await caller.read_until("ready")
            while not messages[-1].get("is_final"):
                messages.append(await caller.read())
            return messages[-1]["text"]

    async with service.runner.running():
        await until(lambda: service.health()[0] == 200)
        assert await asyncio.gather(*map(call, audio)) == expected
    assert 1 < max(sizes) <= 4


def test_a_cpu_reads_one_caller_at_a_time_unless_told_otherwise(make_whisper: MakeWhisper) -> None:
    assert make_whisper().info.max_batch == 1


def test_one_batch_holds_many_languages_and_what_was_said_before(
    make_whisper: MakeWhisper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ctranslate2.models import Whisper

    monkeypatch.setattr(Whisper, "is_multilingual", True)
    model = make_whisper(model=str(save_whisper(tmp_path / "many", multilingual=True)), language="en")._model
    assert model is not None
    monkeypatch.setattr(model, "_spoken", lambda encoded: [("fr", 0.9)] * encoded.shape[0])
    said = " the weather will be fine today and tomorrow"
    kinds = [
        ("de", False, ""),
        ("en", True, ""),
        ("ja", False, 9 * said),
        ("de", False, 9 * said),
        ("en", False, said),
    ]
    readings = [
        Reading(samples(chirp(1.0 + seed / 4, seed)), language, detect, before, 1000 * seed)
        for seed, (language, detect, before) in enumerate(kinds)
    ]
    batched = model.read(readings)
    assert [heard.language for heard in batched] == ["de", "fr", "ja", "de", "en"]
    for reading, heard in zip(readings, batched, strict=True):
        (alone,) = model.read([reading])
        assert places(heard.words) == places(alone.words)
    other = replace(readings[0], language="fr")
    assert places(model.read([other])[0].words) != places(batched[0].words), (
        "the language makes no difference"
    )


def test_one_stream_that_fails_costs_no_other(engine: WhisperEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    pcm = chirp(1.0)
    expected = final(engine, pcm)
    quiet = (np.frombuffer(pcm, "<i2") // 20).astype("<i2").tobytes()

    def fail(readings: Sequence[Reading]) -> None:
        if any(np.abs(reading.audio).max() < 0.05 for reading in readings):
            raise RuntimeError("not this one")

    watch(engine, monkeypatch, fail)
    streams = [engine.open(None) for _ in range(3)]
    works = [
        AsrWork(stream, mine, Flush.HARD) for stream, mine in zip(streams, (pcm, quiet, pcm), strict=True)
    ]
    one, failed, other = engine.step(works)
    assert isinstance(failed, EngineError)
    assert "not this one" in str(failed)
    assert isinstance(one, AsrResult)
    assert isinstance(other, AsrResult)
    assert one.text == other.text == expected
    assert engine.info.max_batch == 8


def test_out_of_memory_makes_the_batches_smaller_and_costs_nobody(
    engine: WhisperEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = [chirp(0.4, seed) for seed in range(6)]
    expected = [final(engine, pcm) for pcm in audio]

    def fail(readings: Sequence[Reading]) -> None:
        if len(readings) > 2:
            raise RuntimeError("CUDA failed with error out of memory")

    sizes = watch(engine, monkeypatch, fail)
    results, _ = together(engine, audio)
    assert [result.text for result in results] == expected
    assert sizes[0] == 6
    assert engine.info.max_batch <= 2, "GET /metrics says it (nemotron_asr_step_limit_streams)"
    sizes.clear()
    together(engine, audio)
    assert max(sizes) <= 2


def watch(
    engine: WhisperEngine,
    monkeypatch: pytest.MonkeyPatch,
    fail: Callable[[Sequence[Reading]], None] = lambda readings: None,
) -> list[int]:
    """Note the size of every batch of the model, and let `fail` happen to it first."""
    model, sizes = engine._model, []
    assert isinstance(model, WhisperModel)
    genuine = model.read

    def read(readings: Sequence[Reading]) -> list[WhisperReading]:
        sizes.append(len(readings))
        fail(readings)
        return genuine(readings)

    monkeypatch.setattr(model, "read", read)
    return sizes


def samples(pcm: bytes) -> Audio:
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)


def places(words: Sequence[Word]) -> list[tuple[str, int, int]]:
    return [(word.text, word.start_ms, word.end_ms) for word in words]
