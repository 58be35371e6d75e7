"""Setup of each transport of Pipecat's runner: checked at start, and opened for one caller."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TypeVar

from loguru import logger
from pipecat.runner.types import CallData, RunnerArguments, WebSocketRunnerArguments
from pipecat.runner.utils import create_transport, parse_telephony_websocket
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.transports.base_transport import BaseTransport, TransportParams
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from starlette.websockets import WebSocket

from nemotron_speech.errors import ConfigurationError
from pipecat_bots.playout import PIECE_S
from pipecat_bots.settings import TransportSettings
from pipecat_bots.transports.protobuf import Protobuf
from pipecat_bots.transports.telephony import PROVIDERS, can_hang_up, contradiction, missing, serializer

PLAIN_WEBSOCKET = "websocket"
EVALS = "eval"
OURS = ("webrtc", "daily", PLAIN_WEBSOCKET, *PROVIDERS)
NOT_OURS = ("livekit", "moq", "vonage")
"""Further transports of Pipecat's runner."""
UNSUPPORTED = 1003
"""WebSocket close code of a caller whose first messages are those of no transport."""


def transport_params() -> dict[str, Callable[[], TransportParams]]:
    """Return the parameters of each transport: audio both ways, out in the playout's pieces.

    A plain WebSocket carries Pipecat's protobuf frames, as its JavaScript and Python clients speak them; a
    provider's serializer depends on the call and is made when it begins.
    """

    return {
        "webrtc": lambda: _both_ways(TransportParams),
        "daily": _daily,
        PLAIN_WEBSOCKET: lambda: _websocket(Protobuf()),
        EVALS: _eval,
    }


ParamsT = TypeVar("ParamsT", bound=TransportParams)


def _both_ways(params: type[ParamsT]) -> ParamsT:
    pieces = round(PIECE_S * 100)
    return params(audio_in_enabled=True, audio_out_enabled=True, audio_out_10ms_chunks=pieces)


def _daily() -> TransportParams:
    """Load Daily's native client, of some tens of megabytes, only for who uses it."""
    from pipecat.transports.daily.transport import DailyParams

    return _both_ways(DailyParams)


def _eval() -> TransportParams:
    from pipecat.evals.transport import EvalTransportParams

    return _both_ways(EvalTransportParams)


def _websocket(serializer: FrameSerializer) -> FastAPIWebsocketParams:
    params = _both_ways(FastAPIWebsocketParams)
    params.serializer = serializer
    return params


# ----------------------------------------------------------------------------------------- at the start


def check_arguments(arguments: Sequence[str], account: TransportSettings) -> None:
    """Say what the transport that was asked for lacks; raise ConfigurationError where it cannot work so.

    Args:
        arguments: The command line, without the program.
        account: The accounts that are set.
    """
    asked, _ = _parser().parse_known_args(arguments)
    transport = "daily" if asked.direct else asked.transport
    if transport in NOT_OURS:
        raise ConfigurationError(f"-t {transport} is none of this bot's: choose {', '.join(OURS)}.")
    if transport == "daily" and not account.daily_api_key:
        raise ConfigurationError("-t daily makes rooms with a Daily account: set DAILY_API_KEY.")
    if transport in PROVIDERS:
        _check_provider(transport, account)
        if transport != "exotel" and not asked.proxy:
            logger.warning(
                f"{transport} is told where to stream by this bot's answer to its webhook, which needs the "
                "public host name: add -x HOST (such as yours.ngrok.io)."
            )


def start_lacks(
    arguments: Sequence[str], account: TransportSettings
) -> Callable[[str | None, bool], str | None]:
    """Return what says which setting a caller's transport lacks, as a sentence; None where it lacks none.

    Args:
        arguments: The command line, without the program.
        account: The accounts that are set.
    """
    usual = _parser().parse_known_args(arguments)[0].transport

    def lacks(transport: str | None, wants_room: bool) -> str | None:
        transport = transport or ("daily" if wants_room else usual)
        if transport in NOT_OURS:
            return f"Transport {transport!r} is none of this bot's: choose {', '.join(OURS)}."
        if transport != "daily":
            return None
        if not account.daily_api_key:
            return "Transport 'daily' makes rooms with a Daily account: set DAILY_API_KEY where the bot runs."
        if not wants_room and not account.daily_room_url:
            return "There is no room to meet in: ask for one with createDailyRoom, or set DAILY_ROOM_URL."
        return None

    return lacks


def _check_provider(provider: str, account: TransportSettings) -> None:
    if provider == "twilio" and (reason := contradiction(account)):
        raise ConfigurationError(reason)
    if names := missing(provider, account):
        logger.warning(
            f"Calls are answered, but the bot cannot hang up through {provider}: set {' and '.join(names)}. "
            "Until then it ends a call by closing the audio stream."
        )


def _parser() -> argparse.ArgumentParser:
    """Return a parser of the options that matter here, as Pipecat's runner understands them."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("-t", "--transport")
    parser.add_argument("-x", "--proxy")
    parser.add_argument("-d", "--direct", action="store_true")
    return parser


# --------------------------------------------------------------------------------------- for one caller


async def open_transport(args: RunnerArguments, account: TransportSettings) -> BaseTransport | None:
    """Return the transport of one caller; None for one who speaks no transport's language, and is let go."""
    if not isinstance(args, WebSocketRunnerArguments) or args.transport_type == PLAIN_WEBSOCKET:
        return await create_transport(args, transport_params())
    kind, call = await _handshake(args.websocket)
    if kind == EVALS:
        return await create_transport(args, transport_params())
    if kind not in PROVIDERS:
        logger.info("a WebSocket whose first messages are no telephone provider's is closed")
        await _close(args.websocket)
        return None
    args.transport_type, args.call_data = kind, call
    return _telephone(args.websocket, kind, call, account)


async def _handshake(websocket: WebSocket) -> tuple[str, CallData]:
    """Return who calls; an empty kind for a caller that says nothing one could read."""
    try:
        return await parse_telephony_websocket(websocket)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError):
        # It has gone, or sent bytes, or JSON of another shape: the parser expects texts of a provider.
        return "", CallData()


def _telephone(
    websocket: WebSocket, provider: str, call: CallData, account: TransportSettings
) -> BaseTransport:
    params = _websocket(serializer(provider, call, account))
    ends = "" if can_hang_up(provider, account) else ", which ends when its stream does"
    logger.info(f"a call by {provider}{ends}")
    return FastAPIWebsocketTransport(websocket=websocket, params=params)


async def _close(websocket: WebSocket) -> None:
    try:
        await websocket.close(UNSUPPORTED)
    except RuntimeError:
        return  # it was the other side that closed
