"""The commands that run servers: `up`, `demo`, `talk`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import webbrowser
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from nemotron_speech.cli.display import View
from nemotron_speech.cli.settings import CliSettings, Elsewhere, ListeningHosts
from nemotron_speech.cli.talk import STANDARD, ask, play, read_question, write_answer
from nemotron_speech.client.turn import SYSTEM_PROMPT
from nemotron_speech.errors import ConfigurationError
from nemotron_speech.invocation import command
from nemotron_speech.settings import RIGHT_CONTEXTS, read
from nemotron_speech.supervisor.health import HealthProbe
from nemotron_speech.supervisor.plan import Plan, plan, running
from nemotron_speech.supervisor.profiles import (
    Ports,
    bot_server,
    profile_named,
    reachable,
    servers,
    with_engines,
)
from nemotron_speech.supervisor.records import RunRecords, keep_last
from nemotron_speech.supervisor.supervisor import ServerSpec, ServerStatus, Supervisor, SupervisorListener

T = TypeVar("T")

INTERRUPTED = 130
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
FROM_ELSEWHERE = (
    "From another machine the page gets a microphone over https only; without it a caller can type."
)
DEFAULT_PROFILE = "embedded"
REPORT_LINE = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Servers that the user asked for."""

    profile: str = DEFAULT_PROFILE
    model: Path | None = None
    ports: Ports = field(default_factory=Ports)
    asr_engine: str | None = None
    tts_engine: str | None = None
    asr_model: str | None = None
    """A name on the hub, or a file."""
    right_context: int | None = None
    """Look-ahead of a NeMo model, in frames of 80 ms."""
    elsewhere: Collection[str] = ()
    """Servers that run at another address and are not started."""
    host: str | None = None
    """Address that the servers listen on; that of their settings if None."""
    asr_options: Sequence[str] = ()
    tts_options: Sequence[str] = ()
    """Options of the engines, NAME=VALUE."""
    bot_env: Mapping[str, str] = field(default_factory=dict)
    """Settings of the bot that suit the language model; the user's own settings stand."""

    def servers(self) -> list[ServerSpec]:
        """Return them. Raises ConfigurationError where this machine lacks something."""
        if self.right_context not in (None, *RIGHT_CONTEXTS):
            allowed = ", ".join(map(str, RIGHT_CONTEXTS))
            raise ConfigurationError(f"--right-context is {self.right_context}; choose one of {allowed}")
        self.ports.check_different()
        profile = with_engines(profile_named(self.profile), self.asr_engine, self.tts_engine)
        return servers(
            profile,
            self.ports,
            self.model,
            asr_arguments=self._asr_arguments(),
            tts_arguments=_options("--option", self.tts_options),
            elsewhere=self.elsewhere,
            hosts=read(ListeningHosts).or_all(self.host),
        )

    @property
    def any_engine(self) -> set[str]:
        """Servers for which nothing was named: whichever runs will do."""
        if self.profile != DEFAULT_PROFILE:
            return set()
        named = {"asr": self.asr_engine, "tts": self.tts_engine, "llm": self.model}
        return {name for name, engine in named.items() if engine is None}

    def arguments(self) -> list[str]:
        """Return the flags of `up` that ask for the same."""
        flags = {
            "--profile": self.profile,
            "--host": self.host,
            "--llm": self.model and self.model.resolve(),
            "--asr-port": self.ports.asr,
            "--tts-port": self.ports.tts,
            "--llm-port": self.ports.llm,
            "--asr-engine": self.asr_engine,
            "--tts-engine": self.tts_engine,
        }
        model = _flags({"--model": self._model(), "--right-context": self.right_context})
        options = [
            *_options("--asr-option", self.asr_options),
            *_options("--tts-option", self.tts_options),
        ]
        return [*_flags(flags), *model, *options]

    def _asr_arguments(self) -> list[str]:
        model = _flags({"--model": self._model(), "--right-context": self.right_context})
        return [*model, *_options("--option", self.asr_options)]

    def _model(self) -> str | None:
        """Return the recogniser's model: the whole path of a file, or a name."""
        path = Path(self.asr_model).expanduser() if self.asr_model else None
        return str(path.resolve()) if path and path.exists() else self.asr_model


def _flags(values: Mapping[str, object]) -> list[str]:
    """Return command-line flags for those that have a value."""
    return [part for flag, value in values.items() if value is not None for part in (flag, str(value))]


def _options(flag: str, options: Sequence[str]) -> list[str]:
    """Return each NAME=VALUE behind its flag. Raises ConfigurationError for another form."""
    if wrong := [option for option in options if "=" not in option]:
        raise ConfigurationError(f"an engine's option is NAME=VALUE, not {wrong[0]!r}")
    return [part for option in options for part in (flag, option)]


class Interrupted(Exception):
    """Request of the user to stop."""


def records() -> RunRecords:
    return RunRecords(CliSettings().state_dir)


# --------------------------------------------------------------------------------------------- up


async def up(out: Console, wanted: RunOptions, report_fd: int | None) -> int:
    """Run the servers in the foreground until a signal. Raises StartFailed, ConfigurationError."""
    specs = wanted.servers()
    to_start = await _plan(specs, reuse=False)
    view = View(out, to_start.start, verbose=report_fd is None, stamped=report_fd is not None)
    listener: SupervisorListener = view if report_fd is None else Reporter(report_fd, view)
    async with (
        Signals() as signals,
        running(to_start, "up", wanted.profile, records(), listener) as supervisor,
    ):
        signals.second = supervisor.hurry
        try:
            await signals.unless_stopped(supervisor.ready())
        except Interrupted:
            return INTERRUPTED
        if isinstance(listener, Reporter):
            listener.all_ready()
        out.print(f"All servers are ready. Ctrl-C, or [bold]{command('down')}[/], stops them.")
        await signals.stopped.wait()
        out.print("Stopping.")
    return 0


class Reporter:
    """Passes what happens on, and tells the shell that detached us until everything is ready."""

    def __init__(self, fd: int, view: View) -> None:
        self._pipe = os.fdopen(fd, "wb", buffering=0)
        self._view = view

    def line(self, name: str, text: str) -> None:
        self._view.line(name, text)

    def changed(self, status: ServerStatus) -> None:
        self._view.changed(status)
        self._tell({"name": status.spec.name, "state": status.state, "reason": status.reason})

    def all_ready(self) -> None:
        self._tell({"ready": True})
        self._pipe.close()

    def _tell(self, message: dict[str, Any]) -> None:
        if self._pipe.closed:
            return
        try:
            self._pipe.write(REPORT_LINE.encode(message) + b"\n")
        except BrokenPipeError:  # the shell that asked has gone; the servers stay
            self._pipe.close()


async def up_detached(out: Console, wanted: RunOptions) -> int:
    """Start `up` in the background; return when its servers are ready. Raises ConfigurationError."""
    await _plan(wanted.servers(), reuse=False)  # wrong ones leave another's log alone
    log = records().log_path("supervisor", wanted.ports.asr)
    log.parent.mkdir(parents=True, exist_ok=True)
    keep_last(log)
    reading, writing = os.pipe()
    child = _detach(wanted.arguments(), writing, log)
    os.close(writing)
    with os.fdopen(reading, "rb") as reports, out.status("starting") as spinner:
        try:
            ready = await asyncio.to_thread(_read_reports, reports, spinner.update)
        except asyncio.CancelledError:
            child.terminate()
            raise
    if ready:
        out.print(f"The servers are ready. See them: {command('status')}; stop them: {command('down')}")
        return 0
    out.print(log.read_text(errors="replace").strip(), markup=False, soft_wrap=True)
    return child.wait() or 1


def _detach(arguments: Sequence[str], report_fd: int, log: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "nemotron_speech.cli",
        "up",
        *arguments,
        "--report-fd",
        str(report_fd),
    ]
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(report_fd,),
            start_new_session=True,
        )


def _read_reports(reports: Any, show: Callable[[str], None]) -> bool:
    """Follow the reports to their end; whether everything got ready."""
    states: dict[str, str] = {}
    for line in reports:
        report = msgspec.json.decode(line)
        if report.get("ready"):
            return True
        states[report["name"]] = report["state"]
        show("   ".join(f"{name}: {state}" for name, state in states.items()))
    return False


# ------------------------------------------------------------------------------------------- demo


async def demo(
    out: Console,
    wanted: RunOptions,
    elsewhere: Elsewhere,
    host: str,
    open_browser: bool,
    verbose: bool,
) -> int:
    """Run servers and bot, show where the page is, until a signal. Raises StartFailed, ConfigurationError.

    Args:
        host: Address that the page is served on; the servers behind it stay where they are.
    """
    for note in elsewhere.notes:
        out.print(f"[dim]{escape(note)}[/]", soft_wrap=True)
    page = bot_server(elsewhere.bot, wanted.ports, elsewhere=elsewhere.addresses, host=host)
    page = replace(page, env={**page.env, **wanted.bot_env})
    to_start = await _plan(wanted.servers(), reuse=True)
    to_start = Plan((*to_start.start, *(await _plan([page], reuse=False)).start), to_start.reuse)
    async with (
        Signals() as signals,
        _started(out, to_start, "demo", wanted.profile, signals, verbose) as supervisor,
    ):
        if supervisor is None:
            return INTERRUPTED
        url = page_url(host, wanted.ports.bot)
        out.print(
            Panel(f"[bold link={url}]{url}[/]\n\nPress Connect and speak.", expand=False, padding=(1, 4))
        )
        if host not in LOOPBACK:
            out.print(f"[dim]{escape(FROM_ELSEWHERE)}[/]", soft_wrap=True)
        out.print(f"Ctrl-C stops it. What the servers say: [bold]{command('logs -f')}[/]")
        if open_browser and has_browser():
            await asyncio.to_thread(webbrowser.open, url)
        await signals.stopped.wait()
        out.print("Stopping.")
    return 0


def page_url(host: str, port: int) -> str:
    """Return where the page is opened on this machine."""
    at = reachable(host)
    return f"http://{'localhost' if at in LOOPBACK else at}:{port}/client"


def has_browser() -> bool:
    """Return True if a page can be opened where the user sees it: from a terminal on a desktop."""
    if not sys.stdout.isatty():
        return False
    return sys.platform in ("darwin", "win32") or bool(CliSettings().display)


# ------------------------------------------------------------------------------------------- talk


@dataclass(frozen=True, slots=True)
class TalkAnswer:
    """Destination of the spoken answer: a file, the loudspeaker, or both."""

    output: str | None = None
    play: bool = False


async def talk(
    out: Console,
    source: str,
    target: TalkAnswer,
    wanted: RunOptions,
    system: str | None,
    verbose: bool,
) -> int:
    """Ask one recorded question. Raises NoSpeech, BadRequest, PeerError, StartFailed, ConfigurationError."""
    question = read_question(source)

    def transcribed(text: str) -> None:
        out.print(f"[bold]You:[/]   {escape(text)}", soft_wrap=True)

    try:
        async with servers_for("talk", wanted, verbose) as signals:
            reply = await signals.unless_stopped(
                ask(question, wanted.ports, system or SYSTEM_PROMPT, transcribed)
            )
    except Interrupted:
        return INTERRUPTED
    if target.output is not None:
        write_answer(target.output, reply.audio)
    out.print(f"[bold]Reply:[/] {escape(reply.text)}", soft_wrap=True)
    out.print(f"[dim]{reply.timings}[/]", soft_wrap=True)
    if target.output not in (None, STANDARD):
        out.print(
            f"[dim]{reply.audio.seconds:.1f} s of speech in {escape(str(target.output))}[/]", soft_wrap=True
        )
    if target.play:
        await asyncio.to_thread(play, reply.audio)
    elif target.output is None:
        out.print("[dim]Keep the answer with -o answer.wav, or hear it with --play.[/]")
    return 0


# ----------------------------------------------------------------------------------------- shared


async def _plan(specs: Sequence[ServerSpec], *, reuse: bool, any_engine: Collection[str] = ()) -> Plan:
    async with HealthProbe.open() as probe:
        return await plan(specs, probe, records(), reuse=reuse, any_engine=any_engine)


@asynccontextmanager
async def servers_for(command: str, wanted: RunOptions, verbose: bool) -> AsyncIterator[Signals]:
    """Have the servers of one command: those that run already, and others for as long as the block lasts.

    Yields the user's signals. Raises Interrupted for one that comes before the servers are ready,
    StartFailed, ConfigurationError.
    """
    to_start = await _plan(wanted.servers(), reuse=True, any_engine=wanted.any_engine)
    progress = Console(stderr=True, highlight=False)
    async with (
        Signals() as signals,
        _started(progress, to_start, command, wanted.profile, signals, verbose) as supervisor,
    ):
        if supervisor is None:
            raise Interrupted
        yield signals


@asynccontextmanager
async def _started(
    out: Console, to_start: Plan, command: str, profile: str, signals: Signals, verbose: bool
) -> AsyncIterator[Supervisor | None]:
    """Run the servers of a plan; None when the user interrupted the start."""
    for spec in to_start.reuse:
        out.print(f"[dim]{spec.name} runs already on port {spec.port}: using it, and leaving it running[/]")
    view = View(out, to_start.start, verbose=verbose)
    async with running(to_start, command, profile, records(), view) as supervisor:
        signals.second = supervisor.hurry
        try:
            with view.starting():
                await signals.unless_stopped(supervisor.ready())
        except Interrupted:
            yield None
            return
        yield supervisor


class Signals:
    """SIGINT, SIGTERM and SIGHUP (unless nohup) ask to stop; the second one calls `second`."""

    def __init__(self) -> None:
        self._numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            self._numbers.append(signal.SIGHUP)
        self.stopped = asyncio.Event()
        self.second: Callable[[], None] = lambda: None
        self.number: int | None = None
        """Signal that came last."""

    async def __aenter__(self) -> Signals:
        for number in self._numbers:
            asyncio.get_running_loop().add_signal_handler(number, self._received, number)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for number in self._numbers:
            asyncio.get_running_loop().remove_signal_handler(number)

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns. Raises Interrupted when a signal comes first."""
        task, stop = asyncio.ensure_future(work), asyncio.ensure_future(self.stopped.wait())
        try:
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Interrupted
            return task.result()
        finally:
            stop.cancel()
            task.cancel()
            await asyncio.wait((task,))

    def _received(self, number: int) -> None:
        self.number = number
        if self.stopped.is_set():
            self.second()
        self.stopped.set()
