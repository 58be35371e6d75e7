"""Whisper and Moonshine engines on tiny random models."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nemotron_speech.engines.moonshine_asr.engine import MoonshineEngine
from nemotron_speech.engines.registry import asr_engine
from nemotron_speech.engines.whisper_asr.engine import WhisperEngine
from tests.engines.moonshine_asr.tiny_moonshine import save_moonshine
from tests.engines.whisper_asr.tiny_whisper import save_whisper


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks the hub fails at once."""

    def refuse(*_: Any) -> None:
        raise OSError("there is no network in these tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def whisper_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_whisper(tmp_path_factory.mktemp("whisper") / "tiny")


MakeWhisper = Callable[..., WhisperEngine]


@pytest.fixture
def make_whisper(whisper_folder: Path, no_network: None) -> Iterator[MakeWhisper]:
    """A loaded engine that reads at fixed steps and takes all that is audible for speech."""
    engines: list[WhisperEngine] = []

    def make(**options: Any) -> WhisperEngine:
        step_s = options.get("step_s", 0.5)
        defaults = {
            "threads": 1,
            "device": "cpu",
            "vad": False,
            "max_step_s": step_s,
            "model": str(whisper_folder),
        }
        engine = asr_engine("whisper", **{**defaults, **options})
        assert isinstance(engine, WhisperEngine)
        engine.load()
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.unload()


@pytest.fixture(scope="session")
def moonshine_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_moonshine(tmp_path_factory.mktemp("moonshine") / "tiny")


MakeMoonshine = Callable[..., MoonshineEngine]


@pytest.fixture
def make_moonshine(moonshine_folder: Path) -> Iterator[MakeMoonshine]:
    """A loaded engine that reads at fixed steps and takes all that is audible for speech."""
    engines: list[MoonshineEngine] = []

    def make(**options: Any) -> MoonshineEngine:
        step_s = options.get("step_s", 0.3)
        defaults = {"threads": 1, "vad": False, "max_step_s": step_s, "model": str(moonshine_folder)}
        engine = asr_engine("moonshine", **{**defaults, **options})
        assert isinstance(engine, MoonshineEngine)
        engine.load()
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.unload()
