"""Run a speech server as a process: flags over settings, uvloop, a port, signals, a graceful end."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web
from loguru import logger

from nemotron_speech import caller_log
from nemotron_speech.engine_options import Value, of_engine
from nemotron_speech.engines.registry import asr_names, asr_options, tts_names, tts_options
from nemotron_speech.engines.requirements import check_installed
from nemotron_speech.errors import ConfigurationError
from nemotron_speech.serving.edge import Callers
from nemotron_speech.serving.json_runner import JsonRunner
from nemotron_speech.settings import RIGHT_CONTEXTS, AsrSettings, TtsSettings, read

SettingsT = TypeVar("SettingsT", AsrSettings, TtsSettings)

_SWITCH_INTERVAL_S = 0.0005
"""Seconds that the event loop and the engine's thread wait for each other while both run Python."""


def serve(
    what: str,
    read_settings: Callable[[], SettingsT],
    build_app: Callable[[None, SettingsT], web.Application],
    callers: Callable[[web.Application], Callers],
    arguments: list[str] | None = None,
) -> None:
    """Run the server `what` until SIGTERM or SIGINT; exits with 2 for a wrong setting, 1 for a taken port."""
    try:
        settings = _with_flags(what, read(read_settings), arguments)
        check_installed("asr" if isinstance(settings, AsrSettings) else "tts", settings.engine)
    except ConfigurationError as error:
        sys.exit(_complain(2, str(error)))
    caller_log.set_up()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    runner = asyncio.Runner(loop_factory=loop_factory())
    try:
        with runner:
            app = build_app(None, settings)
            runner.run(_serve(what, app, callers(app), settings))
    except ConfigurationError as error:
        sys.exit(_complain(2, str(error)))
    except OSError as error:
        sys.exit(_complain(1, f"cannot listen on {settings.host}:{settings.port}: {error.strerror}"))


async def _serve(what: str, app: web.Application, callers: Callers, settings: SettingsT) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    site_runner = JsonRunner(app, access_log=None, shutdown_timeout=1)
    await site_runner.setup()
    try:
        site = web.TCPSite(site_runner, settings.host, settings.port, backlog=1024)
        await site.start()
        host, port = site_runner.addresses[0][:2]
        logger.info("the {} server listens on {}:{}", what, host, port)
        await stop.wait()
        logger.info("the {} server stops", what)
        await callers.drain(settings.drain_s)
    finally:
        await site_runner.cleanup()


def _with_flags(what: str, settings: SettingsT, arguments: list[str] | None) -> SettingsT:
    parser = argparse.ArgumentParser(description=f"The streaming {what} server.")
    parser.add_argument("--host", default=settings.host, help="address (default %(default)s)")
    parser.add_argument("--port", type=int, default=settings.port, help="port (default %(default)s)")
    given = settings.engine if "engine" in settings.model_fields_set else None
    parser.add_argument("--engine", default=given, help=f"engine (default {settings.engine})")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the engine; may be repeated",
    )
    if isinstance(settings, AsrSettings):
        parser.add_argument(
            "--model",
            default=argparse.SUPPRESS,
            metavar="NAME_OR_PATH",
            help="the engine's model: a file, or a name on the hub; without --engine, one of NeMo's",
        )
        parser.add_argument(
            "--right-context",
            type=int,
            choices=RIGHT_CONTEXTS,
            default=argparse.SUPPRESS,
            help="look-ahead of a NeMo model, in frames of 80 ms",
        )
        parser.add_argument(
            "--yap-port",
            type=int,
            default=settings.yap_port,
            help="port of the many-caller protocol (default: not served)",
        )
    flags = vars(parser.parse_args(arguments))
    named = {name: flags.pop(name) for name in ("model", "right_context") if name in flags}
    if named and flags["engine"] is None:
        flags["engine"] = "nemo"
    flags["engine"] = flags["engine"] or settings.engine
    options = {
        **_from_environment(settings, flags["engine"]),
        **named,
        **dict(map(_option, flags.pop("option"))),
    }
    return settings.model_copy(update={**flags, "options": options})


def _from_environment(settings: AsrSettings | TtsSettings, engine: str) -> dict[str, Value]:
    """Return the options that were set, less those that were set for another engine."""
    of_asr = isinstance(settings, AsrSettings)
    takes, names = (asr_options, asr_names) if of_asr else (tts_options, tts_names)
    return of_engine(engine, settings.options, takes, names)


def _option(text: str) -> tuple[str, str | int | float | bool]:
    name, equals, value = text.partition("=")
    if not equals:
        sys.exit(_complain(2, f"--option takes NAME=VALUE, not {text!r}"))
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the fastest event loop here; None for asyncio's own."""
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def _complain(code: int, message: str) -> int:
    logger.error(message)
    return code
