"""The Piper engine on tiny voices; needs piper-tts and onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nemotron_speech.engines.base import Segment
from nemotron_speech.engines.piper_tts import PiperEngine
from nemotron_speech.errors import ConfigurationError, EngineError
from tests.engines.speaking import (
    assert_batch_is_the_stream_at_once,
    assert_double_speed_takes_half_the_time,
    assert_named,
    assert_refused,
    pcm,
    sound,
    speak,
)
from tests.engines.tiny_piper import FRAMES, HOP, save_voice

pytest.importorskip("piper", reason="piper-tts is not installed")
pytest.importorskip("onnx", reason="onnx, to make a voice with, is not installed")

TEXT = "Hello world. This is a test, isn't it? It costs five dollars."


def engine_of(path: Path | str, **options: Any) -> PiperEngine:
    engine = PiperEngine(str(path), **options)
    engine.load()
    return engine


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_voice(tmp_path_factory.mktemp("piper") / "tiny.onnx")


@pytest.fixture(scope="module")
def engine(voice: Path) -> PiperEngine:
    return engine_of(voice)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> PiperEngine:
    path = tmp_path_factory.mktemp("piper") / "many.onnx"
    return engine_of(save_voice(path, speakers=3, sample_rate=16000, language="de"))


def test_a_text_is_spoken_sentence_by_sentence(engine: PiperEngine) -> None:
    results = speak(engine, Segment(TEXT, "tiny"))
    assert [bool(result.pcm) for result in results] == [True, True, True, False]
    assert all(len(result.pcm) % (2 * HOP * FRAMES) == 0 for result in results)
    assert np.abs(np.frombuffer(results[0].pcm, "<i2")).max() > 1000


def test_batch_is_the_same_audio_at_once(engine: PiperEngine) -> None:
    assert_batch_is_the_stream_at_once(engine, Segment(TEXT, "tiny"))


@pytest.mark.parametrize("speed", [1.0, 0.5])
def test_a_word_begins_with_its_first_phoneme(engine: PiperEngine, speed: float) -> None:
    text = "Hello world. Best in the sea."
    assert [len(phonemes) for phonemes in engine._voice.phonemize(text)] == [14, 16]
    results = speak(engine, Segment(text, "tiny", speed=speed))
    symbol = HOP * FRAMES / speed / 22.05  # ms; the voice has one of silence behind each phoneme
    second = 2 * 16 - 1  # with the mark at its beginning, and the one at its end
    assert [(word.text, word.start_ms) for word in results[-1].words] == [
        ("Hello", round(2 * symbol)),
        ("world.", round(2 * (1 + len("həlˈoʊ ")) * symbol)),
        ("Best", round((second + 2) * symbol)),
        ("in", round((second + 2 * (1 + len("bˈɛst "))) * symbol)),
        ("the", round((second + 2 * (1 + len("bˈɛst ɪn"))) * symbol)),  # run together with the one before
        ("sea.", round((second + 2 * (1 + len("bˈɛst ɪnðə "))) * symbol)),
    ]
    assert results[-1].words[-1].end_ms == pytest.approx(len(pcm(results)) / 2 / 22.05, abs=1)


def test_a_voice_that_tells_no_lengths_times_no_words(voice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nemotron_speech.engines.piper_tts.find_spec", lambda name: None)
    results = speak(engine_of(voice), Segment(TEXT, "tiny"))
    assert pcm(results)
    assert results[-1].words == ()


def test_double_speed_takes_half_the_time(engine: PiperEngine) -> None:
    assert_double_speed_takes_half_the_time(engine, Segment(TEXT, "tiny"), rel=0.03)


def test_speakers_are_voices_and_rate_and_language_are_the_models(many: PiperEngine) -> None:
    assert many.info.voices == ("s0", "s1", "s2")
    assert many.info.sample_rate == 16000
    assert many.info.languages == ("de",)
    spoken = {pcm(speak(many, Segment("Guten Tag.", voice, language="de"))) for voice in many.info.voices}
    assert len(spoken) == 3


def test_a_cancel_leaves_the_other_sentences_unspoken(
    engine: PiperEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = 0
    genuine = engine._voice.phoneme_ids_to_audio

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal spoken
        spoken += 1
        return genuine(*arguments, **options)

    monkeypatch.setattr(engine._voice, "phoneme_ids_to_audio", counted)
    stream = engine.open(Segment(TEXT, "tiny"))
    engine.step([stream])
    engine.close(stream)
    engine.close(stream)
    assert spoken == 1


def test_segments_take_turns(engine: PiperEngine) -> None:
    segments = [Segment(TEXT, "tiny"), Segment("Another text. It has two sentences.", "tiny")]
    alone = [pcm(speak(engine, segment)) for segment in segments]
    streams, heard = [engine.open(segment) for segment in segments], [b"", b""]
    while any(not stream.done for stream in streams):
        for i, stream in enumerate(streams):
            if not stream.done:
                heard[i] += pcm(sound(engine.step([stream])))
    assert heard == alone


def test_a_sentence_that_fails_ends_its_segment_only(
    engine: PiperEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = engine.open(Segment(TEXT, "tiny"))
    assert sound(engine.step([stream]))
    with monkeypatch.context() as patched:
        patched.setattr(engine._voice, "phoneme_ids_to_audio", lambda *a, **k: 1 / 0)
        (error,) = engine.step([stream])
    assert isinstance(error, EngineError)
    assert pcm(speak(engine, Segment("Hello.", "tiny")))


@pytest.mark.parametrize(
    "text", ["", " ", "…", "[[", "a", "日本語", "x" * 400, "<b>&", "[[ˈhɛ", "\x00\ud800?"]
)
def test_no_text_is_an_error(engine: PiperEngine, text: str) -> None:
    assert speak(engine, Segment(text, "tiny"))[-1].done


def test_brackets_do_not_smuggle_phonemes_in(engine: PiperEngine) -> None:
    assert pcm(speak(engine, Segment("[[aaa]]", "tiny"))) == pcm(speak(engine, Segment(" aaa ", "tiny")))


@pytest.mark.parametrize("wrong", [{"voice": "nobody"}, {"language": "tlh"}, {"speed": 0.1}])
def test_what_the_voice_cannot_do_is_refused(engine: PiperEngine, wrong: dict[str, Any]) -> None:
    assert_refused(engine, Segment(TEXT, "tiny"), wrong)


def test_a_voice_is_found_by_name(voice: Path) -> None:
    assert engine_of("tiny", folder=str(voice.parent), download=False).info.voices == ("tiny",)


def test_a_voice_that_is_nowhere_is_a_configuration_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*arguments: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr("piper.download_voices.urlopen", offline)
    wrong = [
        ({"model": str(tmp_path / "absent.onnx")}, "no file"),
        ({"model": "en_US-nobody-low", "folder": str(tmp_path), "download": False}, "is not in"),
        ({"model": "en_US-nobody-low", "folder": str(tmp_path)}, "cannot be downloaded"),
    ]
    assert_named("piper", {}, wrong)
    assert not list(tmp_path.iterdir())


def test_a_broken_voice_is_a_configuration_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"nothing")
    broken.with_name("broken.onnx.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="no usable"):
        engine_of(broken)
