"""Every setting through every source: default, `.env`, environment, flags; empty and wrong values."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from unittest import mock

import pytest
from typer.testing import CliRunner

from nemotron_speech import env_file
from nemotron_speech.cli import app as cli
from nemotron_speech.cli import up as commands
from nemotron_speech.cli.settings import CliSettings, ServerAddresses
from nemotron_speech.errors import ConfigurationError
from nemotron_speech.serving import process as launch
from nemotron_speech.settings import AsrSettings, Settings, TtsSettings, YapSettings, read
from pipecat_bots.settings import BotSettings, read_settings

CLASSES: tuple[type[Settings], ...] = (BotSettings, AsrSettings, TtsSettings, YapSettings, CliSettings)
SAMPLES: dict[str, tuple[str, Any]] = {
    "bot_tools": ('["time"]', ["time"]),
    "bot_mcp_servers": ('{"a": {"command": "x"}}', {"a": {"command": "x"}}),
    "voice_names": ('{"alloy": "aria"}', {"alloy": "aria"}),
    "cors_origins": ('["http://localhost:1"]', ["http://localhost:1"]),
    "options": ('{"a": 1}', {"a": 1}),
    "att_ctx": ("70,6", "70,6"),
    "bot_vad_stop_secs": ("0.3", 0.3),
    "bot_playout_lead_secs": ("0.2", 0.2),
    "bot_turn_wait_secs": ("1.5", 1.5),
}
"""Field to a value as it is written, and as it is read; others follow from their type."""


def variable(settings: type[Settings], name: str) -> str:
    alias = settings.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else (settings.model_config.get("env_prefix", "") + name).upper()


def cases() -> Iterator[Any]:
    for settings in CLASSES:
        for name, field in settings.model_fields.items():
            if name not in ("display", "env_file"):
                yield pytest.param(settings, name, *sample(settings, name), id=variable(settings, name))
            assert field.description


def sample(settings: type[Settings], name: str) -> tuple[str, Any]:
    """Return another value than the default: as it is written, and as it is read."""
    if name in SAMPLES:
        return SAMPLES[name]
    default = settings.model_fields[name].get_default(call_default_factory=True, validated_data={})
    kind = plain(settings.model_fields[name].annotation)
    if get_origin(kind) is Literal:
        other = next(value for value in get_args(kind) if value != default)
        return str(other), other
    if kind is bool:
        return str(not default).lower(), not default
    if kind in (int, float):
        value = kind((default or 1) * 0.5) if name == "bot_speculation" else kind((default or 1) + 1)
        return str(value), value
    if kind is Path:
        return "somewhere/else", Path("somewhere/else")
    return ("http://elsewhere:1", "http://elsewhere:1") if name.endswith("url") else ("other", "other")


def plain(annotation: Any) -> Any:
    """Return the type itself of an optional or annotated one."""
    if get_origin(annotation) is Annotated:
        return plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return plain(next(kind for kind in get_args(annotation) if kind is not NoneType))
    return annotation


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to start programs in, and an environment without a setting of ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(env_file, "_CHECKOUT", tmp_path / "no-checkout")
    ours = {variable(settings, name) for settings in CLASSES for name in settings.model_fields}
    with mock.patch.dict(os.environ):
        for name in ours:
            os.environ.pop(name, None)
        os.environ.pop(env_file.VARIABLE, None)
        yield tmp_path


@pytest.mark.parametrize(("settings", "name", "written", "value"), list(cases()))
def test_the_environment_comes_before_the_file_and_that_before_the_default(
    settings: type[Settings], name: str, written: str, value: Any, folder: Path
) -> None:
    default = getattr(read(settings), name)
    (folder / ".env").write_text(f"{variable(settings, name)}='{written}'\n")
    assert getattr(read(settings), name) == value != default
    default_written = "" if default is None else str(default)
    os.environ[variable(settings, name)] = written
    (folder / ".env").write_text(f"{variable(settings, name)}={default_written or 'x'}\n")
    assert getattr(read(settings), name) == value


@pytest.mark.parametrize(("settings", "name", "written", "value"), list(cases()))
@pytest.mark.parametrize("source", ["environment", "file"])
def test_an_empty_variable_is_not_set(
    settings: type[Settings], name: str, written: str, value: Any, source: str, folder: Path
) -> None:
    default = getattr(read(settings), name)
    if source == "environment":
        os.environ[variable(settings, name)] = ""
    else:
        (folder / ".env").write_text(f"{variable(settings, name)}=\n")
    assert getattr(read(settings), name) == default != value


@pytest.mark.parametrize(
    ("settings", "name", "wrong"),
    [
        (BotSettings, "bot_temperature", "hot"),
        (BotSettings, "bot_max_tokens", "many"),
        (BotSettings, "bot_tools", "time"),
        (BotSettings, "nvidia_asr_url", "localhost"),
        (BotSettings, "log_level", "loud"),
        (AsrSettings, "port", "99999"),
        (TtsSettings, "options", "{"),
        (YapSettings, "decoder", "beam"),
    ],
)
@pytest.mark.parametrize("source", ["environment", "file"])
def test_a_wrong_value_is_named_wherever_it_comes_from(
    settings: type[Settings], name: str, wrong: str, source: str, folder: Path
) -> None:
    if source == "environment":
        os.environ[variable(settings, name)] = wrong
    else:
        (folder / ".env").write_text(f"{variable(settings, name)}={wrong}\n")
    with pytest.raises(ConfigurationError, match=f"(?i){variable(settings, name)}|{name}"):
        read(settings)


@pytest.mark.parametrize("level", ["debug", "Debug", "DEBUG"])
def test_a_log_level_is_known_in_any_case(level: str) -> None:
    os.environ["LOG_LEVEL"] = level
    assert read(BotSettings).log_level == "DEBUG"


@pytest.mark.parametrize("name", ["BOT_GREETING", "BOT_TOOL_FILLER", "BOT_BACKCHANNELS", "BOT_STOP_WORDS"])
def test_none_is_nothing_at_all(name: str) -> None:
    os.environ[name] = "none"
    assert getattr(read(BotSettings), name.lower()) == ""


def test_a_line_that_is_no_setting_is_named(folder: Path) -> None:
    (folder / ".env").write_text("BOT_GREETING=Hi\n\nthis is no setting!\n")
    with pytest.raises(ConfigurationError, match=r"\.env, line 3: 'this is no setting!'"):
        read(BotSettings)


def test_another_file_can_be_named_and_one_that_is_not_there_is_refused(folder: Path) -> None:
    (folder / ".env").write_text("BOT_GREETING=first\n")
    (folder / "other").write_text("BOT_GREETING=second\n")
    os.environ[env_file.VARIABLE] = str(folder / "other")
    assert read(BotSettings).bot_greeting == "second"
    os.environ[env_file.VARIABLE] = str(folder / "gone")
    with pytest.raises(ConfigurationError, match="there is no file"):
        read(BotSettings)


def test_the_file_of_a_checkout_is_found_from_everywhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = folder / "checkout"
    checkout.mkdir()
    (checkout / "pyproject.toml").touch()
    (checkout / ".env").write_text("BOT_GREETING=From the checkout.\n")
    monkeypatch.setattr(env_file, "_CHECKOUT", checkout)
    assert read(BotSettings).bot_greeting == "From the checkout."


def test_pipecat_leaves_the_file_to_us(folder: Path) -> None:
    (folder / ".env").write_text("BOT_GREETING=From the file.\n")
    os.environ["BOT_GREETING"] = "From the environment."
    env_file.keep_others_from_loading()
    from dotenv import load_dotenv

    load_dotenv(folder / ".env", override=True)
    assert read(BotSettings).bot_greeting == "From the environment."


@pytest.mark.parametrize("path", ["/proc/nope/m.jsonl", "/dev/null/m.jsonl"])
def test_a_metrics_file_that_cannot_be_written_is_named_at_the_start(path: str) -> None:
    os.environ["METRICS_JSONL"] = path
    with pytest.raises(ConfigurationError, match="METRICS_JSONL"):
        read_settings()


# ------------------------------------------------------------------------------------------- flags


@pytest.mark.parametrize(("settings", "name"), [(AsrSettings, "ASR"), (TtsSettings, "TTS")])
def test_flags_of_a_server_come_before_the_environment(settings: type, name: str) -> None:
    os.environ[f"NEMOTRON_{name}_PORT"] = "1111"
    os.environ[f"NEMOTRON_{name}_HOST"] = "127.0.0.2"
    flagged = launch._with_flags("speech", read(settings), ["--port", "2222"])
    assert (flagged.port, flagged.host) == (2222, "127.0.0.2")


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[commands.RunOptions]:
    """The servers that a command wants to start; none of them is started."""
    seen: list[commands.RunOptions] = []

    async def up(out: object, wanted: commands.RunOptions, report_fd: object) -> int:
        seen.append(wanted)
        return 0

    async def demo(out: object, wanted: commands.RunOptions, elsewhere: Any, *rest: object) -> int:
        seen.append(wanted)
        return 0

    monkeypatch.setattr(commands, "up", up)
    monkeypatch.setattr(commands, "demo", demo)
    return seen


@pytest.mark.parametrize("command", ["up", "demo"])
def test_the_command_obeys_the_variables_of_its_servers(
    command: str, planned: list[commands.RunOptions]
) -> None:
    os.environ |= {"NEMOTRON_ASR_PORT": "1111", "NEMOTRON_TTS_PORT": "2222", "NEMOTRON_TTS_ENGINE": "kokoro"}
    assert CliRunner().invoke(cli.app, [command, "--tts-port", "3333"]).exit_code == 0
    assert (planned[0].ports.asr, planned[0].ports.tts, planned[0].tts_engine) == (1111, 3333, "kokoro")


def test_a_demo_uses_the_language_model_the_environment_names() -> None:
    os.environ["NVIDIA_LLM_URL"] = "http://localhost:11434/v1"
    elsewhere = read(ServerAddresses).used_by(None, ())
    assert (elsewhere.bot, dict(elsewhere.addresses)) == ("vllm", {"llm": "http://localhost:11434/v1"})
    assert elsewhere.notes == ["NVIDIA_LLM_URL=http://localhost:11434/v1 is used for llm"]
    wanted = commands.RunOptions(elsewhere=tuple(elsewhere.addresses))
    assert [spec.name for spec in wanted.servers()] == ["asr", "tts"]


def test_a_flag_comes_before_an_address_and_that_is_said() -> None:
    os.environ |= {"NVIDIA_LLM_URL": "http://localhost:11434/v1", "NVIDIA_TTS_URL": "http://localhost:1"}
    elsewhere = read(ServerAddresses).used_by(None, {"llm", "tts"})
    assert (elsewhere.bot, elsewhere.addresses) == ("interleaved", {})
    assert elsewhere.notes == ["NVIDIA_TTS_URL is set, but a flag for tts comes before it"]


def test_a_bot_of_a_demo_finds_servers_elsewhere_in_its_own_settings() -> None:
    from nemotron_speech.supervisor.profiles import Ports, bot_server

    env = bot_server("vllm", Ports(), elsewhere=("llm",)).env
    assert set(env) == {"NVIDIA_ASR_URL", "NVIDIA_TTS_URL"}


def test_the_bot_is_told_by_flags_of_the_demo(folder: Path) -> None:
    (folder / ".env").write_text("NVIDIA_TTS_URL=http://localhost:18777\n")
    read(BotSettings)
    assert read(ServerAddresses).used_by(None, {"tts"}).addresses == {}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX paths")
def test_every_class_of_settings_ignores_what_is_empty() -> None:
    assert all(settings.model_config.get("env_ignore_empty") for settings in CLASSES)
