"""Options from the environment that are meant for one engine leave the others alone."""

from __future__ import annotations

import pytest
from loguru import logger

from nemotron_speech.asr.service import make_engine
from nemotron_speech.engine_options import of_engine, own_options
from nemotron_speech.errors import ConfigurationError
from nemotron_speech.serving.process import _with_flags
from nemotron_speech.settings import AsrSettings, TtsSettings
from nemotron_speech.tts_server import make_engine as make_voice

TAKES = {"whisper": {"model", "beam_size"}, "pocketsphinx": {"capacity"}, "nemo": {"model"}}


def of(engine: str, **given: object) -> dict[str, object]:
    return of_engine(engine, given, TAKES.__getitem__, TAKES.keys)  # type: ignore[arg-type, return-value]


def test_an_option_under_an_engine_s_name_is_that_engine_s_alone() -> None:
    given = {"whisper": {"model": "small"}, "capacity": 3}
    assert own_options("whisper", {"whisper": {"model": "small"}, "capacity": 3}) == {
        "model": "small",
        "capacity": 3,
    }
    assert of("pocketsphinx", **given) == {"capacity": 3}


def test_an_engine_s_own_option_goes_before_the_one_for_any() -> None:
    assert of("whisper", model="base", whisper={"model": "small"}) == {"model": "small"}
    assert of("nemo", model="base", whisper={"model": "small"}) == {"model": "base"}


def test_an_option_of_another_engine_is_left_out_with_a_warning() -> None:
    said: list[str] = []
    sink = logger.add(said.append, format="{message}")
    try:
        assert of("pocketsphinx", model="small", capacity=2) == {"capacity": 2}
    finally:
        logger.remove(sink)
    assert "the option model is left out: pocketsphinx does not take it, nemo does" in "".join(said)


def test_an_option_that_no_engine_takes_stays_to_be_refused() -> None:
    assert of("pocketsphinx", modell="small") == {"modell": "small"}


@pytest.fixture
def asr_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("NEMOTRON_ASR_ENGINE", "ASR_MODEL", "ASR_ATT_CTX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NEMOTRON_ASR_OPTIONS", '{"model": "/models/tiny.en", "beam_size": 2}')
    return monkeypatch


def test_options_of_whisper_do_not_break_pocketsphinx(asr_environment: pytest.MonkeyPatch) -> None:
    settings = _with_flags("recognition", AsrSettings(), ["--engine", "pocketsphinx"])
    assert settings.options == {}
    assert make_engine(settings).info.name == "pocketsphinx"


def test_a_flag_goes_before_the_environment(asr_environment: pytest.MonkeyPatch) -> None:
    flags = ["--engine", "whisper", "--model", "mine"]
    settings = _with_flags("recognition", AsrSettings(), flags)
    assert settings.options == {"model": "mine", "beam_size": 2}


def test_an_option_that_is_typed_for_the_wrong_engine_is_still_refused(
    asr_environment: pytest.MonkeyPatch,
) -> None:
    flags = ["--engine", "pocketsphinx", "--option", "beam_size=2"]
    with pytest.raises(ConfigurationError, match="beam_size"):
        make_engine(_with_flags("recognition", AsrSettings(), flags))


def test_a_misspelt_option_of_the_environment_is_still_refused(asr_environment: pytest.MonkeyPatch) -> None:
    asr_environment.setenv("NEMOTRON_ASR_OPTIONS", '{"beamsize": 2}')
    with pytest.raises(ConfigurationError, match="beamsize"):
        make_engine(_with_flags("recognition", AsrSettings(), ["--engine", "pocketsphinx"]))


def test_a_voice_takes_what_is_under_its_engine_s_name(monkeypatch: pytest.MonkeyPatch) -> None:
    options = '{"piper": {"model": "joe"}, "kokoro": {"threads": 2}, "capacity": 5}'
    monkeypatch.setenv("NEMOTRON_TTS_OPTIONS", options)
    assert make_voice(TtsSettings(engine="piper")).info.model == "joe"
    assert make_voice(TtsSettings(engine="kokoro")).info.capacity == 5
    assert own_options("espeak", TtsSettings().options) == {"capacity": 5}
