"""espeak-ng: voices, clauses, silence, times."""

from __future__ import annotations

import numpy as np
import pytest

from nemotron_speech.engines.base import Segment, SynthesisMode, TtsResult, Word
from nemotron_speech.engines.espeak_tts.engine import EDGE_MS, MAX_CLAUSE, EspeakEngine
from nemotron_speech.engines.shared.clauses import split_clauses
from nemotron_speech.errors import BadRequest, TooLarge
from nemotron_speech.text import say

TEXT = "Good evening. Twelve times seven is eighty four, and that is all!"


@pytest.fixture(scope="module")
def engine() -> EspeakEngine:
    engine = EspeakEngine()
    engine.load()
    return engine


def speak(
    engine: EspeakEngine,
    text: str,
    voice: str = "aria",
    language: str = "en",
    mode: SynthesisMode = SynthesisMode.STREAM,
    speed: float = 1.0,
) -> tuple[np.ndarray, tuple[Word, ...]]:
    stream = engine.open(Segment(text, voice, language, mode, speed=speed))
    pieces: list[bytes] = []
    while True:
        result = engine.step([stream])[0]
        assert isinstance(result, TtsResult)
        pieces.append(result.pcm)
        if result.done:
            return np.frombuffer(b"".join(pieces), np.int16), result.words


def milliseconds(engine: EspeakEngine, samples: int) -> float:
    return 1000 * samples / engine.info.sample_rate


@pytest.mark.parametrize("voice", ["aria", "sofia", "john", "jason", "leo"])
def test_every_voice_is_loud_enough_and_never_clips(engine: EspeakEngine, voice: str) -> None:
    samples, _ = speak(engine, TEXT, voice)
    peak = np.abs(samples.astype(int)).max() / 32768
    assert 0.3 < peak < 0.9


def test_voices_differ(engine: EspeakEngine) -> None:
    said = {speak(engine, "hello", voice)[0].tobytes() for voice in engine.info.voices}
    assert len(said) == len(engine.info.voices) == 5


@pytest.mark.parametrize("language", ["en", "es", "de", "fr", "it", "vi", "zh", "en-GB", "fr_FR", "pt-BR"])
def test_languages_are_known_by_the_tags_people_use(engine: EspeakEngine, language: str) -> None:
    assert len(speak(engine, "radio 21", language=language)[0])


def test_sound_begins_and_ends_within_the_edges(engine: EspeakEngine) -> None:
    samples, _ = speak(engine, TEXT)
    loud = np.flatnonzero(np.abs(samples.astype(int)) > 200)
    assert milliseconds(engine, loud[0]) <= EDGE_MS + 10
    assert milliseconds(engine, len(samples) - loud[-1]) <= EDGE_MS + 20


def test_batch_gives_the_audio_of_stream_in_one_piece(engine: EspeakEngine) -> None:
    streamed, words = speak(engine, TEXT)
    whole, same = speak(engine, TEXT, mode=SynthesisMode.BATCH)
    assert len(whole) == pytest.approx(len(streamed), rel=0.005)
    assert [word.text for word in words] == [word.text for word in same]


def test_a_step_gives_a_short_piece(engine: EspeakEngine) -> None:
    stream = engine.open(Segment(TEXT, "aria"))
    result = engine.step([stream])[0]
    assert isinstance(result, TtsResult)
    assert 40 <= milliseconds(engine, len(result.pcm) // 2) <= 60


def test_word_times_follow_the_audio(engine: EspeakEngine) -> None:
    samples, words = speak(engine, TEXT)
    assert [word.text for word in words] == TEXT.replace(".", "").replace(",", "").replace("!", "").split()
    assert words[-1].end_ms == pytest.approx(milliseconds(engine, len(samples)), abs=2)
    evening, twelve = words[1], words[2]
    assert twelve.start_ms - evening.end_ms > 100, "the pause belongs to no word"


@pytest.mark.parametrize("text", ["", " ", "🙂", "👩‍👩‍👧 🎉", "...", "—", "\x00\x07\n"])
def test_what_cannot_be_said_ends_at_once_without_audio(engine: EspeakEngine, text: str) -> None:
    samples, words = speak(engine, text)
    assert len(samples) == 0
    assert words == ()


@pytest.mark.parametrize("text", ["a", "I", "7", "A.", "x\ud800"])
def test_one_letter_is_said_completely(engine: EspeakEngine, text: str) -> None:
    assert milliseconds(engine, len(speak(engine, text)[0])) > 120


@pytest.mark.parametrize(
    "text", ["你好，世界。", "Привет", "مرحبا", "नमस्ते", "γειά", "ab<c>&amp;[[h@'loU]]", "a" * 500]
)
def test_no_script_raises(engine: EspeakEngine, text: str) -> None:
    speak(engine, text)


def test_a_long_text_is_cut_and_loses_no_word(engine: EspeakEngine) -> None:
    words = [f"word{index}" for index in range(2000)]
    pieces = split_clauses(" ".join(words), MAX_CLAUSE)
    assert max(map(len, pieces)) <= MAX_CLAUSE
    assert " ".join(pieces).split() == words


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("It costs 3.50, not 4.", ["It costs 3.50, not 4."]),
        ("第一句。第二句。", ["第一句。", "第二句。"]),
        ("line\n- \nline", ["line", "line"]),
    ],
)
def test_sentences_are_clauses(text: str, pieces: list[str]) -> None:
    assert split_clauses(text, MAX_CLAUSE) == pieces


def test_a_closed_segment_is_over(engine: EspeakEngine) -> None:
    stream = engine.open(Segment(TEXT * 20, "aria"))
    engine.step([stream])
    engine.close(stream)
    engine.close(stream)
    assert engine.step([stream]) == [TtsResult(b"", done=True)]


def test_interleaved_voices_keep_to_themselves(engine: EspeakEngine) -> None:
    fast = Segment(TEXT, "leo", speed=2.0)
    slow = Segment(TEXT, "aria", speed=0.7)
    streams = [engine.open(fast), engine.open(slow)]
    lengths = [0, 0]
    for _ in range(1000):
        for index, result in enumerate(engine.step(streams)):
            assert isinstance(result, TtsResult)
            lengths[index] += len(result.pcm) // 2
    assert lengths[0] == pytest.approx(len(speak(engine, TEXT, "leo", speed=2.0)[0]), rel=0.02)
    assert lengths[1] == pytest.approx(len(speak(engine, TEXT, "aria", speed=0.7)[0]), rel=0.02)


def test_unknown_voices_and_languages_are_refused_with_the_list(engine: EspeakEngine) -> None:
    with pytest.raises(BadRequest, match="aria, sofia, john, jason, leo"):
        engine.open(Segment(TEXT, "nobody"))
    with pytest.raises(BadRequest, match=r"'tlh-x'.* de, "):
        engine.open(Segment(TEXT, "aria", "tlh-x"))
    with pytest.raises(TooLarge):
        engine.open(Segment("a" * 300_000, "aria"))


def test_the_longest_text_may_be_all_digits(engine: EspeakEngine) -> None:
    written = "3" * engine.info.max_text
    engine.open(Segment(say(written, "en").text, "aria"))
