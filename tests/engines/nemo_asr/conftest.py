"""Small random models as `.nemo` files, made once. Without NeMo everything here is skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from nemotron_speech.engines.nemo_asr.engine import NemoAsrEngine

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if HERE in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.timeout(600))  # the first import of NeMo reads gigabytes
        if not find_spec("nemo"):
            item.add_marker(pytest.mark.skip(reason="NeMo is not installed here (scripts/nemo_env)"))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Two spinning OpenMP threads on a busy machine are slower than one."""
    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.engines.nemo_asr.tiny_models import make_tokenizer

    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"), marks=("<EOU>",))


@pytest.fixture(scope="session")
def nemo_file(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A saved model of a kind: rnnt, hybrid or ctc."""
    from nemo.utils import logging

    from tests.engines.nemo_asr.tiny_models import make_model

    logging.setLevel(logging.ERROR)
    folder = tmp_path_factory.mktemp("models")

    def file(kind: str) -> Path:
        path = folder / f"{kind}.nemo"
        if not path.exists():
            make_model(tokenizer, kind).save_to(str(path))
        return path

    return file


@pytest.fixture(scope="session")
def reference(nemo_file: Callable[[str], Path]) -> Callable[[str, int], Any]:
    """A saved model itself, at a look-ahead, loaded apart from any engine."""
    from nemotron_speech.engines.nemo_asr.load import load_model, set_look_ahead

    models: dict[str, Any] = {}

    def get(kind: str, right: int) -> Any:
        if kind not in models:
            models[kind] = load_model(str(nemo_file(kind)), "cpu")
        set_look_ahead(models[kind], right, None)
        return models[kind]

    return get


MakeEngine = Callable[..., NemoAsrEngine]


@pytest.fixture
def make_engine(nemo_file: Callable[[str], Path]) -> Iterator[MakeEngine]:
    """A loaded engine on a saved model of a kind."""
    engines: list[NemoAsrEngine] = []

    def make(kind: str = "rnnt", **options: object) -> NemoAsrEngine:
        engine = NemoAsrEngine(str(nemo_file(kind)), **{"capacity": 8, "device": "cpu", **options})  # type: ignore[arg-type]
        engine.load()
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.unload()
