"""The streaming recognition server: audio in, transcripts out (docs/protocols.md, section 1)."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from nemotron_speech import yap_server
from nemotron_speech.asr.service import SERVICE, AsrService, application, make_engine, routes
from nemotron_speech.engines.base import AsrEngine
from nemotron_speech.errors import SpeechError
from nemotron_speech.protocol.asr import AsrError
from nemotron_speech.protocol.wire import encode
from nemotron_speech.serving.edge import asgi
from nemotron_speech.serving.process import serve
from nemotron_speech.settings import AsrSettings


def build_app(engine: AsrEngine | None = None, settings: AsrSettings | None = None) -> web.Application:
    """Return the aiohttp application: WebSocket at `/`, and `/health`, `/metrics`.

    With `settings.yap_port` it listens there too while it runs, and speaks the many-caller protocol.
    """
    settings = settings or AsrSettings()
    service = AsrService(engine or make_engine(settings), settings)
    app = application(service, routes(service, service.converse, _error_message))
    if settings.yap_port is not None:
        app.cleanup_ctx.append(yap_server.listening_beside)
    return app


def build_asgi(engine: AsrEngine | None = None, settings: AsrSettings | None = None) -> Any:
    """Return the same server as an ASGI application, for deployments that want one."""
    settings = settings or AsrSettings()
    service = AsrService(engine or make_engine(settings), settings)
    return asgi(service.converse, _error_message, service.callers, service.health, service.runner.running)


def _error_message(error: SpeechError) -> str:
    return encode(AsrError(message=str(error)))


def main(arguments: list[str] | None = None) -> None:
    """Run the server: `python -m nemotron_speech.server --engine pocketsphinx --port 8080`.

    With `--yap-port 8090` it speaks the many-caller protocol too, on the same engine.
    """
    serve("recognition", AsrSettings.with_yap, build_app, lambda app: app[SERVICE].callers, arguments)


if __name__ == "__main__":
    main()
