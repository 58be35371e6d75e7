"""`nemotron chat`: typed questions, answers that are written as they come, and spoken if wanted."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from nemotron_speech.cli.options import (
    LlmPort,
    ModelOption,
    RunToExit,
    TtsEngine,
    TtsOption,
    TtsPort,
    TtsVoice,
    Verbose,
    examples,
)
from nemotron_speech.errors import BadRequest

if TYPE_CHECKING:
    from nemotron_speech.audio import Clip
    from nemotron_speech.cli.up import RunOptions, Signals
    from nemotron_speech.client.connections import TtsConnection
    from nemotron_speech.client.typed_chat import TypedChat

TYPED_PROMPT = "You are a helpful assistant. Answer in a few plain sentences."
LONGEST_LINE = 1 << 20
"""Bytes of a typed line."""


def add_to(app: typer.Typer, finish: RunToExit) -> None:
    """Add the command to the command line."""

    @app.command(
        epilog=examples(
            "nemotron chat",
            "nemotron chat --speak --llm ~/models/nemotron.gguf",
            "nemotron chat -o answers.wav < questions.txt",
        )
    )
    def chat(
        speak: Annotated[bool, typer.Option("--speak", help="Speak the answers too.")] = False,
        output: Annotated[
            str | None,
            typer.Option(
                "--output",
                "-o",
                metavar="ANSWERS.wav",
                help="Keep the spoken answers instead of playing them.",
            ),
        ] = None,
        llm: ModelOption = None,
        system: Annotated[str | None, typer.Option(help="The system prompt.")] = None,
        tts_engine: TtsEngine = None,
        tts_voice: TtsVoice = None,
        tts_option: TtsOption = None,
        tts_port: TtsPort = 8001,
        llm_port: LlmPort = 8000,
        verbose: Verbose = False,
    ) -> None:
        """Ask typed questions: one a line, from the keyboard or standard input.

        Ctrl-C stops an answer, Ctrl-D ends. Servers that are not running are started for it.
        """
        from nemotron_speech.cli.model_choice import with_models
        from nemotron_speech.cli.up import RunOptions
        from nemotron_speech.client.turn import SYSTEM_PROMPT
        from nemotron_speech.supervisor.profiles import Ports

        voice = AnswerVoice(speak or output is not None, output)
        wanted = RunOptions(
            model=llm,
            ports=Ports(tts=tts_port, llm=llm_port),
            tts_engine=tts_engine,
            tts_options=tts_option or (),
            elsewhere=("asr",) if voice.is_wanted else ("asr", "tts"),
        )
        prompt = system or (SYSTEM_PROMPT if voice.is_wanted else TYPED_PROMPT)

        def run(out: Console) -> int:
            voice.check()
            questions = TypedLines.of_stdin()
            servers = with_models(out, wanted, tts_voice)
            return asyncio.run(converse(out, voice, servers, prompt, questions, verbose))

        finish(run, stderr=True)


@dataclass(slots=True)
class AnswerVoice:
    """Speech of the answers: none, on the loudspeaker, or gathered for a file."""

    is_wanted: bool = False
    output: str | None = None
    _clips: list[Clip] = field(default_factory=list)

    def check(self) -> None:
        """Raise what stands in the way of speech."""
        from nemotron_speech.cli.talk import STANDARD, player

        if self.output == STANDARD:
            raise BadRequest("standard output has the text; keep the speech in a file: -o answers.wav")
        if self.is_wanted and self.output is None:
            player()

    async def take(self, clip: Clip) -> None:
        """Play an answer to its end, or keep it for the file."""
        from nemotron_speech.cli.talk import play_until_cancelled

        if self.output is None:
            await play_until_cancelled(clip)
        else:
            self._clips.append(clip)

    def write(self) -> None:
        """Write the file, if one is wanted and anything was said. Raises BadRequest."""
        import numpy as np

        from nemotron_speech.audio import Clip
        from nemotron_speech.cli.talk import write_answer

        if self.output is not None and self._clips:
            samples = np.concatenate([clip.samples for clip in self._clips])
            write_answer(self.output, Clip(samples, self._clips[0].sample_rate))


async def converse(
    out: Console,
    voice: AnswerVoice,
    wanted: RunOptions,
    system: str,
    questions: AsyncIterator[str],
    verbose: bool = False,
) -> int:
    """Answer questions until there are no more, or a signal ends it; return the exit code.

    Raises BadRequest, PeerError, Full, EngineError, StartFailed, ConfigurationError.
    """
    from nemotron_speech.cli.up import INTERRUPTED, Interrupted, servers_for
    from nemotron_speech.client.connections import LlmClient
    from nemotron_speech.client.typed_chat import ChatHistory, TypedChat
    from nemotron_speech.supervisor.profiles import HOST

    try:
        async with (
            servers_for("chat", wanted, verbose) as signals,
            LlmClient.open(f"http://{HOST}:{wanted.ports.llm}") as llm,
        ):
            chat = TypedChat(llm, ChatHistory(system, await llm.context_tokens()))
            tts_port = wanted.ports.tts if voice.is_wanted else None
            talk = _Talk(out, signals, chat, voice, tts_port, is_interactive=_is_interactive())
            await talk.run(questions)
    except Interrupted:
        return INTERRUPTED
    finally:
        voice.write()
    return 0


@dataclass(slots=True)
class _Talk:
    """Questions in turn, each with its answer on standard output."""

    out: Console
    signals: Signals
    chat: TypedChat
    voice: AnswerVoice
    tts_port: int | None
    is_interactive: bool
    """True for a person at a terminal: Ctrl-C then stops the answer alone."""

    async def run(self, questions: AsyncIterator[str]) -> None:
        """Answer until there are no more. Raises Interrupted for a signal that ends it."""
        if self.is_interactive:
            self.out.print("[dim]Ctrl-C stops an answer, Ctrl-D ends.[/]")
        while (question := await self._asked(questions)) is not None:
            if question.strip():
                await self._answer(question.strip())

    async def _asked(self, questions: AsyncIterator[str]) -> str | None:
        """Return the next question; None where there is none any more."""
        from nemotron_speech.cli.up import Interrupted

        while True:
            if self.is_interactive:
                _write("You: ")
            try:
                return await self.signals.unless_stopped(_next(questions))
            except Interrupted:
                self._go_on_or_raise()
                _write("\n")

    async def _answer(self, question: str) -> None:
        from nemotron_speech.cli.display import complain
        from nemotron_speech.cli.up import Interrupted

        try:
            await self.signals.unless_stopped(self._answered(question))
        except Interrupted:
            _write("\n")
            self._go_on_or_raise()
        except BadRequest as error:
            if not self.is_interactive:
                raise
            complain(self.out, str(error))

    async def _answered(self, question: str) -> None:
        async with AsyncExitStack() as stack:
            tts = None if self.tts_port is None else await stack.enter_async_context(_voice(self.tts_port))
            clip = await self.chat.answer(question, _write, lambda: _write("\n"), tts)
        _write("\n")
        if clip is not None:
            await self.voice.take(clip)

    def _go_on_or_raise(self) -> None:
        """Go on after a Ctrl-C at the terminal. Raises Interrupted for any other signal."""
        from nemotron_speech.cli.up import Interrupted

        if not self.is_interactive or self.signals.number != signal.SIGINT:
            raise Interrupted
        self.signals.stopped.clear()


def _voice(port: int) -> AbstractAsyncContextManager[TtsConnection]:
    """Open a connection for one answer: one that nobody reads while a person thinks would be lost."""
    from nemotron_speech.client.connections import TtsConnection
    from nemotron_speech.supervisor.profiles import HOST

    return TtsConnection.open(f"ws://{HOST}:{port}")


async def _next(questions: AsyncIterator[str]) -> str | None:
    return await anext(questions, None)


def _is_interactive() -> bool:
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


# ----------------------------------------------------------------------------------- standard input


class TypedLines:
    """Lines read from a file descriptor: a terminal, a pipe or a file.

    No more is read than is asked for. A thread waits for it, so that a wait can be cancelled and
    loses nothing; a thread that still waits ends with the process.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""
        self._arriving: asyncio.Future[bytes] | None = None
        self._is_over = False

    @classmethod
    def of_stdin(cls) -> TypedLines:
        """Return the lines of standard input. Raises BadRequest where it is closed."""
        if sys.stdin is None or sys.stdin.closed:
            raise BadRequest("standard input is closed; type questions, or pipe them in")
        return cls(sys.stdin.fileno())

    def __aiter__(self) -> TypedLines:
        return self

    async def __anext__(self) -> str:
        """Return the next line without its end. Raises BadRequest for one that is too long."""
        while b"\n" not in self._buffer and not self._is_over:
            if len(self._buffer) > LONGEST_LINE:
                raise BadRequest(f"a line has more than {LONGEST_LINE >> 20} MB; ask shorter questions")
            await self._read_on()
        if not self._buffer:
            raise StopAsyncIteration
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace").rstrip("\r")

    async def _read_on(self) -> None:
        if self._arriving is None:
            self._arriving = asyncio.get_running_loop().create_future()
            threading.Thread(target=self._read, args=(self._arriving,), daemon=True).start()
        data = await asyncio.shield(self._arriving)
        self._arriving = None
        self._buffer += data
        self._is_over = not data

    def _read(self, arriving: asyncio.Future[bytes]) -> None:
        try:
            data = os.read(self._descriptor, 1 << 16)
        except OSError:  # the terminal has gone
            data = b""
        with suppress(RuntimeError):  # the loop is over: nobody asks any more
            arriving.get_loop().call_soon_threadsafe(arriving.set_result, data)
