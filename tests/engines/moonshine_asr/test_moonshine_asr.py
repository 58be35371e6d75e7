"""The Moonshine engine on a tiny random model, through the real loader."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemotron_speech.engines.base import AsrResult, AsrWork, Flush
from nemotron_speech.engines.moonshine_asr import engine as engine_module
from nemotron_speech.engines.moonshine_asr.engine import MoonshineEngine
from nemotron_speech.engines.moonshine_asr.model import Audio, MoonshineReading
from nemotron_speech.engines.moonshine_asr.vocabulary import SpokenWord
from nemotron_speech.errors import BadRequest, ConfigurationError, EngineError
from tests.contract import test_recognisers as contract
from tests.engines.asr_streams import feed, heard
from tests.engines.conftest import MakeMoonshine
from tests.engines.moonshine_asr.moonshine_streams import RATE, final, loaded, note_readings
from tests.engines.whisper_asr.whisper_streams import chirp, silence, vowels

PROMISES = sorted(name.removeprefix("test_") for name in vars(contract) if name.startswith("test_"))


@pytest.fixture
def engine(make_moonshine: MakeMoonshine) -> MoonshineEngine:
    return make_moonshine()


@pytest.mark.parametrize("promise", PROMISES)
def test_it_keeps_the_promise_that(promise: str, engine: MoonshineEngine) -> None:
    getattr(contract, f"test_{promise}")(engine)


@pytest.mark.parametrize("samples", [1, 159, 1599, 1600, 4799, 4800, 4801, 12345, 16000, 24001])
def test_every_cut_position_gives_a_final(engine: MoonshineEngine, samples: int) -> None:
    result = final(engine, chirp(2.0)[: 2 * samples])
    assert result.text.split() == [word.text for word in result.words]
    assert all(0 <= word.start_ms <= word.end_ms <= samples * 1000 // RATE for word in result.words)
    assert bool(result.text) == (samples >= 1600)


# ------------------------------------------------------------------------------ when it is read


def test_speech_is_read_every_three_tenths_of_a_second(
    engine: MoonshineEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = note_readings(engine, monkeypatch)
    results = feed(engine, engine.open(None), chirp(1.2), Flush.SOFT)
    assert readings == [0.3, 0.6, 0.9, 1.2]
    assert len({result.text for result in results}) == 5


def test_a_pause_is_read_at_once_and_its_final_needs_no_further_reading(
    engine: MoonshineEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = note_readings(engine, monkeypatch)
    stream = engine.open(None)
    spoken = feed(engine, stream, chirp(0.72) + silence(0.18), Flush.SOFT)[-1].text
    assert readings == [0.3, 0.6, 0.84], "120 ms after the end of the speech"
    assert feed(engine, stream, silence(0.6))[-1].text == spoken
    assert len(readings) == 3


def test_a_final_within_speech_reads_the_rest_once(
    engine: MoonshineEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = note_readings(engine, monkeypatch)
    feed(engine, engine.open(None), chirp(0.75))
    assert readings == [0.3, 0.6, 0.75]


def test_silence_is_neither_kept_nor_read(engine: MoonshineEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = note_readings(engine, monkeypatch)
    stream = engine.open(None)
    assert {result.text for result in feed(engine, stream, silence(10.0))} == {""}
    assert readings == []
    assert len(stream.audio) <= RATE


def noise(kind: str, seconds: float = 3.0) -> bytes:
    count, random = int(seconds * RATE), np.random.default_rng(0)
    made = {
        "hiss": random.normal(0, 300, count),
        "loud hiss": random.normal(0, 3000, count),
        "knocks": np.where(np.arange(count) % 8000 < 200, random.normal(0, 9000, count), 0),
    }
    return made[kind].astype("<i2").tobytes()


@pytest.mark.parametrize("kind", ["hiss", "loud hiss", "knocks"])
def test_noise_is_not_read(kind: str, make_moonshine: MakeMoonshine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_moonshine(vad=True)
    readings = note_readings(engine, monkeypatch)
    assert final(engine, noise(kind)).text == ""
    assert readings == []


def test_a_voice_is_read_and_the_silence_around_it_is_not(
    make_moonshine: MakeMoonshine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_moonshine(vad=True)
    readings = note_readings(engine, monkeypatch)
    stream = engine.open(None)
    feed(engine, stream, silence(3.0), Flush.SOFT)
    assert readings == []
    feed(engine, stream, vowels(1.5), Flush.SOFT)
    feed(engine, stream, silence(1.0), Flush.SOFT)
    before = len(readings)
    assert before >= 4
    assert feed(engine, stream, silence(3.0))[-1].text
    assert len(readings) == before


@pytest.mark.parametrize(("sure", "seconds", "text"), [(0.2, 1.0, ""), (0.6, 1.0, "You"), (0.6, 3.0, "")])
def test_one_unlikely_or_impossibly_long_word_is_none(
    sure: float, seconds: float, text: str, engine: MoonshineEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moonshine hears "You" into a hum or a tone."""
    imagined = MoonshineReading((7,), (SpokenWord("You", sure),))
    monkeypatch.setattr(loaded(engine), "read", lambda *_: imagined)
    result = final(engine, chirp(seconds))
    assert result.text == text
    assert len(result.words) == len(text.split())


# ------------------------------------------------------------------------------------ the window


def test_a_minute_of_sound_is_held_in_a_bounded_window(make_moonshine: MakeMoonshine) -> None:
    engine = make_moonshine(buffer_s=5.0)
    stream, pcm, most = engine.open(None), chirp(60.0), 0
    for start in range(0, len(pcm), RATE):
        heard(engine, stream, pcm[start : start + RATE], Flush.NONE)
        most = max(most, len(stream.audio))
    assert most <= 5.5 * RATE
    result = heard(engine, stream, b"", Flush.HARD)
    assert result.text == " ".join(word.text for word in result.words)
    assert len(result.words) > 150
    assert result.words[0].start_ms < 1_000
    assert result.words[-1].end_ms > 59_000
    starts = [word.start_ms for word in result.words]
    assert starts == sorted(starts)
    assert len(stream.audio) == 0


class Listener:
    """Hears a word in each stretch of one level of which half is there, and notes how much it was given."""

    def __init__(self) -> None:
        self.longest = 0

    def read(self, audio: Audio, draft: Sequence[int] = ()) -> MoonshineReading:
        self.longest = max(self.longest, len(audio))
        edges = [0, *(np.flatnonzero(np.diff(audio)) + 1), len(audio)]
        said = [
            round(float(audio[start]) * 256)
            for start, end in pairwise(edges)
            if audio[start] and end - start >= (WORD - GAP) // 2
        ]
        return MoonshineReading(tuple(said), tuple(SpokenWord(f"w{level}", 0.9) for level in said))


WORD, GAP = RATE * 3 // 10, RATE * 3 // 50
"""Samples from one word to the next, and of silence at the end of each."""
UTTERANCE = st.tuples(st.lists(st.integers(1, 9), min_size=1, max_size=50), st.integers(0, 50 * WORD))


@settings(max_examples=60)
@given(st.lists(UTTERANCE, min_size=1, max_size=3))
def test_a_final_holds_every_word_before_its_cut_once_and_none_after_it(
    utterances: list[tuple[list[int], int]],
) -> None:
    """One stream, utterance after utterance, each cut anywhere, some longer than the window."""
    listener, engine = Listener(), MoonshineEngine(buffer_s=4.0, max_step_s=0.3, vad=False)
    engine._model = listener  # type: ignore[assignment]
    stream, at_ms = engine.open(None), 0
    for levels, cut in utterances:
        samples = np.repeat(np.array(levels, np.int64) * 128, WORD).astype("<i2").reshape(-1, WORD)
        samples[:, WORD - GAP :] = 0
        pcm = samples.tobytes()[: 2 * cut]
        whole, rest = divmod(len(pcm) // 2, WORD)
        result = feed(engine, stream, pcm)[-1]
        said = levels[: whole + (rest >= (WORD - GAP) // 2)]
        assert result.text == " ".join(f"w{level}" for level in said)
        assert [word.text for word in result.words] == result.text.split()
        for number, word in enumerate(result.words):
            assert abs(word.start_ms - at_ms - 300 * number) <= 330, "a step and a frame"
        at_ms += len(pcm) * 1000 // (2 * RATE)
    assert listener.longest <= 4.3 * RATE + 960


def test_a_full_window_is_divided_in_its_pause(
    make_moonshine: MakeMoonshine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_moonshine(buffer_s=4.0, step_s=1.0)
    readings = note_readings(engine, monkeypatch)
    stream = engine.open(None)
    feed(engine, stream, chirp(2.4) + silence(0.6) + chirp(2.0, seed=1), Flush.SOFT)
    (head,) = [seconds for seconds in readings if 2.4 < seconds < 3.0 and seconds != 2.52]
    assert 2.6 <= head <= 2.8
    assert stream.start == pytest.approx(head * RATE, abs=RATE // 100)


def test_a_long_pause_ends_the_window_and_its_text_stays(
    engine: MoonshineEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = engine.open(None)
    first = feed(engine, stream, chirp(1.5) + silence(0.5), Flush.SOFT)[-1].text
    feed(engine, stream, silence(20.0), Flush.SOFT)
    assert len(stream.audio) < RATE
    readings = note_readings(engine, monkeypatch)
    result = feed(engine, stream, chirp(0.6, seed=3))[-1]
    assert result.text.startswith(f"{first} ")
    assert max(readings) < 2.0, "the first sentence was read again"
    assert result.words[-1].start_ms > 21_000


def test_word_times_run_on_over_utterances(engine: MoonshineEngine) -> None:
    stream = engine.open(None)
    first, second = (feed(engine, stream, chirp(2.0))[-1].words for _ in range(2))
    assert first[-1].end_ms <= 2000 <= second[0].start_ms
    assert [word.text for word in first] == [word.text for word in second]


# ---------------------------------------------------------------------------------- the machine


def test_steps_grow_when_readings_take_too_long_and_shrink_again(
    make_moonshine: MakeMoonshine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_moonshine(max_step_s=1.5)
    clock = [0.0, 0.15]
    """Now, and how long a reading takes: a reading looks twice."""

    def now() -> float:
        clock[0] += clock[1]
        return clock[0]

    monkeypatch.setattr(engine_module.time, "perf_counter", now)
    stream = engine.open(None)
    feed(engine, stream, chirp(0.3), Flush.SOFT)
    assert stream.step == RATE // 2, "0.15 s is 30 % of 0.5 s"
    clock[1] = 10.0
    feed(engine, stream, chirp(1.0), Flush.SOFT)
    assert stream.step == 1.5 * RATE
    clock[1] = 0.01
    feed(engine, stream, chirp(2.0), Flush.SOFT)
    assert stream.step == 0.3 * RATE


def test_steps_grow_with_the_number_of_those_who_speak(
    make_moonshine: MakeMoonshine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_moonshine(max_step_s=1.5, capacity=8)
    now = iter(range(1000))
    monkeypatch.setattr(engine_module.time, "perf_counter", lambda: next(now) * 0.07)
    streams = [engine.open(None) for _ in range(8)]
    engine.step([AsrWork(stream, chirp(0.3, seed)) for seed, stream in enumerate(streams)])
    assert streams[0].step == 0.3 * RATE
    assert streams[-1].step == pytest.approx(0.8 * RATE), "eight readings of 70 ms are 70 % of 0.8 s"
    engine.step([AsrWork(stream, silence(2.0)) for stream in streams[1:]])
    heard(engine, streams[0], chirp(1.0), Flush.NONE)
    assert streams[0].step == 0.3 * RATE


def test_one_stream_that_fails_costs_no_other(
    engine: MoonshineEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = final(engine, chirp(1.0)).text
    quiet = (np.frombuffer(chirp(1.0), "<i2") // 20).astype("<i2").tobytes()
    model = loaded(engine)
    genuine = model.read

    def read(audio: Any, draft: Any = ()) -> MoonshineReading:
        if np.abs(audio).max() < 0.05:
            raise RuntimeError("not this one")
        return genuine(audio, draft)

    monkeypatch.setattr(model, "read", read)
    works = [AsrWork(engine.open(None), pcm, Flush.HARD) for pcm in (chirp(1.0), quiet, chirp(1.0))]
    one, failed, other = engine.step(works)
    assert isinstance(failed, EngineError)
    assert "not this one" in str(failed)
    assert isinstance(one, AsrResult)
    assert isinstance(other, AsrResult)
    assert one.text == other.text == expected


def test_it_opens_english_of_any_country_and_nothing_else(engine: MoonshineEngine) -> None:
    for language in (None, "en", "en-US", "EN_gb"):
        engine.close(engine.open(language))
    with pytest.raises(BadRequest, match="'de'; allowed: en"):
        engine.open("de")


def test_it_says_that_its_word_times_are_estimates(engine: MoonshineEngine) -> None:
    assert engine.info.estimates_times


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model": "./absent"}, "absent"),
        ({"model": "joe"}, "joe"),
        ({"model": "EMPTY"}, "lacks tokenizer.bin"),
        ({"buffer_s": 60}, "buffer_s: 60; allowed: 4.0 to 20.0"),
        ({"step_s": 0.0}, "step_s: 0.0"),
        ({"max_step_s": 0.1}, "max_step_s: 0.1"),
        ({"capacity": 0}, "capacity: 0"),
        ({"threads": -1}, "threads: -1"),
    ],
)
def test_a_wrong_option_is_named(
    options: dict[str, Any], reason: str, make_moonshine: MakeMoonshine, tmp_path: Path
) -> None:
    if options.get("model") == "EMPTY":
        options = {"model": str(tmp_path)}
    with pytest.raises(ConfigurationError, match=reason):
        make_moonshine(**options)
