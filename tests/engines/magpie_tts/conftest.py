"""Tiny Magpie checkpoints, made once per session; the tests need NeMo and are skipped without it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import random_magpie as tiny

if TYPE_CHECKING:
    from collections.abc import Callable

    from nemotron_speech.engines.magpie_tts.engine import MagpieEngine


@pytest.fixture(scope="session")
def nemo() -> None:
    pytest.importorskip("nemo.collections.tts.models", reason="NeMo is not installed (scripts/nemo_env)")
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("magpie")


@pytest.fixture(scope="session")
def codec(nemo: None, folder: Path) -> Path:
    return tiny.save_codec(folder / "codec.nemo")


@pytest.fixture(scope="session")
def checkpoint(folder: Path, codec: Path) -> Path:
    return tiny.save_magpie(folder / "magpie.nemo", codec)


@pytest.fixture(scope="session")
def stacked_checkpoint(folder: Path, codec: Path) -> Path:
    return tiny.save_magpie(folder / "magpie2.nemo", codec, stack=2)


@pytest.fixture(scope="session")
def many_tongues(folder: Path, codec: Path) -> Path:
    for package in ("jieba", "pypinyin", "pypinyin_dict"):
        pytest.importorskip(package, reason=f"{package} is not installed (scripts/nemo_env)")
    return tiny.save_magpie(folder / "tongues.nemo", codec, tokenizers=tiny.seven_languages(folder))


@pytest.fixture(scope="session")
def make_engine() -> Callable[..., MagpieEngine]:
    """Load an engine on the CPU."""

    def make(model: Path, **options: Any) -> MagpieEngine:
        from nemotron_speech.engines.magpie_tts.engine import MagpieEngine

        engine = MagpieEngine(str(model), device="cpu", **{"capacity": 8, **options})
        engine.load()
        return engine

    return make


@pytest.fixture(scope="session")
def engine(checkpoint: Path, make_engine: Callable[..., MagpieEngine]) -> MagpieEngine:
    """One frame a step; its seed makes "Hello world, how are you?" 45 frames long."""
    return make_engine(checkpoint, seed=18)


@pytest.fixture(scope="session")
def stacked_engine(stacked_checkpoint: Path, make_engine: Callable[..., MagpieEngine]) -> MagpieEngine:
    """Two frames a step; the same text ends in the middle of a step, after 47 frames."""
    return make_engine(stacked_checkpoint, seed=3)


@pytest.fixture(params=["engine", "stacked_engine"])
def either(request: pytest.FixtureRequest) -> MagpieEngine:
    return request.getfixturevalue(request.param)
