from __future__ import annotations

import sys

import pytest

from pipecat_bots import bot_interleaved_streaming, bot_vllm, process
from pipecat_bots.llm.cache.slots import AlternatingSlots, OwnSlot
from pipecat_bots.pipeline import warm_up
from pipecat_bots.services import chunked_llm
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
    monkeypatch.setenv(variable, "http://elsewhere")
    assert getattr(BotSettings(), variable.lower()) == "http://elsewhere"


@pytest.mark.parametrize(("strategy", "slots"), [("streamed", OwnSlot), ("chunked", AlternatingSlots)])
def test_a_strategy_brings_its_use_of_slots_along(
    strategy: str, slots: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOT_LLM_STRATEGY", strategy)
    assert type(chunked_llm(BotSettings())._model._slots) is slots


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("BOT_SPECULATION", "2", "BOT_SPECULATION: Input should be less than or equal to 1, not '2'"),
        ("BOT_TOOLS", '["weather"]', "'time' or 'units'"),
        ("BOT_TOOLS", "time", "JSON"),
        ("BOT_MCP_SERVERS", '{"odd": {"commando": "x"}}', "MCP server odd"),
        ("BOT_TURN_MODEL", "nowhere.onnx", "there is no file nowhere.onnx"),
        ("BOT_TURN_MODEL", __file__, "is no ONNX model"),
    ],
)
def test_a_bot_with_a_wrong_setting_says_which_and_does_not_start(
    variable: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "argv", ["bot"])
    monkeypatch.setattr(process.log, "set_up", lambda settings: None)  # it would take the test's own log away
    with pytest.raises(SystemExit) as exit:
        process.serve(warm_up)
    assert exit.value.code == 2
    assert any(says in message for message in warnings)


@pytest.mark.parametrize("overlap", [True, False])
def test_both_bots_speak_and_gather_alike(overlap: bool) -> None:
    settings = BotSettings(bot_overlap=overlap)
    one, other = bot_interleaved_streaming.services(settings), bot_vllm.services(settings)
    assert one.tts._options.mode == other.tts._options.mode == ("adaptive" if overlap else "batch")
    assert one.llm._strategy == other.llm._strategy
    assert one.llm._budgets == other.llm._budgets
