"""What a server is told on its command line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from loguru import logger

from nemotron_speech.asr.service import make_engine
from nemotron_speech.errors import ConfigurationError
from nemotron_speech.server import main as asr_main
from nemotron_speech.serving.process import _with_flags
from nemotron_speech.settings import AsrSettings
from nemotron_speech.tts_server import main as tts_main
from nemotron_speech.yap_server import main as yap_main


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("NEMOTRON_ASR_ENGINE", "NEMOTRON_ASR_OPTIONS", "ASR_MODEL", "ASR_ATT_CTX"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def told(*flags: str) -> AsrSettings:
    return _with_flags("recognition", AsrSettings(), list(flags))


def test_a_model_is_one_of_nemo_unless_another_engine_is_named() -> None:
    settings = told("--model", "models/x.nemo", "--right-context", "6")
    assert (settings.engine, settings.options) == ("nemo", {"model": "models/x.nemo", "right_context": 6})
    other = told("--engine", "whisper", "--model", "small")
    assert (other.engine, other.options) == ("whisper", {"model": "small"})
    assert told().engine == "pocketsphinx"


def test_the_engine_of_the_environment_takes_the_model(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("NEMOTRON_ASR_ENGINE", "whisper")
    assert told("--model", "small").engine == "whisper"


def test_a_look_ahead_no_model_has_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as refused:
        told("--right-context", "2")
    assert refused.value.code == 2
    assert "choose from 0, 1, 6, 13" in capsys.readouterr().err


def test_a_look_ahead_on_the_command_line_goes_before_the_environment(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("ASR_ATT_CTX", "70,1")
    engine = make_engine(told("--model", "x.nemo", "--right-context", "6"))
    assert (engine._options.right_context, engine._options.att_ctx) == (6, None)  # type: ignore[attr-defined]
    engine = make_engine(told("--model", "x.nemo"))
    assert engine._options.att_ctx == "70,1"  # type: ignore[attr-defined]


def test_an_option_the_engine_does_not_take_is_refused_with_those_it_does() -> None:
    expected = r"recogniser whisper: .* 'right_context'; its options are: beam_size, .*model"
    with pytest.raises(ConfigurationError, match=expected):
        make_engine(told("--engine", "whisper", "--right-context", "1"))


@pytest.mark.parametrize(
    ("server", "variable"),
    [
        (asr_main, "NEMOTRON_ASR_MAX_BACKLOG_S"),
        (tts_main, "NEMOTRON_TTS_DRAIN_S"),
        (yap_main, "ASR_MAX_BATCH"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_accepts(
    server: Callable[[list[str]], None],
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, "many")
    said: list[str] = []
    sink = logger.add(lambda line: said.append(str(line)), level="ERROR")
    with pytest.raises(SystemExit) as ended:
        server([])
    logger.remove(sink)
    assert ended.value.code == 2
    assert f"{variable}: Input should be a valid" in said[0]
