"""A bot and its three servers as real processes on loopback, to be called, killed and brought back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).parent.parent
STARTUP_S = 90.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Process:
    """One server: how it is started, where it answers, what it has written."""

    name: str
    arguments: Sequence[str]
    port: int
    log: Path
    ready_path: str = "/health"
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """True if the process that was started last still runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self.arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    def wait_ready(self, timeout_s: float = STARTUP_S) -> None:
        """Wait until the server answers. Raises RuntimeError with the end of its log."""
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} is not ready; its log ends:\n{self.tail()}")
            time.sleep(0.05)

    def send_signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal and do not wait."""
        os.killpg(self.pid, number)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the process and wait for its end."""
        if self._process is None:
            return
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(5)
        self._process = None

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _answers(self) -> bool:
        try:
            with urlopen(self.url + self.ready_path, timeout=1) as response:
                return response.status == 200
        except (URLError, OSError):
            return False


@dataclass
class Stack:
    """The processes of one conversation service.

    Args:
        folder: Where logs and metrics go.
        script: A script file: all three servers recite it. Without it, the embedded engines.
        llm: The command line of another language model server (after the interpreter), `{port}` in it.
        bot: Name of the bot module in `pipecat_bots`.
        environment: Further variables for the bot.
        recogniser: The command line of another recogniser, as `llm`.
        synthesiser: The command line of another synthesiser, as `llm`.
        transport: Transport that the bot is restricted to; None for every transport of its runner.
    """

    folder: Path
    script: Path | None = None
    llm: Sequence[str] | None = None
    bot: str = "bot_interleaved_streaming"
    environment: Mapping[str, str] = field(default_factory=dict)
    recogniser: Sequence[str] | None = None
    synthesiser: Sequence[str] | None = None
    transport: str | None = "webrtc"

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.asr = self._recogniser()
        self.tts = self._synthesiser()
        self.llm_server = self._model()
        self.agent = self.another_bot("bot", self.environment)

    def another_bot(self, name: str, environment: Mapping[str, str]) -> Process:
        """Return a bot, not started, on the servers of this stack: as its own, but for the environment."""
        only = [f"-t={self.transport}"] if self.transport else []
        return self._process(
            name,
            ["-m", f"pipecat_bots.{self.bot}", "--host=127.0.0.1", "--port={port}", *only],
            ready_path="/status",
            environment={
                "NVIDIA_ASR_URL": self.asr.url.replace("http", "ws"),
                "NVIDIA_TTS_URL": self.tts.url,
                "NVIDIA_LLAMA_CPP_URL": self.llm_server.url,
                "NVIDIA_LLM_URL": self.llm_server.url + "/v1",
                "METRICS_JSONL": str(self.folder / "metrics.jsonl"),
                **environment,
            },
        )

    @property
    def url(self) -> str:
        """Address of the bot."""
        return self.agent.url

    @property
    def servers(self) -> tuple[Process, Process, Process]:
        return self.asr, self.llm_server, self.tts

    def start(self) -> None:
        """Start everything at once; return when all of it answers."""
        everything = (*self.servers, self.agent)
        for process in everything:
            process.start()
        for process in everything:
            process.wait_ready()

    def stop(self) -> None:
        for process in (self.agent, *self.servers):
            process.kill(signal.SIGTERM)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def _recogniser(self) -> Process:
        if self.recogniser:
            return self._process("asr", self.recogniser)
        if self.script:
            return self._server("asr", "nemotron_speech.server", "--engine=scripted", self._option)
        # A call that is cut off keeps its place until ICE gives it up, half a minute later.
        places = "--option=streams_per_worker=5"
        return self._server("asr", "nemotron_speech.server", "--engine=pocketsphinx", places)

    def _synthesiser(self) -> Process:
        if self.synthesiser:
            return self._process("tts", self.synthesiser)
        engine = ["--engine=scripted", self._option] if self.script else ["--engine=espeak"]
        return self._server("tts", "nemotron_speech.tts_server", *engine)

    def _model(self) -> Process:
        if self.llm:
            return self._process("llm", self.llm)
        script = [f"--script={self.script}"] if self.script else []
        return self._server("llm", "nemotron_speech.responder", *script)

    @property
    def _option(self) -> str:
        return f"--option=script={self.script}"

    def _server(self, name: str, module: str, *arguments: str) -> Process:
        return self._process(name, ["-m", module, "--host=127.0.0.1", "--port={port}", *arguments])

    def _process(
        self,
        name: str,
        arguments: Sequence[str],
        ready_path: str = "/health",
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        port = free_port()
        filled = [argument.replace("{port}", str(port)) for argument in arguments]
        return Process(name, filled, port, self.folder / f"{name}.log", ready_path, environment or {})
