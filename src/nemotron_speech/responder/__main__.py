"""Run the responder: `python -m nemotron_speech.responder --port 8000`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import uvloop
from loguru import logger

from nemotron_speech.errors import ConfigurationError
from nemotron_speech.responder.app import ResponderOptions, build_app
from nemotron_speech.responder.generation import TokenPace
from nemotron_speech.responder.scripted import read_script
from nemotron_speech.responder.talk.replies import reply
from nemotron_speech.serving.json_runner import serve_until_signal


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        "nemotron_speech.responder", description="A small honest conversation behind llama.cpp's protocol."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--parallel", type=int, default=2, help="slots: answers given at once")
    parser.add_argument("--ctx", type=int, default=16384, help="tokens of context for all slots together")
    parser.add_argument("--tokens-per-second", type=float, default=200.0, help="0: as fast as possible")
    parser.add_argument("--prompt-tokens-per-second", type=float, default=0.0, help="0: at once")
    parser.add_argument("--script", type=Path, help="recite the `llm` part of this file (tests, benchmarks)")
    return parser.parse_args(arguments)


def options_of(parsed: argparse.Namespace) -> ResponderOptions:
    """Check the command line's values. Raises ConfigurationError."""
    if parsed.parallel < 1:
        raise ConfigurationError(f"--parallel is {parsed.parallel}; it accepts 1 or more")
    if parsed.ctx < parsed.parallel * 64:
        raise ConfigurationError(f"--ctx {parsed.ctx} leaves less than 64 tokens for each slot")
    if parsed.tokens_per_second < 0 or parsed.prompt_tokens_per_second < 0:
        raise ConfigurationError("a number of tokens per second is 0 or more")
    pace = TokenPace(parsed.tokens_per_second, parsed.prompt_tokens_per_second)
    return ResponderOptions(parsed.parallel, parsed.ctx, pace)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; exit status 2 and one line on stderr when that is not possible."""
    parsed = parse(arguments)
    try:
        options, respond = options_of(parsed), reply
        if parsed.script:
            respond, pace = read_script(parsed.script)
            options = replace(options, pace=pace, model="script")
        app = build_app(options, respond)
    except ConfigurationError as error:
        fail(str(error))
    logger.info("built-in responder on {}:{} with {} slots", parsed.host, parsed.port, parsed.parallel)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_until_signal(app, parsed.host, parsed.port))
    except OSError as error:
        fail(f"cannot listen on {parsed.host}:{parsed.port}: {error.strerror}; choose another --port")


def fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
