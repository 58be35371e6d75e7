"""Run a genuine llama.cpp server: the `llama-server` binary where there is one, else the bundled build.

    python -m nemotron_speech.llama_server --model model.gguf --port 8000

Both speak the same HTTP protocol with the same settings. The process ends at once on SIGTERM or SIGINT,
whatever requests are open, and outlives the shell that started it; the supervisor starts it so that it ends
with the supervisor (`supervisor/child_entry.py`).
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from loguru import logger

from nemotron_speech.errors import ConfigurationError

GGUF_MAGIC = b"GGUF"


@dataclass(frozen=True, slots=True)
class LlamaServerOptions:
    """Options of the server. The defaults suit one voice conversation."""

    model: Path
    host: str = "127.0.0.1"
    port: int = 8000
    parallel: int = 2
    """Slots: requests that generate at once."""
    ctx: int = 8192
    """Tokens of context, shared out evenly between the slots."""
    threads: int = 0
    """CPU threads; 0 takes half of the logical CPUs, which leaves room for the speech servers."""
    gpu_layers: int = -1
    """Layers on the GPU; -1 lets llama.cpp decide (all that fit, if it is built for a GPU)."""
    batch: int = 512
    """Prompt tokens evaluated at once: a request that goes away is noticed between two batches."""
    alias: str | None = None
    """Model name to answer with; the file's name when None."""
    thinking: bool = False
    """True if a reasoning model thinks before it answers, unless a request says otherwise."""
    slot_save_path: Path | None = None
    binary: Path | None = None
    """A `llama-server` to run instead of the one on PATH or the bundled build."""
    bundled: bool = False
    """Use the bundled build even where there is a `llama-server` on PATH."""


def check(options: LlamaServerOptions) -> None:
    """Raise ConfigurationError for what would stop the server, before anything is loaded."""
    check_model(options.model)
    check_port(options.host, options.port)
    if options.parallel < 1:
        raise ConfigurationError(f"--parallel is {options.parallel}; it accepts 1 or more")
    if options.ctx < options.parallel * 256:
        raise ConfigurationError(
            f"--ctx {options.ctx} leaves less than 256 tokens for each of {options.parallel} slots"
        )


def check_model(path: Path) -> None:
    """Raise ConfigurationError unless the file is there and is a GGUF.

    llama.cpp aborts the process on some broken files, so the first bytes are read here.
    """
    if not path.exists():
        raise ConfigurationError(f"model file {path} does not exist")
    if not path.is_file():
        raise ConfigurationError(f"model {path} is not a file")
    try:
        with path.open("rb") as file:
            magic = file.read(len(GGUF_MAGIC))
    except OSError as error:
        raise ConfigurationError(f"model file {path} cannot be read: {error.strerror}") from error
    if magic != GGUF_MAGIC:
        raise ConfigurationError(f"{path} is not a GGUF model (it begins with {magic!r}, not {GGUF_MAGIC!r})")


def check_port(host: str, port: int) -> None:
    """Raise ConfigurationError when another server already listens there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {host}:{port}: {error.strerror}; stop what runs there or choose --port"
            ) from error


def find_binary(options: LlamaServerOptions) -> str | None:
    """Return the `llama-server` to run, None for the bundled build."""
    if options.binary is not None:
        found = shutil.which(options.binary)
        if found is None:
            raise ConfigurationError(f"{options.binary} is not a program that can be run")
        return found
    return None if options.bundled else shutil.which("llama-server")


def thread_count(options: LlamaServerOptions) -> int:
    """CPU threads to compute with, at least one."""
    if options.threads > 0:
        return options.threads
    available = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, available // 2)


def binary_arguments(options: LlamaServerOptions) -> list[str]:
    """Command-line flags of `llama-server` for these options.

    `--cache-ram 0`: with the default, a request for a busy slot can load another conversation into the
    generation in progress.
    """
    threads = str(thread_count(options))
    arguments = ["--model", str(options.model), "--host", options.host, "--port", str(options.port)]
    arguments += ["--parallel", str(options.parallel), "--ctx-size", str(options.ctx)]
    arguments += ["--threads", threads, "--threads-batch", threads]
    arguments += ["--batch-size", str(options.batch), "--ubatch-size", str(options.batch)]
    arguments += ["--cache-ram", "0", "--ctx-checkpoints", "8"]
    arguments += ["--slots", "--metrics", "--no-ui", "--reasoning", "auto" if options.thinking else "off"]
    if options.gpu_layers >= 0:
        arguments += ["--n-gpu-layers", str(options.gpu_layers)]
    if options.alias is not None:
        arguments += ["--alias", options.alias]
    if options.slot_save_path is not None:
        arguments += ["--slot-save-path", str(options.slot_save_path)]
    return arguments


def serve(options: LlamaServerOptions) -> NoReturn:
    """Become the server; returns only by leaving the process. Raises ConfigurationError before that."""
    check(options)
    binary = find_binary(options)
    if binary is not None:
        logger.info("llama-server {} with {} on {}:{}", binary, options.model, options.host, options.port)
        os.execv(binary, [binary, *binary_arguments(options)])
    serve_bundled(options)


def serve_bundled(options: LlamaServerOptions) -> NoReturn:
    """Run llama.cpp's server from the `xllamacpp` package in this process until a signal ends it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while a model is loaded nobody would hear Python's handler
    try:
        xllamacpp: Any = importlib.import_module("xllamacpp")
    except ImportError as error:
        raise ConfigurationError(
            "no llama-server on PATH and the package xllamacpp is not installed; install one of them"
        ) from error
    try:
        server = xllamacpp.Server(bundled_parameters(xllamacpp.CommonParams(), options))
    except (RuntimeError, ValueError) as error:
        raise ConfigurationError(f"llama.cpp cannot serve {options.model}: {error}") from error
    logger.info("llama.cpp serves {} on {}", options.model, server.listening_address)
    leave_on_signal()


def bundled_parameters(params: Any, options: LlamaServerOptions) -> Any:
    """Fill in xllamacpp's parameters with the same settings as `binary_arguments`."""
    params.model.path = str(options.model)
    params.model_alias = {options.alias or options.model.name}
    params.hostnames = [options.host]
    params.port = options.port
    params.n_parallel = options.parallel
    params.n_ctx = options.ctx
    params.n_batch = params.n_ubatch = options.batch
    params.n_gpu_layers = options.gpu_layers
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = thread_count(options)
    params.cache_ram_mib = 0
    params.n_ctx_checkpoints = 8
    params.endpoint_slots = params.endpoint_metrics = True
    params.ui = False
    params.cors_origins = "localhost"
    params.use_jinja = True
    if not options.thinking:
        params.enable_reasoning = 0
        params.default_template_kwargs = {"enable_thinking": "false"}
    if options.slot_save_path is not None:
        params.slot_save_path = f"{options.slot_save_path}{os.sep}"
    return params


def leave_at_once(number: int, frame: FrameType | None) -> NoReturn:
    """Leave the process: the server's destructor would wait for open requests."""
    os._exit(0)


def leave_on_signal() -> NoReturn:
    """Wait for SIGTERM or SIGINT and leave at once, however many of them come and however close together.

    A byte in a pipe is what wakes the main thread, so a signal that comes just before it waits is not missed.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, leave_at_once)
    os.read(reader, 1)
    os._exit(0)


def parse(arguments: Sequence[str] | None = None) -> LlamaServerOptions:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        "nemotron_speech.llama_server", description="Run a genuine llama.cpp server."
    )
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--parallel", type=int, default=2, help="slots: requests that generate at once")
    parser.add_argument("--ctx", type=int, default=8192, help="tokens of context for all slots together")
    parser.add_argument("--threads", type=int, default=0, help="0: half of the logical CPUs")
    parser.add_argument("--gpu-layers", type=int, default=-1, help="-1: as many as fit")
    parser.add_argument("--batch", type=int, default=512, help="prompt tokens evaluated at once")
    parser.add_argument("--alias", help="model name to answer with")
    parser.add_argument("--thinking", action="store_true", help="let a reasoning model think")
    parser.add_argument("--slot-save-path", type=Path, help="folder for saved prompt caches")
    parser.add_argument("--binary", type=Path, help="a llama-server to run")
    parser.add_argument("--bundled", action="store_true", help="ignore a llama-server on PATH")
    return LlamaServerOptions(**vars(parser.parse_args(arguments)))


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the server from the command line; exit status 2 and one line on stderr when it cannot start."""
    try:
        serve(parse(arguments))
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
