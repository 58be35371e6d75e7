"""What every synthesiser promises, kept by those whose models are not here, on random models made for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from nemotron_speech.engines.base import TtsEngine
from nemotron_speech.engines.registry import tts_engine
from tests.contract.test_synthesisers import *  # noqa: F403  its tests, with the engines below


def loaded_engine(name: str, **options: Any) -> TtsEngine:
    engine = tts_engine(name, **options)
    engine.load()
    return engine


def chatterbox(folder: Path) -> TtsEngine:
    from tests.engines.double_chatterbox import installed

    with installed():
        return loaded_engine("chatterbox", device="cpu")


def fastpitch(folder: Path) -> TtsEngine:
    pytest.importorskip("nemo", reason="NeMo is not installed (scripts/nemo_env)")
    import torch

    from tests.engines.tiny_fastpitch import save_fastpitch, save_hifigan

    torch.set_num_threads(1)  # several would wait for each other where cores are busy
    model, vocoder = (
        save_fastpitch(folder / "fastpitch.nemo", speakers=2),
        save_hifigan(folder / "hifigan.nemo"),
    )
    return loaded_engine("fastpitch", fastpitch_model=str(model), hifigan_model=str(vocoder), device="cpu")


def kokoro(folder: Path) -> TtsEngine:
    for package in ("onnx", "onnxruntime", "espeakng_loader"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    from tests.engines.tiny_kokoro import save_kokoro

    model, voices = save_kokoro(folder)
    return loaded_engine("kokoro", model=str(model), voices=str(voices), threads=1)


def magpie(folder: Path) -> TtsEngine:
    pytest.importorskip("nemo.collections.tts.models", reason="NeMo is not installed (scripts/nemo_env)")
    import torch

    from benchmarks.random_magpie import save_codec, save_magpie

    torch.set_num_threads(1)
    model = save_magpie(folder / "magpie.nemo", save_codec(folder / "codec.nemo"))
    return loaded_engine("magpie", model=str(model), device="cpu", seed=18)


def piper(folder: Path) -> TtsEngine:
    pytest.importorskip("piper", reason="piper-tts is not installed")
    pytest.importorskip("onnx", reason="onnx, to make a voice with, is not installed")
    from tests.engines.tiny_piper import save_voice

    return loaded_engine("piper", model=str(save_voice(folder / "tiny.onnx")))


def tacotron2(folder: Path) -> TtsEngine:
    pytest.importorskip("TTS", reason="Coqui TTS is not installed (scripts/nemo_env)")
    import torch

    from tests.engines.tiny_tacotron2 import save_hifigan, save_tacotron2

    torch.set_num_threads(1)
    model, vocoder = save_tacotron2(folder / "tacotron2", stop_after=60), save_hifigan(folder / "hifigan")
    return loaded_engine("tacotron2", tacotron2_model=str(model), hifigan_model=str(vocoder), device="cpu")


MAKERS: dict[str, Callable[[Path], TtsEngine]] = {
    maker.__name__: maker for maker in (chatterbox, fastpitch, kokoro, magpie, piper, tacotron2)
}


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TtsEngine]:
    @cache
    def load(name: str) -> TtsEngine:
        return MAKERS[name](tmp_path_factory.mktemp(name))

    return load


@pytest.fixture(params=MAKERS)
def engine(request: pytest.FixtureRequest, loaded: Callable[[str], TtsEngine]) -> TtsEngine:
    return loaded(request.param)
