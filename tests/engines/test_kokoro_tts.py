"""The Kokoro engine on a tiny model; needs onnxruntime, and onnx to make it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nemotron_speech import models
from nemotron_speech.engines.base import Segment, TtsResult
from nemotron_speech.engines.kokoro_tts.engine import KokoroEngine
from nemotron_speech.engines.kokoro_tts.phonemes import LONGEST, TOKENS, KokoroPhonemes, in_parts
from nemotron_speech.engines.shared.espeak_library import espeak_library
from nemotron_speech.errors import EngineError
from tests.engines.speaking import (
    assert_batch_is_the_stream_at_once,
    assert_double_speed_takes_half_the_time,
    assert_named,
    assert_refused,
    pcm,
    sound,
    speak,
)
from tests.engines.tiny_kokoro import HOP, VOICES, save_kokoro

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnx", reason="onnx, to make a model with, is not installed")
pytest.importorskip("espeakng_loader", reason="espeak-ng, for the phonemes, is not installed")

TEXT = "Hello world. This is a test, isn't it? It costs five dollars."


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return save_kokoro(tmp_path_factory.mktemp("kokoro"))


def engine_of(files: tuple[Path, Path], **options: Any) -> KokoroEngine:
    engine = KokoroEngine(str(files[0]), str(files[1]), **options)
    engine.load()
    return engine


@pytest.fixture(scope="module")
def engine(files: tuple[Path, Path]) -> KokoroEngine:
    return engine_of(files, threads=1)


def symbols(result: TtsResult) -> int:
    """How many symbols the tiny model was given, less one before and one after."""
    return len(result.pcm) // (2 * HOP) - 2


@pytest.mark.parametrize(
    ("dialect", "text", "written"),
    [
        ("en-us", "Hello, world!", "həlˈO, wˈɜɹld!"),
        ("en-us", "Joy, cheese: now.", "ʤˈY, ʧˈiz: nˈW."),
        ("en-us", "bird", "bˈɜɹd"),
        ("en-gb", "Go home.", "ɡˌQ hˈQm."),
        ("en-gb", "She said (“no”).", "ʃiː sˈɛd (“nˈQ”)."),
        ("en-us", "", ""),
        ("en-us", "...", "..."),
    ],
)
def test_text_is_written_in_the_alphabet_of_the_model(dialect: str, text: str, written: str) -> None:
    assert KokoroPhonemes(espeak_library(), dialect).write(text) == written


@pytest.mark.parametrize("dialect", ["en-us", "en-gb", "es", "fr", "hi", "it", "pt-br"])
@pytest.mark.parametrize(
    "text", ["Hola, amigo: 3.5 km/h", "今天 hello", "नमस्ते", "\x07 a\tb", "x" * 300, "É Ü ñ"]
)
def test_only_symbols_of_the_model_come_out(dialect: str, text: str) -> None:
    assert set(KokoroPhonemes(espeak_library(), dialect).write(text)) <= set(TOKENS)


def test_the_alphabet_is_the_released_one() -> None:
    assert len(TOKENS) == len(set(TOKENS.values())) == 114
    assert [TOKENS[symbol] for symbol in ";—IOQTWfzæçəɜɪøœɾʧʋɤʎʔːᵻ"] == [
        *(
            1,
            9,
            25,
            31,
            33,
            36,
            39,
            48,
            68,
            72,
            78,
            83,
            87,
            102,
            116,
            120,
            125,
            133,
            136,
            140,
            143,
            148,
            158,
            177,
        )
    ]


@pytest.mark.parametrize("symbols", ["a" * 1200, "abc " * 300, "abc, " * 300, "", " ", "a" * 509 + " b"])
def test_long_texts_are_cut_where_the_model_must_stop(symbols: str) -> None:
    parts = in_parts(symbols)
    assert all(0 < len(part) <= LONGEST for part in parts)
    assert "".join(parts).replace(" ", "") == symbols.replace(" ", "")
    if "," in symbols:
        assert all(part.endswith(",") for part in parts)


def test_a_text_is_spoken_sentence_by_sentence(engine: KokoroEngine) -> None:
    results = speak(engine, Segment(TEXT, "af_heart"))
    phonemes = KokoroPhonemes(espeak_library(), "en-us")
    sentences = ("Hello world.", "This is a test, isn't it?", "It costs five dollars.")
    assert [symbols(result) for result in results] == [len(phonemes.write(text)) for text in sentences]


def test_a_preset_says_how_much_is_spoken_at_once(engine: KokoroEngine) -> None:
    text = "When the rain stopped, all the people in the small town went outside, and they danced."
    sizes = {p: len(speak(engine, Segment(text, "af_heart", preset=p))) for p in engine.info.presets}
    assert sizes == {"aggressive": 3, "balanced": 1, "conservative": 1}


def test_a_text_of_more_symbols_than_the_model_takes_is_spoken_whole(
    engine: KokoroEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nemotron_speech.engines.kokoro_tts.engine.PRESETS", {"balanced": 5000})
    text = "word " * 250
    results = speak(engine, Segment(text, "af_heart"))
    assert len(results) == 3
    assert all(symbols(result) <= LONGEST for result in results)
    phonemes = KokoroPhonemes(espeak_library(), "en-us").write(text)
    assert sum(map(symbols, results)) == len(phonemes) - 2  # the spaces at the two cuts


def test_batch_is_the_same_audio_at_once(engine: KokoroEngine) -> None:
    assert_batch_is_the_stream_at_once(engine, Segment(TEXT, "af_heart"))


def test_words_are_timed_where_the_model_tells_how_long_its_symbols_are(
    engine: KokoroEngine, tmp_path: Path
) -> None:
    timed = engine_of(save_kokoro(tmp_path, timed=True), threads=1)
    phonemes = KokoroPhonemes(espeak_library(), "en-us")
    results = speak(timed, Segment("Hello, world. A test.", "af_heart"))
    ms = 1000 * HOP // 24000
    hello, world = phonemes.write("Hello, world.").split()
    second = 2 + len(f"{hello} {world}")
    assert [(word.text, word.start_ms) for word in results[-1].words] == [
        ("Hello,", ms),
        ("world.", ms * (1 + len(hello) + 1)),
        ("A", ms * (second + 1)),
        ("test.", ms * (second + 1 + phonemes.write("A test.").index(" ") + 1)),
    ]
    assert results[-1].words[-1].end_ms == len(pcm(results)) // 2 * 1000 // 24000
    assert speak(engine, Segment("Hello, world.", "af_heart"))[-1].words == ()


def test_the_table_of_one_voice_is_a_voice_of_its_file_s_name(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    with np.load(files[1]) as archive:
        table = archive["af_heart"]
    table.tofile(tmp_path / "af_heart.bin")
    alone = KokoroEngine(model=str(files[0]), voices=str(tmp_path / "af_heart.bin"))
    alone.load()
    assert alone.info.voices == ("af_heart",)
    both = KokoroEngine(model=str(files[0]), voices=str(files[1]))
    both.load()
    said = [pcm(speak(engine, Segment("A bath.", "af_heart"))) for engine in (alone, both)]
    assert said[0] == said[1]


def test_without_its_usual_files_the_catalogue_s_model_is_used(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(models, "present", lambda role: [models.entry_named("kokoro-heart")])
    paths = {"model": str(files[0]), "voices": str(files[1])}
    monkeypatch.setattr(models, "options", lambda name, engine: paths)
    engine = KokoroEngine()
    engine.load()
    assert engine.info.voices == VOICES


def test_voices_are_those_of_the_file_and_so_are_the_languages(engine: KokoroEngine) -> None:
    assert engine.info.voices == VOICES
    assert engine.info.languages == ("en", "es")
    assert engine.info.sample_rate == 24000
    spoken = {pcm(speak(engine, Segment("A bath.", voice))) for voice in VOICES}
    assert len(spoken) == len(VOICES)


def test_a_voice_speaks_its_own_dialect_and_others_the_usual_one(engine: KokoroEngine) -> None:
    def spoken(voice: str, language: str = "en") -> str:
        return "".join(part.symbols for part in engine.open(Segment("go", voice, language)).pieces)

    assert (spoken("af_heart"), spoken("bf_emma"), spoken("jf_alpha")) == ("ɡˈO", "ɡˈQ", "ɡˈO")
    assert spoken("af_heart", "es") == spoken("ef_dora", "es") == "ɡˈo"


def test_the_style_is_that_of_the_number_of_symbols(
    engine: KokoroEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[dict[str, Any]] = []
    genuine = engine._session

    class Recorder:
        def run(self, outputs: None, feed: dict[str, Any]) -> Any:
            fed.append(feed)
            return genuine.run(outputs, feed)

    monkeypatch.setattr(engine, "_session", Recorder())
    speak(engine, Segment("Hi.", "am_adam", speed=1.25))
    (feed,) = fed
    tokens = feed["tokens"][0]
    assert (tokens[0], tokens[-1], len(tokens)) == (0, 0, 2 + len("hˈI."))
    assert np.array_equal(feed["style"], engine._styles["am_adam"][len("hˈI.") - 1])
    assert feed["speed"].tolist() == [1.25]


def test_double_speed_takes_half_the_time(engine: KokoroEngine) -> None:
    assert_double_speed_takes_half_the_time(engine, Segment(TEXT, "af_heart"), rel=0.05)


def test_other_exports_are_understood(tmp_path: Path) -> None:
    engine = engine_of(save_kokoro(tmp_path, tokens="input_ids", whole_speeds=True))
    assert pcm(speak(engine, Segment("Hello.", "af_heart")))


def test_a_cancel_leaves_the_other_sentences_unspoken(
    engine: KokoroEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = engine.open(Segment(TEXT, "af_heart"))
    engine.step([stream])
    engine.close(stream)
    engine.close(stream)
    monkeypatch.setattr(engine, "_run", lambda *a: pytest.fail("spoken"))
    assert engine.step([stream]) == [TtsResult(b"", done=True)]


def test_a_piece_that_fails_ends_its_segment_only(
    engine: KokoroEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = engine.open(Segment(TEXT, "af_heart")), engine.open(Segment("Hello.", "am_adam"))
    sound(engine.step([bad]))
    genuine = engine._run
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_run", lambda t, s: 1 / 0 if s is bad.segment else genuine(t, s))
        error, result = engine.step([bad, good])
    assert isinstance(error, EngineError)
    assert pcm(sound([result])) == pcm(speak(engine, Segment("Hello.", "am_adam")))
    assert engine.step([bad]) == [TtsResult(b"", done=True)]


@pytest.mark.parametrize(
    "wrong", [{"voice": "nobody"}, {"language": "zh"}, {"speed": 3.0}, {"preset": "mad"}]
)
def test_what_the_model_cannot_do_is_refused(engine: KokoroEngine, wrong: dict[str, Any]) -> None:
    assert_refused(engine, Segment(TEXT, "af_heart"), wrong)


def test_wrong_settings_are_named_with_what_to_type(files: tuple[Path, Path], tmp_path: Path) -> None:
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"nothing")
    empty = tmp_path / "empty.bin"
    with empty.open("wb") as file:
        np.savez(file)
    usual = {"model": str(files[0]), "voices": str(files[1])}
    wrong = [
        ({"model": "absent.onnx"}, r"model: there is no file absent\.onnx(.|\n)*curl -LO https://"),
        ({"voices": "absent.bin"}, r"voices: there is no file absent\.bin(.|\n)*options model and voices"),
        ({"model": str(garbage)}, "model: .* is no usable ONNX model"),
        ({"voices": str(garbage)}, "voices: .* is no archive of voices"),
        ({"voices": str(empty)}, "voices: .* holds no voices"),
        ({"cuda": True}, "cuda: this onnxruntime knows no GPU"),
        ({"capacity": 0}, "capacity: 0"),
    ]
    assert_named("kokoro", usual, wrong)
