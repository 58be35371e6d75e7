"""`nemotron chat`: typed questions, answers on standard output and in a file."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from nemotron_speech import sound_files
from nemotron_speech.cli import chat as chat_command
from nemotron_speech.cli.app import app
from nemotron_speech.cli.chat import TYPED_PROMPT, AnswerVoice, TypedLines, converse
from nemotron_speech.cli.up import RunOptions
from nemotron_speech.client.connections import LlmClient
from nemotron_speech.errors import BadRequest, PeerError
from nemotron_speech.responder.app import ResponderOptions
from nemotron_speech.supervisor.profiles import Ports
from tests.cli.servers import scripted_servers


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEMOTRON_STATE_DIR", str(tmp_path / "state"))


async def typed(*lines: str) -> AsyncIterator[str]:
    for line in lines:
        yield line


async def chat(questions: AsyncIterator[str], voice: AnswerVoice | None = None) -> int:
    voice = voice or AnswerVoice()
    async with scripted_servers() as servers:
        ports = Ports(tts=int(servers.tts.rpartition(":")[2]), llm=int(servers.llm.rpartition(":")[2]))
        wanted = RunOptions(ports=ports, elsewhere=("asr",) if voice.is_wanted else ("asr", "tts"))
        return await converse(Console(stderr=True), voice, wanted, TYPED_PROMPT, questions)


async def test_each_line_is_answered_and_the_conversation_remembered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert await chat(typed("what is twelve times seven?", "", "what did I say?")) == 0
    sums, memory = capsys.readouterr().out.strip().splitlines()
    assert "84" in sums or "eighty-four" in sums
    assert memory


async def test_the_context_is_asked_for_and_may_be_unknown() -> None:
    async with scripted_servers() as servers:
        async with LlmClient.open(servers.llm) as llm:
            assert await llm.context_tokens() == ResponderOptions().n_ctx
        async with LlmClient.open(servers.asr.replace("ws:", "http:")) as other:
            assert await other.context_tokens() is None
    with pytest.raises(PeerError, match="nothing answers"):
        async with LlmClient.open("http://127.0.0.1:9") as nobody:
            await nobody.context_tokens()


async def test_answers_are_spoken_into_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "answers.wav"
    assert await chat(typed("what is two times two?", "hello"), AnswerVoice(True, str(path))) == 0
    characters = sum(map(len, capsys.readouterr().out.split("\n")))
    assert sound_files.read(path).seconds == pytest.approx(characters * 0.055, rel=0.3)


async def test_ctrl_c_at_a_terminal_stops_the_answer_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chat_command, "_is_interactive", lambda: True)
    write, interrupted = chat_command._write, []

    def interrupt_the_first(text: str) -> None:
        write(text)
        if text.strip() and text != "You: " and not interrupted:
            interrupted.append(text)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(chat_command, "_write", interrupt_the_first)
    assert await chat(typed("tell me a story", "what is two times two?")) == 0
    story, sums = capsys.readouterr().out.split("You: ")[1:3]
    assert len(story) < 200
    assert "four" in sums or "4" in sums


async def test_ctrl_c_ends_what_reads_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless() -> AsyncIterator[str]:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()
        yield ""

    monkeypatch.setattr(chat_command, "_is_interactive", lambda: False)
    assert await chat(endless()) == 130


async def test_lines_come_from_a_pipe_whole_and_survive_a_cancelled_wait() -> None:
    reading, writing = os.pipe()
    lines = TypedLines(reading)
    waiting = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    os.write(writing, "first\r\nsécond\nla".encode())
    assert [await anext(lines), await anext(lines)] == ["first", "sécond"]
    os.write(writing, b"st")
    os.close(writing)
    assert await anext(lines) == "last"
    with pytest.raises(StopAsyncIteration):
        await anext(lines)
    os.close(reading)


async def test_a_line_without_an_end_is_refused() -> None:
    descriptor = os.open("/dev/zero", os.O_RDONLY)
    with pytest.raises(BadRequest, match="1 MB"):
        await anext(TypedLines(descriptor))
    os.close(descriptor)


def test_speech_cannot_share_standard_output_with_the_text() -> None:
    result = CliRunner().invoke(app, ["chat", "-o", "-"])
    assert result.exit_code == 2
    assert "-o answers.wav" in result.stderr
