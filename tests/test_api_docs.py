"""The examples of docs/api.md and docs/adding-an-engine.md run as they are written."""

from __future__ import annotations

import re
import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nemotron_speech
from nemotron_speech import audio, tts_server
from nemotron_speech.engines import registry
from nemotron_speech.engines.scripted import AsrScript
from tests.cli.servers import scripted_servers, serving

DOCS = Path(__file__).parent.parent / "docs"


def code(page: str, language: str = "python") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    """Return the names that the examples of docs/api.md define."""
    names: dict[str, Any] = {}
    for example in code("api.md"):
        exec(example, names)
    return names


async def test_the_client_examples_work(api: dict[str, Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    clip = audio.Clip((rng.normal(size=22050) * 8000).astype(np.int16), 22050)
    (tmp_path / "a.wav").write_bytes(audio.wav(clip.pcm, clip.sample_rate))
    async with scripted_servers(AsrScript(("hello there",))) as servers:
        assert "hello" in await api["transcribe"](servers.asr, tmp_path / "a.wav")
        rate, pcm = await api["say"](servers.tts, "Hello there.")
        assert rate > 0
        assert pcm
        assert await api["ask"](servers.llm, "What is two plus two?")
        assert await api["why_not"](servers.asr) == "it answers"
    assert "nemotron up" in await api["why_not"]("ws://127.0.0.1:9")


def test_the_servers_are_built_into_an_application(api: dict[str, Any]) -> None:
    asr, tts = api["applications"]()
    paths = {resource.canonical for app in (asr, tts) for resource in app.router.resources()}
    assert {"/", "/ws/tts/stream", "/v1/audio/speech", "/health", "/metrics"} <= paths


def test_every_exported_name_is_there_and_nothing_heavy_comes_with_the_package() -> None:
    for name in nemotron_speech.__all__:
        assert getattr(nemotron_speech, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nemotron_speech.nothing  # noqa: B018


def test_the_table_of_errors_names_every_exported_error() -> None:
    table = (DOCS / "api.md").read_text()
    exported = {name for name in nemotron_speech.__all__ if isinstance(getattr(nemotron_speech, name), type)}
    errors = {n for n in exported if issubclass(getattr(nemotron_speech, n), Exception)}
    assert errors == set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))))


# ------------------------------------------------------------------------------------- an engine


@pytest.fixture
def beeps(monkeypatch: pytest.MonkeyPatch) -> str:
    """Install the example as its distribution would be, and give its name."""
    (example,) = code("adding-an-engine.md")
    (project,) = code("adding-an-engine.md", "toml")
    name, target = re.search(r'tts_engines"\]\n(\w+) = "(.+)"', project).groups()  # type: ignore[union-attr]
    module = types.ModuleType(target.partition(":")[0])
    exec(example, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    point = EntryPoint(name, target, registry.TTS_GROUP)
    known = registry.entry_points

    def with_the_example(**chosen: str) -> Any:
        mine = chosen["group"] == registry.TTS_GROUP and chosen.get("name", name) == name
        return (*known(**chosen), *([point] if mine else []))

    monkeypatch.setattr(registry, "entry_points", with_the_example)
    return name


async def test_the_engine_of_the_guide_is_found_by_its_name_and_talked_through(
    beeps: str, api: dict[str, Any]
) -> None:
    assert beeps in registry.tts_names()
    engine = registry.tts_engine(beeps, volume=0.5)
    async with serving(tts_server.build_app(engine)) as port:
        rate, pcm = await api["say"](f"ws://127.0.0.1:{port}", "abc")
    assert rate == 16000
    assert len(pcm) == 3 * 16000 // 20 * 2
    assert np.abs(np.frombuffer(pcm, np.int16)).max() == pytest.approx(0.5 * 32767, rel=0.01)


def test_an_option_the_engine_of_the_guide_does_not_take_is_refused(beeps: str) -> None:
    with pytest.raises(nemotron_speech.ConfigurationError, match="its options are: volume"):
        registry.tts_engine(beeps, loudness=1)
