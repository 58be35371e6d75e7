"""The Whisper engine on tiny random models, through the real loader; needs faster-whisper."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nemotron_speech.engines.base import Flush, Word
from nemotron_speech.engines.whisper_asr import engine as whisper_asr
from nemotron_speech.engines.whisper_asr.engine import WhisperEngine
from nemotron_speech.engines.whisper_asr.model import Reading, WhisperReading
from nemotron_speech.engines.whisper_asr.words import Piece, pieces, words
from nemotron_speech.errors import BadRequest, ConfigurationError
from tests.contract import test_recognisers as contract
from tests.engines.asr_streams import feed, heard
from tests.engines.conftest import MakeWhisper
from tests.engines.whisper_asr.whisper_streams import RATE, chirp, final, silence, vowels

pytest.importorskip("faster_whisper", reason="faster-whisper is not installed")

PROMISES = sorted(name.removeprefix("test_") for name in vars(contract) if name.startswith("test_"))


@pytest.fixture
def engine(make_whisper: MakeWhisper) -> WhisperEngine:
    return make_whisper()


@pytest.mark.parametrize("promise", PROMISES)
def test_it_keeps_the_promise_that(promise: str, engine: WhisperEngine) -> None:
    getattr(contract, f"test_{promise}")(engine)


def test_different_audio_is_different_text(engine: WhisperEngine) -> None:
    assert len({final(engine, chirp(2.0, seed)) for seed in range(6)}) > 1


@pytest.mark.parametrize("samples", [1, 159, 4000, 7999, 8000, 8001, 12345, 16000, 24001])
def test_every_cut_position_gives_a_final(engine: WhisperEngine, samples: int) -> None:
    stream = engine.open(None)
    pcm = chirp(2.0)[: 2 * samples]
    result = feed(engine, stream, pcm)[-1]
    assert result.text.split() == [word.text for word in result.words]
    assert all(word.end_ms <= samples * 1000 // RATE for word in result.words)
    assert bool(result.text) == (samples >= 4000)
    assert feed(engine, stream, b"")[-1].text == ""


def test_the_final_is_the_last_reading_while_the_buffer_holds_the_utterance(
    engine: WhisperEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two early readings agree on a word, and are both wrong."""
    readings = iter(["And so am I", "And so am I fellow", "And so my fellow Americans"])
    model = engine._model
    assert model is not None

    def read(asked: Sequence[Reading]) -> list[WhisperReading]:
        said = next(readings).split()
        return [WhisperReading("en", [Word(word, 250 * n, 250 * n + 200) for n, word in enumerate(said)])]

    monkeypatch.setattr(model, "read", read)
    results = feed(engine, engine.open(None), chirp(1.2))
    assert results[-2].text == "And so am I fellow"
    assert results[-1].text == "And so my fellow Americans"
    assert [word.text for word in results[-1].words] == results[-1].text.split()


def test_a_minute_of_sound_is_held_in_a_bounded_buffer(make_whisper: MakeWhisper) -> None:
    engine = make_whisper(buffer_s=5.0, step_s=1.0)
    stream, pcm, most = engine.open(None), chirp(60.0), 0
    for start in range(0, len(pcm), 2 * RATE):
        heard(engine, stream, pcm[start : start + 2 * RATE], Flush.NONE)
        most = max(most, len(stream.audio))
    assert most <= 5 * RATE
    result = heard(engine, stream, b"", Flush.HARD)
    assert result.words[-1].end_ms > 50_000
    starts = [word.start_ms for word in result.words]
    assert starts == sorted(starts)
    assert result.text == " ".join(word.text for word in result.words)
    assert len(stream.audio) == 0


def test_silence_is_neither_kept_nor_read(engine: WhisperEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine._model, "read", lambda *_: pytest.fail("silence was read"))
    stream = engine.open(None)
    assert {result.text for result in feed(engine, stream, silence(10.0))} == {""}
    assert len(stream.audio) <= RATE


def count_readings(engine: WhisperEngine, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Note the seconds of audio of every reading."""
    noted: list[float] = []
    model = engine._model
    assert model is not None
    genuine = model.read

    def read(readings: Sequence[Reading]) -> list[WhisperReading]:
        noted.extend(len(reading.audio) / RATE for reading in readings)
        return genuine(readings)

    monkeypatch.setattr(model, "read", read)
    return noted


def test_a_final_after_a_pause_needs_no_further_reading(
    engine: WhisperEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = count_readings(engine, monkeypatch)
    stream = engine.open(None)
    spoken = feed(engine, stream, chirp(1.0), Flush.SOFT)[-1].text
    before = len(readings)
    assert feed(engine, stream, silence(1.2))[-1].text == spoken
    assert len(readings) == before == 2


def test_a_final_within_speech_reads_the_rest_once(
    engine: WhisperEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = count_readings(engine, monkeypatch)
    feed(engine, engine.open(None), chirp(1.2))
    assert readings == [0.5, 1.0, 1.2]


def test_a_soft_flush_between_steps_changes_nothing(engine: WhisperEngine) -> None:
    pcm, stream = chirp(3.0), engine.open(None)
    expected = [result.text for result in feed(engine, engine.open(None), pcm)]
    for start, end in ((0, 5000), (5000, 5002), (5002, 40000)):
        feed(engine, stream, pcm[start:end], Flush.SOFT)
    assert feed(engine, stream, pcm[40000:])[-1].text == expected[-1]


def test_word_times_run_on_over_utterances(engine: WhisperEngine) -> None:
    stream = engine.open(None)
    first, second = (feed(engine, stream, chirp(2.0))[-1].words for _ in range(2))
    assert first[-1].end_ms <= 2000 <= second[0].start_ms
    assert [word.text for word in first] == [word.text for word in second]


def test_steps_grow_when_readings_take_too_long_and_shrink_again(
    make_whisper: MakeWhisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_whisper(max_step_s=2.0)
    reading_s = 10.0
    now = iter(range(100))
    monkeypatch.setattr(whisper_asr.time, "perf_counter", lambda: next(now) * reading_s)
    stream = engine.open(None)
    assert stream.wanted_samples == RATE // 2
    heard(engine, stream, chirp(0.5), Flush.NONE)
    assert stream.wanted_samples == 2 * RATE
    reading_s = 0.0
    heard(engine, stream, chirp(2.0), Flush.NONE)
    assert stream.wanted_samples == RATE // 2
    reading_s = 0.4
    heard(engine, stream, chirp(0.5), Flush.NONE)
    assert stream.wanted_samples == RATE, "a reading takes at most 40 % of the time of who speaks alone"


def test_the_speech_detector_takes_no_tone_and_no_noise_for_speech(make_whisper: MakeWhisper) -> None:
    engine = make_whisper(vad=True)
    tone = (np.sin(np.arange(3 * RATE) / 8) * 8000).astype("<i2").tobytes()
    hiss = (np.random.default_rng(0).normal(0, 300, 3 * RATE)).astype("<i2").tobytes()
    assert final(engine, tone) == final(engine, hiss) == final(engine, silence(3.0)) == ""


def test_the_speech_detector_hears_vowels_and_a_pause_after_them_is_not_read(
    make_whisper: MakeWhisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_whisper(vad=True)
    readings = count_readings(engine, monkeypatch)
    stream = engine.open(None)
    assert feed(engine, stream, silence(3.0), Flush.SOFT)[-1].text == ""
    assert readings == []
    spoken = feed(engine, stream, vowels(2.0), Flush.SOFT)[-1].text
    assert spoken
    feed(engine, stream, silence(2.0), Flush.SOFT)
    before = len(readings)
    assert feed(engine, stream, silence(3.0))[-1].text
    assert len(readings) == before <= 6


def test_a_reading_that_repeats_itself_is_done_once_more_without_repeats(
    engine: WhisperEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = engine._model
    assert model is not None
    genuine, asked = model._decode, []

    def decode(encoded: Any, prompts: Any, limits: Any, **options: int) -> list[list[int]]:
        asked.append((len(prompts[0]), options))
        return genuine(encoded, prompts, limits, **options) if options else [[40, 41] * 40] * len(prompts)

    monkeypatch.setattr(model, "_decode", decode)
    audio = np.frombuffer(chirp(1.0), "<i2").astype(np.float32) / 32768
    (heard,) = model.read([Reading(audio, "en", before=40 * "what was said ")])
    assert heard.words
    assert asked == [(35, {}), (2, {"no_repeat_ngram_size": 3})]


def test_a_model_of_english_opens_no_other_language(engine: WhisperEngine) -> None:
    assert engine.info.languages == ("en",)
    assert engine.open("en-US").language == "en"
    with pytest.raises(BadRequest, match="'de'; allowed: en"):
        engine.open("de")


def test_a_multilingual_model_names_its_languages_the_chosen_one_first(
    make_whisper: MakeWhisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faster_whisper import WhisperModel

    monkeypatch.setattr(WhisperModel, "supported_languages", property(lambda _: ["de", "en", "ja"]))
    engine = make_whisper(language="en")
    assert engine.info.languages == ("en", "auto", "de", "ja")
    assert engine.open("DE_at").language == "de"
    assert engine.open(None).language == "en"
    assert final(engine, chirp(1.0))
    with pytest.raises(ConfigurationError, match=r"language: .* has no 'tlh'"):
        make_whisper(language="tlh")


def test_a_caller_that_names_no_language_is_heard_in_the_one_it_speaks(
    make_whisper: MakeWhisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Utterance by utterance; a guess that is not clear, or from little audio, is not held on to."""
    from faster_whisper import WhisperModel as Model

    guesses = [("ja", 0.4), ("de", 0.9), ("de", 0.9), ("ja", 0.9), *[("ja", 0.8)] * 20]
    monkeypatch.setattr(Model, "supported_languages", property(lambda _: ["de", "en", "ja"]))
    engine = make_whisper()
    model = engine._model
    assert model is not None
    genuine, read_in, asked = model.read, [], []

    def read(readings: Sequence[Reading]) -> list[WhisperReading]:
        heard = genuine(readings)
        read_in.extend(one.language for one in heard)
        asked.extend(len(reading.audio) / RATE for reading in readings if reading.detect)
        return [WhisperReading(one.language) for one in heard]

    monkeypatch.setattr(model, "_spoken", lambda encoded: [guesses.pop(0)])
    monkeypatch.setattr(model, "read", read)
    assert engine.info.languages == ("auto", "de", "en", "ja")
    stream, named = engine.open(None), engine.open("de")
    feed(engine, stream, chirp(1.2))
    assert read_in == ["en", "de", "de"]
    feed(engine, stream, chirp(5.0))
    assert read_in[3:] == ["ja"] * 10
    assert asked[-1] == 3.0
    known = len(asked)
    feed(engine, named, chirp(1.0))
    assert len(asked) == known


@pytest.mark.parametrize(
    ("language", "raw", "expected"),
    [
        ("en", [" five", "%", " off", ".", " \x1c"], ["five%", "off."]),
        ("ja", ["天", "気", " Tokyo"], ["天", "気", " Tokyo"]),
    ],
)
def test_pieces_of_words_are_joined_as_the_language_does(
    language: str, raw: list[str], expected: list[str]
) -> None:
    said = [Piece(text, i * 0.5, i * 0.5 + 0.4, 0.5) for i, text in enumerate(raw)]
    found = words(said, language, 1000, 60_000)
    assert [word.text for word in found] == expected
    assert [word.start_ms for word in found][:2] == [1000, 2000 if language == "en" else 1500]
    assert found[0].end_ms == (1900 if language == "en" else 1400)


def test_a_pause_belongs_to_no_word() -> None:
    """Before the first one, and on both sides of a full stop."""
    places = [
        ("Well", 0, 3),
        (" that", 3, 3.3),
        (" is", 3.3, 3.6),
        (".", 3.6, 5),
        (" So", 5, 7),
        (" on", 7, 7.3),
    ]
    alignment = [
        {"word": text, "start": start, "end": end, "probability": 0.9, "tokens": [1]}
        for text, start, end in places
    ]
    found = words(pieces(alignment), "en", 0, 10_000)
    assert [(word.text, word.start_ms, word.end_ms) for word in found] == [
        ("Well", 2400, 3000),
        ("that", 3000, 3300),
        ("is.", 3300, 3600),
        ("So", 6400, 7000),
        ("on", 7000, 7300),
    ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model": "enormous"}, "model: .*enormous"),
        ({"model": "no/such/model"}, "model: "),
        ({"model": "base.en"}, "hf download Systran/faster-whisper-base.en"),
        ({"model": "somebody/whisper"}, "hf download somebody/whisper"),
        ({"model": "./absent"}, "there is no folder"),
        ({"model": "EMPTY"}, "lacks model.bin and tokenizer.json"),
        ({"model": "BROKEN"}, "no usable Whisper model"),
        ({"device": "tpu"}, "device: 'tpu'"),
        ({"device": "cuda:99"}, "device: 'cuda:99'"),
        ({"compute_type": "int3"}, "compute_type int3"),
        ({"language": "de"}, "language: .* has no 'de'"),
        ({"buffer_s": 60}, "buffer_s: 60; allowed: 5.0 to 25.0"),
        ({"step_s": 0.0}, "step_s: 0.0"),
        ({"beam_size": 0}, "beam_size: 0"),
        ({"capacity": 0}, "capacity: 0"),
        ({"max_batch": -1}, "max_batch: -1"),
    ],
)
def test_a_wrong_option_is_named(
    options: dict[str, Any],
    reason: str,
    make_whisper: MakeWhisper,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    if options.get("model") in ("EMPTY", "BROKEN"):
        made = tmp_path / options["model"]
        made.mkdir()
        if made.name == "BROKEN":
            (made / "model.bin").write_bytes(b"nothing")
            (made / "tokenizer.json").write_text("{}")
        options = {"model": str(made)}
    with pytest.raises(ConfigurationError, match=reason):
        make_whisper(**options)


def test_real_speech_is_read_where_there_is_a_recording(make_whisper: MakeWhisper) -> None:
    path = os.environ.get("NEMOTRON_TEST_AUDIO")
    if not path:
        pytest.skip("NEMOTRON_TEST_AUDIO names no recording")
    import soundfile

    samples, rate = soundfile.read(path, dtype="int16", frames=8 * RATE)
    assert rate == RATE
    assert final(make_whisper(vad=True), samples.astype("<i2").tobytes())
