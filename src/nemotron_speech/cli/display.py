"""Terminal output of `up`, `demo` and `talk`: spinners, log lines, errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from nemotron_speech.supervisor.supervisor import ServerSpec, ServerState, ServerStatus

COLOURS = {"asr": "cyan", "tts": "magenta", "llm": "green", "bot": "yellow"}
STATE_STYLES = {
    ServerState.READY: "green",
    ServerState.STARTING: "yellow",
    ServerState.RESTARTING: "yellow",
    ServerState.CRASH_LOOP: "bold red",
    ServerState.FAILED: "bold red",
}
NOTEWORTHY = (ServerState.RESTARTING, ServerState.CRASH_LOOP, ServerState.FAILED)


def prefix(name: str) -> Text:
    return Text(f"{name:>3} │ ", style=COLOURS.get(name, "blue"))


def log_line(name: str, text: str) -> Text:
    """Return a server's line behind its name; the server's own colours are kept."""
    return prefix(name).append_text(Text.from_ansi(text))


class View:
    """Follows servers: a spinner each while they start, then their lines or only their troubles.

    Args:
        verbose: Show every line the servers write, not only what the supervisor does.
        stamped: Begin every line with its time, for a log.
    """

    def __init__(
        self, console: Console, specs: Sequence[ServerSpec], *, verbose: bool, stamped: bool = False
    ) -> None:
        self._console = console
        self._verbose = verbose
        self._stamped = stamped
        self._statuses = {spec.name: ServerStatus(spec) for spec in specs}
        self._spinners = {spec.name: Spinner("dots", style="yellow") for spec in specs}
        self._live: Live | None = None

    def line(self, name: str, text: str) -> None:
        if self._verbose:
            self._console.print(log_line(name, text), soft_wrap=True)

    def changed(self, status: ServerStatus) -> None:
        name, before = status.spec.name, self._statuses[status.spec.name].state
        self._statuses[name] = status
        if self._live is not None:
            self._live.update(self._progress())
        elif status.state is ServerState.READY and before is not ServerState.READY:
            self._say(status, f"ready on port {status.spec.port}")
        if status.state in NOTEWORTHY and before is not status.state:
            self._say(status, f"{status.state}: {status.reason}")

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Show a spinner per server until they are ready; one line each where there is no terminal."""
        if not self._console.is_terminal or not self._statuses:
            yield
            return
        with Live(self._progress(), console=self._console, refresh_per_second=12, transient=False) as live:
            self._live = live
            try:
                yield
            finally:
                live.update(self._progress())
                self._live = None

    def _say(self, status: ServerStatus, text: str) -> None:
        style = STATE_STYLES.get(status.state, "")
        line = prefix(status.spec.name).append(text, style=style)
        if self._stamped:
            line = Text(f"{datetime.now():%Y-%m-%d %H:%M:%S.%f} ").append_text(line)
        self._console.print(line, soft_wrap=True)

    def _progress(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        for name, status in self._statuses.items():
            ready = status.state is ServerState.READY
            mark = Text("✓", style="green") if ready else self._spinners[name]
            if status.state in (ServerState.FAILED, ServerState.CRASH_LOOP):
                mark = Text("✗", style="bold red")
            state = Text(str(status.state), style=STATE_STYLES.get(status.state, "dim"))
            table.add_row(mark, Text(name, style=COLOURS.get(name, "blue")), status.spec.engine, state)
        return table


def complain(console: Console, message: str, last_words: Sequence[str] = ()) -> None:
    """Say an error, with the last log lines of who failed."""
    console.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True, highlight=False)
    for line in last_words:
        console.print(Text("  │ ", style="red").append_text(Text.from_ansi(line)), soft_wrap=True)
