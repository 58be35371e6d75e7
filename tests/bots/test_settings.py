from __future__ import annotations

import pytest

from pipecat_bots.settings import BotSettings


def test_every_variable_is_described() -> None:
    assert [name for name, field in BotSettings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NVIDIA_ASR_URL", "ws://localhost:8080"),
        ("NVIDIA_TTS_URL", "http://localhost:8001"),
        ("NVIDIA_LLAMA_CPP_URL", "http://localhost:8000"),
        ("NVIDIA_LLM_URL", "http://localhost:8000/v1"),
        ("NVIDIA_LLM_MODEL", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"),
        ("NVIDIA_LLM_API_KEY", "not-needed"),
    ],
)
def test_the_servers_are_where_they_have_always_been(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable, raising=False)
    assert getattr(BotSettings(), variable.lower()) == value
    monkeypatch.setenv(variable, "elsewhere")
    assert getattr(BotSettings(), variable.lower()) == "elsewhere"
