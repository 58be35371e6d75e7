"""The Chatterbox engine over a double of its package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nemotron_speech.audio import Clip, to_int16, wav
from nemotron_speech.engines.base import Segment, TtsResult
from nemotron_speech.engines.chatterbox_tts import ChatterboxEngine
from nemotron_speech.errors import BadRequest, ConfigurationError, EngineError
from tests.engines import double_chatterbox as double
from tests.engines.speaking import (
    assert_batch_is_the_stream_at_once,
    assert_named,
    assert_refused,
    pcm,
    sound,
    speak,
)

TEXT = "Hello world. This is a test, is it not? It costs five dollars."


@pytest.fixture(autouse=True)
def _package() -> Iterator[None]:
    with double.installed():
        yield


def engine_of(**options: Any) -> ChatterboxEngine:
    engine = ChatterboxEngine(**{"device": "cpu", **options})
    engine.load()
    return engine


@pytest.fixture
def engine() -> ChatterboxEngine:
    return engine_of()


def tone(hz: float, seconds: float = 6.0, rate: int = 16000, loudness: float = 0.3) -> Clip:
    t = np.arange(int(seconds * rate)) / rate
    return Clip(to_int16(loudness * np.sin(2 * np.pi * hz * t)), rate)


def pitch(engine: ChatterboxEngine, voice: str) -> float:
    samples = np.frombuffer(pcm(speak(engine, Segment("How do I sound?", voice))), "<i2")
    return float(np.abs(np.fft.rfft(samples)).argmax() * engine.info.sample_rate / len(samples))


def test_a_text_is_spoken_piece_by_piece_at_the_models_rate(
    engine: ChatterboxEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = speak(engine, Segment(TEXT, "default"))
    assert [text for text, _ in engine._model.spoken] == [
        "Hello world.",
        "This is a test, is it not?",
        "It costs five dollars.",
    ]
    assert all(result.pcm for result in results)
    monkeypatch.setattr(double.Model, "sr", 16000)
    assert engine_of().info.sample_rate == 16000


def test_batch_is_the_same_audio_at_once(engine: ChatterboxEngine) -> None:
    assert_batch_is_the_stream_at_once(engine, Segment(TEXT, "default"))


@pytest.mark.parametrize("variant", ["turbo", "base", "multilingual"])
def test_a_cloned_voice_sounds_like_its_clip_and_leaves_the_others_alone(variant: str) -> None:
    engine = engine_of(variant=variant)
    engine.clone("low", tone(130))
    engine.clone("high", tone(400, rate=44100))
    assert engine.info.voices == ("default", "low", "high")
    for voice, hz in (("low", 130), ("high", 400), ("default", double.BUILT_IN_HZ), ("low", 130)):
        assert pitch(engine, voice) == pytest.approx(hz, abs=2)


def test_voices_learnt_while_a_segment_is_spoken_do_not_change_it(engine: ChatterboxEngine) -> None:
    alone = pcm(speak(engine, Segment(TEXT, "default")))
    stream = engine.open(Segment(TEXT, "default"))
    heard = pcm(sound(engine.step([stream])))
    engine.clone("other", tone(500))
    while stream.pieces:
        heard += pcm(sound(engine.step([stream])))
    assert heard == alone


def test_a_forgotten_voice_is_refused_and_what_it_is_saying_goes_on(engine: ChatterboxEngine) -> None:
    engine.clone("guest", tone(300))
    stream = engine.open(Segment(TEXT, "guest"))
    engine.forget("guest")
    assert engine.info.voices == ("default",)
    assert pcm(sound(engine.step([stream])))
    with pytest.raises(BadRequest, match="unknown voice 'guest'"):
        engine.open(Segment(TEXT, "guest"))
    engine.clone("guest", tone(350))
    assert pitch(engine, "guest") == pytest.approx(350, abs=2)


@pytest.mark.parametrize(
    ("name", "clip", "reason"),
    [
        ("short", tone(200, seconds=5.0), r"5\.0 s long; a voice is learnt from 5\.1 to 30 s"),
        ("long", tone(200, seconds=31.0), r"31\.0 s long"),
        ("silent", tone(200, loudness=0.0), "silent"),
        ("default", tone(200), "there is a voice 'default' already"),
    ],
)
def test_a_clip_that_cannot_be_used_is_refused_with_the_reason(
    engine: ChatterboxEngine, name: str, clip: Clip, reason: str
) -> None:
    with pytest.raises(BadRequest, match=reason):
        engine.clone(name, clip)
    assert engine.info.voices == ("default",)
    assert pitch(engine, "default") == pytest.approx(double.BUILT_IN_HZ, abs=2)


def test_one_voice_too_many_is_refused_until_one_is_forgotten() -> None:
    engine = engine_of(max_clones=1)
    engine.clone("first", tone(200))
    with pytest.raises(BadRequest, match="1 voices have been learnt"):
        engine.clone("second", tone(300))
    engine.forget("first")
    engine.clone("second", tone(300))
    assert engine.info.voices == ("default", "second")


def test_only_cloned_voices_can_be_forgotten(engine: ChatterboxEngine) -> None:
    for name in ("default", "nobody"):
        with pytest.raises(BadRequest, match=f"unknown cloned voice '{name}'"):
            engine.forget(name)


def test_an_engine_told_to_learn_none_says_so() -> None:
    engine = engine_of(max_clones=0)
    assert engine.info.cloning is None
    with pytest.raises(BadRequest, match="learns no voices"):
        engine.clone("guest", tone(200))


def test_a_model_that_fails_to_learn_keeps_its_voices(
    engine: ChatterboxEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(engine._model, "prepare_conditionals", lambda path: 1 / 0)
        with pytest.raises(EngineError, match="could not learn"):
            engine.clone("guest", tone(200))
    assert engine.info.voices == ("default",)
    assert pitch(engine, "default") == pytest.approx(double.BUILT_IN_HZ, abs=2)


def test_clips_named_in_the_settings_are_voices_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "anna.wav"
    clip = tone(260)
    path.write_bytes(wav(clip.pcm, clip.sample_rate))
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    engine = engine_of(folder=str(checkpoint), voices={"anna": str(path)})
    assert engine.info.voices == ("anna",)
    assert pitch(engine, "anna") == pytest.approx(260, abs=2)
    with pytest.raises(BadRequest, match="unknown cloned voice"):
        engine.forget("anna")


def test_each_language_reaches_the_multilingual_model() -> None:
    engine = engine_of(variant="multilingual")
    assert engine.info.languages == ("en", "de", "zh")
    speak(engine, Segment("Guten Tag.", "default", language="de"))
    assert engine._model.spoken == [("Guten Tag.", {"language_id": "de"})]


def test_a_cancel_leaves_the_other_pieces_unspoken(engine: ChatterboxEngine) -> None:
    stream = engine.open(Segment(TEXT, "default"))
    engine.step([stream])
    engine.close(stream)
    engine.close(stream)
    assert engine.step([stream]) == [TtsResult(b"", done=True)]
    assert len(engine._model.spoken) == 1


def test_a_piece_that_fails_ends_its_segment_only(
    engine: ChatterboxEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = engine.open(Segment("Bad. Bad.", "default")), engine.open(Segment("Good.", "default"))
    genuine = engine._model.generate
    with monkeypatch.context() as patch:
        patch.setattr(engine._model, "generate", lambda text: 1 / 0 if "Bad" in text else genuine(text))
        error, result = engine.step([bad, good])
    assert isinstance(error, EngineError)
    assert pcm(sound([result])) == pcm(speak(engine, Segment("Good.", "default")))
    assert engine.step([bad]) == [TtsResult(b"", done=True)]


@pytest.mark.parametrize("wrong", [{"voice": "nobody"}, {"language": "de"}, {"speed": 1.5}])
def test_what_the_model_cannot_do_is_refused(engine: ChatterboxEngine, wrong: dict[str, Any]) -> None:
    assert_refused(engine, Segment(TEXT, "default"), wrong)


def test_wrong_settings_are_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "short.wav"
    clip.write_bytes(wav(tone(200, seconds=1.0).pcm, 16000))

    def offline(device: str) -> None:
        raise OSError("no network")

    monkeypatch.setattr(double.Model, "from_pretrained", offline)
    wrong = [
        ({}, "no network; without network, give the checkpoint's folder"),
        ({"folder": str(tmp_path / "absent")}, "cannot be loaded: No such file"),
        ({"folder": str(tmp_path)}, "no voice of its own; give a clip"),
        ({"folder": str(tmp_path), "voices": {"anna": str(clip)}}, r"anna cannot be learnt .* 1\.0 s long"),
        ({"folder": str(tmp_path), "voices": {"anna": "absent.wav"}}, "anna cannot be learnt from absent"),
        ({"variant": "large"}, "variant: 'large'; allowed: turbo, base, multilingual"),
        ({"capacity": 0}, "capacity: 0"),
    ]
    assert_named("chatterbox", {"device": "cpu"}, wrong)


def test_without_the_package_the_way_to_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chatterbox.tts_turbo", None)
    with pytest.raises(ConfigurationError, match="run scripts/chatterbox_env"):
        engine_of()
