"""Exception hierarchy of servers, engines and clients; every class carries its close code and HTTP status.

An error is raised at its cause and turned into a message, a WebSocket close code or an HTTP status in
one place per server (`serving/edge.py`).
"""

from collections.abc import Sequence


class SpeechError(Exception):
    """Base of every error a caller may see. `str(error)` is safe and useful to show."""

    close_code = 1011
    http_status = 500


class BadRequest(SpeechError):
    """You misused me: names what was wrong and what is allowed."""

    close_code = 1008
    http_status = 400


class TooLarge(BadRequest):
    """A message or a text is larger than the stated limit."""

    close_code = 1009
    http_status = 413


class NotFound(BadRequest):
    """Unknown name or address; the message names what there is."""

    http_status = 404


class NotSupported(BadRequest):
    """Request that this server's engine cannot serve at all; the message names the engines that can."""

    http_status = 501


class Full(SpeechError):
    """Lack of a free slot: try again after `retry_after` seconds, or elsewhere."""

    close_code = 1013
    http_status = 503

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotReady(Full):
    """The engine is still loading, or the server is draining."""


class EngineError(SpeechError):
    """The model failed on this work; the session gets a fresh state and the next request works."""


class EngineLost(EngineError):
    """The model will answer nobody any more; only a new process helps."""


class PeerError(SpeechError):
    """Failure of the other side: it broke the protocol or went away."""

    close_code = 1002
    http_status = 502


class ConfigurationError(SpeechError):
    """A setting is wrong; the message names the setting and what it accepts."""


def require(what: str, value: str, allowed: Sequence[str]) -> None:
    """Raise BadRequest that names what was asked for, and what is allowed, unless `value` is."""
    if value not in allowed:
        raise BadRequest(f"unknown {what} {value[:40]!r}; allowed: {', '.join(allowed)}")
