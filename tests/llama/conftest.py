"""Genuine llama.cpp servers with tiny models, one per session and architecture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.llama.server import running_llama_server, running_responder
from tests.llama.tiny_gguf import Architecture, build


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def llama_server(model_folder: Path) -> Iterator[str]:
    """URL of a llama.cpp server with two slots and the scripted attention model."""
    with running_llama_server(build(model_folder / "llama.gguf")) as url:
        yield url


@pytest.fixture(scope="session", params=["llama", "nemotron_h_moe"])
def either_llama_server(request: pytest.FixtureRequest, model_folder: Path) -> Iterator[str]:
    """The same for both architectures, one after the other."""
    architecture: Architecture = request.param
    with running_llama_server(build(model_folder / f"either-{architecture}.gguf", architecture)) as url:
        yield url


@pytest.fixture(scope="session", params=["llama", "nemotron_h_moe"])
def random_llama_server(request: pytest.FixtureRequest, model_folder: Path) -> Iterator[str]:
    """A model whose answer depends on its whole context: a damaged cache changes what it says."""
    architecture: Architecture = request.param
    model = build(model_folder / f"random-{architecture}.gguf", architecture, kind="random")
    with running_llama_server(model) as url:
        yield url


@pytest.fixture(scope="session")
def responder() -> Iterator[str]:
    """URL of the built-in responder with two slots."""
    with running_responder("--tokens-per-second", "2000") as url:
        yield url


@pytest.fixture(scope="session", params=["llama.cpp", "responder"])
def server(request: pytest.FixtureRequest) -> str:
    """Each server that claims to speak llama.cpp's protocol."""
    return request.getfixturevalue("llama_server" if request.param == "llama.cpp" else "responder")


@pytest.fixture(scope="session")
def slow_llama_server(model_folder: Path) -> Iterator[str]:
    """A model that never ends its answer by itself: something to interrupt."""
    with running_llama_server(build(model_folder / "random.gguf", kind="random")) as url:
        yield url


@pytest.fixture(scope="session")
def slow_responder() -> Iterator[str]:
    with running_responder("--tokens-per-second", "50") as url:
        yield url


@pytest.fixture(scope="session", params=["llama.cpp", "responder"])
def long_server(request: pytest.FixtureRequest) -> str:
    """Each server, taking seconds for an answer to the request for a story."""
    return request.getfixturevalue("slow_llama_server" if request.param == "llama.cpp" else "slow_responder")
