"""`nemotron say`: a text in, a sound file out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nemotron_speech import sound_files
from nemotron_speech.cli import say as say_command
from nemotron_speech.cli import talk
from nemotron_speech.cli.app import app
from nemotron_speech.errors import ConfigurationError
from tests.cli.servers import servers_in_a_thread

Say = Callable[..., Result]


@pytest.fixture(scope="module")
def port() -> Iterator[list[str]]:
    with servers_in_a_thread() as flags:
        yield flags[2:4]


@pytest.fixture
def say(port: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    monkeypatch.setenv("NEMOTRON_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, input: bytes | None = None) -> Result:
        return CliRunner().invoke(app, ["say", *arguments, *port], input=input)

    return invoke


@pytest.mark.parametrize(
    ("name", "magic"), [("x.wav", b"RIFF"), ("x.flac", b"fLaC"), ("x.ogg", b"OggS"), ("x", b"RIFF")]
)
def test_the_file_s_name_says_its_format(say: Say, tmp_path: Path, name: str, magic: bytes) -> None:
    result = say("Good morning to you.", "-o", name)
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / name).read_bytes().startswith(magic)
    assert sound_files.read(tmp_path / name).seconds == pytest.approx(20 * 0.055, abs=0.2)
    assert f"s of speech in {name}" in result.stdout


def test_a_format_is_asked_for_by_name(say: Say) -> None:
    result = say("Good morning.", "-o", "-", "--format", "flac")
    assert result.exit_code == 0
    assert result.stdout_bytes.startswith(b"fLaC")


def test_a_long_text_is_read_from_standard_input(say: Say, tmp_path: Path) -> None:
    text = "This is a sentence of a chapter. " * 40
    assert say("-", "-o", "x.wav", input=text.encode()).exit_code == 0
    assert sound_files.read(tmp_path / "x.wav").seconds == pytest.approx(len(text) * 0.055, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((" ", "-o", "x.wav"), "no words"),
        (("Hello.", "-o", "x.wav", "--format", "doc"), "allowed: wav"),
        (("Hello.", "-o", "x.wav", "--voice", "nobody"), "nobody"),
        (("Hello.", "-o", "no/x.wav"), "cannot write no/x.wav"),
    ],
)
def test_what_cannot_be_said_is_the_users_mistake(say: Say, arguments: tuple[str, ...], says: str) -> None:
    result = say(*arguments)
    assert result.exit_code == 2, result.stderr
    assert says in " ".join(result.stderr.split())


def test_without_a_file_it_is_played(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[float] = []
    monkeypatch.setattr(talk, "player", lambda: None)
    monkeypatch.setattr(talk, "play", lambda clip: played.append(clip.seconds))
    assert say("Good morning to you.").exit_code == 0
    assert played == [pytest.approx(20 * 0.055, abs=0.2)]


def test_a_machine_without_a_player_is_told_so_before_anything_is_spoken(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise ConfigurationError("cannot play: no library")

    monkeypatch.setattr(talk, "player", missing)
    monkeypatch.setattr(say_command, "say_text", None)
    result = say("Good morning.")
    assert result.exit_code == 2
    assert "cannot play" in result.stderr
