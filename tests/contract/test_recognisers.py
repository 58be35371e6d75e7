"""What every recogniser promises a server."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from nemotron_speech.audio import from_pcm, resample
from nemotron_speech.engines.base import AsrEngine, AsrResult, AsrStream, AsrWork, Flush, Segment
from nemotron_speech.engines.registry import asr_names, tts_engine
from nemotron_speech.errors import BadRequest, ConfigurationError
from tests.contract.engines import recogniser

SILENCE = bytes(2 * 8000)


@pytest.fixture(params=asr_names())
def engine(request: pytest.FixtureRequest) -> AsrEngine:
    return recogniser(request.param)


@cache
def speech(text: str) -> bytes:
    """Return speech at 16 kHz; where no voice is installed, a tone, which at least is loud."""
    try:
        voice = tts_engine("espeak")
        voice.load()
    except (ImportError, ConfigurationError):
        tone = np.sin(np.arange(16000 + 1600 * len(text)) / 8) * 8000
        return tone.astype("<i2").tobytes()
    stream, pcm, done = voice.open(Segment(text, voice.info.voices[0])), b"", False
    while not done:
        (result,) = voice.step([stream])
        assert not isinstance(result, Exception)
        pcm, done = pcm + result.pcm, result.done
    voice.close(stream)
    return resample(from_pcm(pcm), voice.info.sample_rate, 16000).tobytes()


def step(engine: AsrEngine, work: list[AsrWork]) -> list[AsrResult]:
    results = list(engine.step(work))
    assert len(results) == len(work)
    for result in results:
        assert isinstance(result, AsrResult), result
    return [result for result in results if isinstance(result, AsrResult)]


def works(stream: AsrStream, pcm: bytes, flush: Flush = Flush.HARD) -> list[AsrWork]:
    """Cut audio as a server does: whole steps, and the rest with the flush."""
    size = 2 * stream.wanted_samples
    whole = len(pcm) // size * size
    pieces = [AsrWork(stream, pcm[start : start + size]) for start in range(0, whole, size)]
    return [*pieces, AsrWork(stream, pcm[whole:], flush)]


def hear(engine: AsrEngine, stream: AsrStream, pcm: bytes, flush: Flush = Flush.HARD) -> AsrResult:
    return [step(engine, [work])[0] for work in works(stream, pcm, flush)][-1]


def test_it_says_what_it_is(engine: AsrEngine) -> None:
    info = engine.info
    assert info.name in asr_names()
    assert info.model
    assert info.sample_rate == 16000
    assert info.languages
    assert info.capacity >= 1
    assert info.max_batch >= 1


def test_a_step_is_short_enough_to_be_cancelled(engine: AsrEngine) -> None:
    stream = engine.open(None)
    assert 0 < stream.wanted_samples <= 16000
    engine.close(stream)


def test_no_audio_is_an_empty_transcript(engine: AsrEngine) -> None:
    stream = engine.open(None)
    assert hear(engine, stream, b"").text == ""
    assert hear(engine, stream, b"", Flush.SOFT).text == ""
    engine.close(stream)


def test_silence_is_an_empty_transcript(engine: AsrEngine) -> None:
    stream = engine.open(None)
    assert hear(engine, stream, SILENCE).text == ""
    engine.close(stream)


def test_speech_is_heard_and_the_next_utterance_begins_afresh(engine: AsrEngine) -> None:
    stream = engine.open(None)
    assert hear(engine, stream, speech("hello there")).text.split()
    assert hear(engine, stream, SILENCE).text == ""
    engine.close(stream)


def test_a_stream_gives_the_same_transcript_for_the_same_audio(engine: AsrEngine) -> None:
    texts = []
    for _ in range(2):
        stream = engine.open(None)
        texts.append(hear(engine, stream, speech("hello there")).text)
        engine.close(stream)
    assert texts[0] == texts[1]


def test_a_soft_flush_changes_nothing_of_what_follows(engine: AsrEngine) -> None:
    pcm = speech("hello there")
    plain, flushed = engine.open(None), engine.open(None)
    half = len(pcm) // 2 // (2 * plain.wanted_samples) * 2 * plain.wanted_samples
    hear(engine, flushed, pcm[:half], Flush.SOFT)
    assert hear(engine, flushed, pcm[half:]).text == hear(engine, plain, pcm).text
    engine.close(plain)
    engine.close(flushed)


def test_streams_stepped_together_hear_what_each_hears_alone(engine: AsrEngine) -> None:
    audio = [speech("hello there"), speech("thank you"), SILENCE]
    alone = []
    for pcm in audio:
        stream = engine.open(None)
        alone.append(hear(engine, stream, pcm).text)
        engine.close(stream)
    streams = [engine.open(None) for _ in audio]
    queues = [works(stream, pcm) for stream, pcm in zip(streams, audio, strict=True)]
    together = [""] * len(audio)
    while any(queues):
        turn = [i for i, queue in enumerate(queues) if queue]
        for i, result in zip(turn, step(engine, [queues[i].pop(0) for i in turn]), strict=True):
            together[i] = result.text
    for stream in streams:
        engine.close(stream)
    assert together == alone


def test_a_stream_closed_half_way_leaves_the_others_whole(engine: AsrEngine) -> None:
    pcm = speech("hello there")
    alone = engine.open(None)
    expected = hear(engine, alone, pcm).text
    gone, kept = engine.open(None), engine.open(None)
    first, *rest = works(kept, pcm)
    step(engine, [works(gone, pcm)[0], first])
    engine.close(gone)
    assert [step(engine, [work])[0] for work in rest][-1].text == expected
    for stream in (alone, kept):
        engine.close(stream)


def test_closing_twice_is_harmless(engine: AsrEngine) -> None:
    stream = engine.open(None)
    engine.close(stream)
    engine.close(stream)
    again = engine.open(None)
    assert hear(engine, again, b"").text == ""
    engine.close(again)


def test_words_are_in_order_and_within_the_stream(engine: AsrEngine) -> None:
    stream = engine.open(None)
    pcm = speech("hello there")
    result = hear(engine, stream, pcm)
    engine.close(stream)
    if not result.words:
        pytest.skip("this engine knows no word times")
    assert [word.text for word in result.words] == result.text.split()
    starts = [word.start_ms for word in result.words]
    assert starts == sorted(starts)
    assert all(0 <= word.start_ms <= word.end_ms for word in result.words)


def test_places_are_given_back(engine: AsrEngine) -> None:
    for _ in range(2 * min(engine.info.capacity, 16)):
        engine.close(engine.open(None))
    streams = [engine.open(None) for _ in range(min(engine.info.capacity, 4))]
    for stream in streams:
        engine.close(stream)


def test_every_language_it_names_is_opened_and_others_are_refused(engine: AsrEngine) -> None:
    engine.close(engine.open(engine.info.languages[0]))
    with pytest.raises(BadRequest, match="tlh-x"):
        engine.open("tlh-x")
    engine.close(engine.open(None))
