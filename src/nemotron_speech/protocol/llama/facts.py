"""Answers in one piece: a language model server's properties, its models, its errors."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from nemotron_speech.errors import PeerError
from nemotron_speech.protocol.llama.events import ServerError
from nemotron_speech.protocol.llama.wire import ErrorBody, ErrorDetail, ModelsBody, PropsBody

_MODELS = msgspec.json.Decoder(ModelsBody)
_PROPS = msgspec.json.Decoder(PropsBody)
_ERROR_BODY = msgspec.json.Decoder(ErrorBody)


@dataclass(frozen=True, slots=True)
class Props:
    """Properties of a llama.cpp server, as it states them."""

    total_slots: int
    n_ctx: int
    """Tokens of context of each slot."""
    model: str
    build: str = ""


def parse_props(body: bytes) -> Props:
    """Read the answer of `GET /props`. Raises PeerError for anything else."""
    try:
        props = _PROPS.decode(body)
    except msgspec.DecodeError as error:
        raise PeerError(f"not the properties of a llama.cpp server: {error}") from None
    model = props.model_alias or props.model_path
    return Props(props.total_slots, props.default_generation_settings.n_ctx, model, props.build_info)


def parse_context_tokens(body: bytes) -> int | None:
    """Read how much context the model of `GET /v1/models` has, in tokens; None where it does not say."""
    try:
        models = _MODELS.decode(body).data
    except msgspec.DecodeError:
        return None
    return next((model.max_model_len for model in models if model.max_model_len), None)


def parse_error(status: int, body: bytes) -> ServerError:
    """Read the body of an answer whose HTTP status is not 200; any body gives a usable error."""
    try:
        error = _ERROR_BODY.decode(body).error
    except (msgspec.DecodeError, UnicodeError):
        text = body[:200].decode(errors="replace").strip()
        return ServerError(text or f"HTTP status {status}", "http_error", status)
    return stated_error(error, status)


def stated_error(error: ErrorDetail | str, status: int = 500) -> ServerError:
    """Return an error as it is stated in a body or in an event of a stream."""
    if isinstance(error, str):
        return ServerError(error, code=status)
    code = int(str(error.code)) if str(error.code).isdecimal() else status
    return ServerError(error.message, error.type or "server_error", code, error.n_prompt_tokens, error.n_ctx)
