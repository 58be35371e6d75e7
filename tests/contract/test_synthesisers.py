"""What every synthesiser promises a server."""

from __future__ import annotations

import re

import numpy as np
import pytest

from nemotron_speech.engines.base import Segment, SynthesisMode, TtsEngine, TtsResult, TtsStream, Word
from nemotron_speech.engines.registry import tts_names
from nemotron_speech.errors import BadRequest
from tests.contract.engines import synthesiser

TEXT = "The weather is fine today, and it will be fine tomorrow."
OTHER = "A second caller wants something else."
MAX_STEPS = 20_000


@pytest.fixture(params=tts_names())
def engine(request: pytest.FixtureRequest) -> TtsEngine:
    return synthesiser(request.param)


def segment(engine: TtsEngine, text: str = TEXT, mode: str = "stream", speed: float = 1.0) -> Segment:
    return Segment(text, engine.info.voices[0], "en", SynthesisMode(mode), speed=speed)


def step(engine: TtsEngine, streams: list[TtsStream]) -> list[TtsResult]:
    results = list(engine.step(streams))
    assert len(results) == len(streams)
    for result in results:
        assert isinstance(result, TtsResult), result
        assert len(result.pcm) % 2 == 0
    return [result for result in results if isinstance(result, TtsResult)]


def speak(engine: TtsEngine, wanted: Segment) -> tuple[bytes, tuple[Word, ...], int]:
    """Speak one segment alone; return its audio, its words and how many steps gave audio."""
    stream, pieces = engine.open(wanted), []
    for _ in range(MAX_STEPS):
        (result,) = step(engine, [stream])
        if result.pcm:
            pieces.append(result.pcm)
        if result.done:
            engine.close(stream)
            return b"".join(pieces), result.words, len(pieces)
    raise AssertionError("the segment never ends")


def seconds(engine: TtsEngine, pcm: bytes) -> float:
    return len(pcm) / 2 / engine.info.sample_rate


def assert_sounds_alike(engine: TtsEngine, one: bytes, other: bytes) -> None:
    """Equal, or as near as a synthesiser gets whose noise and phase differ each time.

    espeak-ng leaves out the faint last 60 ms of one text in twenty.
    """
    if one == other:
        return
    assert seconds(engine, one) == pytest.approx(seconds(engine, other), abs=0.07)
    loudness = [envelope(engine, pcm) for pcm in (one, other)]
    count = min(map(len, loudness))
    assert np.corrcoef(loudness[0][:count], loudness[1][:count])[0, 1] > 0.98


def envelope(engine: TtsEngine, pcm: bytes) -> np.ndarray:
    """RMS of each 10 ms."""
    frame = engine.info.sample_rate // 100
    samples = np.frombuffer(pcm, "<i2").astype(float)
    return np.sqrt((samples[: len(samples) // frame * frame].reshape(-1, frame) ** 2).mean(axis=1))


def test_it_says_what_it_is(engine: TtsEngine) -> None:
    info = engine.info
    assert info.name in tts_names()
    assert info.model
    assert 8000 <= info.sample_rate <= 48000
    assert info.voices
    assert info.presets
    assert info.capacity >= 1
    assert info.max_batch >= 1
    assert info.max_text >= 1000


def test_the_first_language_is_the_default_and_english_where_it_is_spoken(engine: TtsEngine) -> None:
    languages = engine.info.languages
    assert languages[0] == "en" or "en" not in languages


def test_speech_is_audible_and_not_clipped(engine: TtsEngine) -> None:
    pcm, _, _ = speak(engine, segment(engine))
    samples = np.frombuffer(pcm, "<i2").astype(float)
    assert 1.0 < seconds(engine, pcm) < 15.0
    assert 300 < np.sqrt(np.mean(samples**2)) < 20_000
    assert np.mean(np.abs(samples) >= 32_767) < 0.001


def test_in_stream_mode_audio_comes_in_steps(engine: TtsEngine) -> None:
    _, _, pieces = speak(engine, segment(engine, f"{TEXT} {OTHER} {TEXT}"))
    assert pieces >= 3, "a step holds more than a sentence"


def test_in_batch_mode_the_same_audio_comes_at_once(engine: TtsEngine) -> None:
    streamed, _, _ = speak(engine, segment(engine))
    whole, _, pieces = speak(engine, segment(engine, mode="batch"))
    assert pieces == 1
    assert_sounds_alike(engine, whole, streamed)


def test_segments_stepped_together_sound_as_each_alone(engine: TtsEngine) -> None:
    wanted = [segment(engine), segment(engine, OTHER), segment(engine, OTHER, "batch")]
    alone = [speak(engine, one)[0] for one in wanted]
    streams = [engine.open(one) for one in wanted]
    heard = [b""] * len(wanted)
    left = list(range(len(wanted)))
    for _ in range(MAX_STEPS):
        for index, result in zip(left, step(engine, [streams[i] for i in left]), strict=True):
            heard[index] += result.pcm
            if result.done:
                left = [i for i in left if i != index]
        if not left:
            break
    for stream in streams:
        engine.close(stream)
    for together, apart in zip(heard, alone, strict=True):
        assert_sounds_alike(engine, together, apart)


def test_a_segment_closed_half_way_leaves_the_others_whole(engine: TtsEngine) -> None:
    alone, _, _ = speak(engine, segment(engine, OTHER))
    cancelled, kept = engine.open(segment(engine)), engine.open(segment(engine, OTHER))
    heard = step(engine, [cancelled, kept])[1]
    engine.close(cancelled)
    pcm, done = heard.pcm, heard.done
    while not done:
        (result,) = step(engine, [kept])
        pcm, done = pcm + result.pcm, result.done
    engine.close(kept)
    assert_sounds_alike(engine, pcm, alone)


def test_closing_twice_and_closing_what_never_began_is_harmless(engine: TtsEngine) -> None:
    stream = engine.open(segment(engine))
    engine.close(stream)
    engine.close(stream)
    assert speak(engine, segment(engine))[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "...",
        "🙂🙂",
        "?!",
        "\x00\x07",
        "a" * 900,
        "word " * 180,
        "今天天气很好。",
        "é" * 50,
        "$3.50 1,000 10:30",
    ],
    ids=lambda text: repr(text[:6]),
)
def test_every_text_comes_to_an_end(engine: TtsEngine, text: str) -> None:
    speak(engine, segment(engine, text))


@pytest.mark.parametrize("text", ["", "  \n "])
def test_nothing_to_say_is_silence(engine: TtsEngine, text: str) -> None:
    assert speak(engine, segment(engine, text))[0] == b""


def test_words_are_in_order_and_within_the_audio(engine: TtsEngine) -> None:
    pcm, words, _ = speak(engine, segment(engine))
    if not words:
        pytest.skip("this engine knows no word times")
    assert [word.text.strip(".,").lower() for word in words] == re.findall(r"\w+", TEXT.lower())
    starts = [word.start_ms for word in words]
    assert starts == sorted(starts)
    assert all(word.start_ms <= word.end_ms for word in words)
    assert words[0].start_ms >= 0
    assert words[-1].end_ms <= seconds(engine, pcm) * 1000 + 60


@pytest.mark.parametrize("beyond", [0.5, 2.0])
def test_a_speed_it_has_not_is_refused_with_those_it_has(engine: TtsEngine, beyond: float) -> None:
    slowest, fastest = engine.info.speeds
    assert slowest <= 1.0 <= fastest
    speed = slowest * beyond if beyond < 1 else fastest * beyond
    with pytest.raises(BadRequest, match=rf"speed {speed:g}; allowed: {slowest:g}"):
        engine.open(segment(engine, speed=speed))


def test_what_learns_voices_says_from_how_much(engine: TtsEngine) -> None:
    limits = engine.info.cloning
    assert (limits is not None) == all(hasattr(engine, name) for name in ("clone", "forget"))
    assert limits is None or (0 < limits.min_s < limits.max_s <= 60 and limits.voices >= 1)


def test_faster_speech_is_shorter(engine: TtsEngine) -> None:
    if engine.info.speeds[1] < 1.5:
        pytest.skip("this engine has one speed")
    slow, fast = speak(engine, segment(engine))[0], speak(engine, segment(engine, speed=1.5))[0]
    assert len(fast) < len(slow) * 0.85


def test_every_voice_speaks(engine: TtsEngine) -> None:
    for voice in engine.info.voices:
        assert speak(engine, Segment("Good day.", voice))[0]


@pytest.mark.parametrize(("voice", "language"), [("nobody", "en"), (None, "tlh-x")])
def test_what_it_cannot_speak_is_refused_by_name(engine: TtsEngine, voice: str | None, language: str) -> None:
    wrong = voice or language
    with pytest.raises(BadRequest, match=wrong):
        engine.open(Segment(TEXT, voice or engine.info.voices[0], language))
    assert speak(engine, segment(engine))[0], "the next request works"
