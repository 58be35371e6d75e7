"""Telephone providers: the serializer of each, and what of an account is missing to hang up through it.

A provider's account serves one thing: to end the call itself when the bot ends its session. Without one the
bot closes the audio stream, and the provider goes on with what its own configuration says comes next.
"""

from __future__ import annotations

from collections.abc import Callable

from pipecat.runner.types import CallData
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.serializers.exotel import ExotelFrameSerializer
from pipecat.serializers.plivo import PlivoFrameSerializer
from pipecat.serializers.telnyx import TelnyxFrameSerializer
from pipecat.serializers.twilio import TwilioFrameSerializer

from pipecat_bots.settings import TransportSettings

PROVIDERS = ("twilio", "telnyx", "plivo", "exotel")


def missing(provider: str, account: TransportSettings) -> list[str]:
    """Return the variables that are not set and without which the bot cannot end a call at the provider."""
    match provider:
        case "twilio" if account.twilio_api_key or account.twilio_api_secret:
            needed = ("twilio_account_sid", "twilio_api_key", "twilio_api_secret")
        case "twilio":
            needed = ("twilio_account_sid", "twilio_auth_token")
        case "telnyx":
            needed = ("telnyx_api_key",)
        case "plivo":
            needed = ("plivo_auth_id", "plivo_auth_token")
        case _:
            needed = ()
    return [name.upper() for name in needed if not getattr(account, name)]


def contradiction(account: TransportSettings) -> str | None:
    """Return what of Twilio's variables excludes one another, as a sentence; None where nothing does."""
    if account.twilio_auth_token and (account.twilio_api_key or account.twilio_api_secret):
        return "Set TWILIO_AUTH_TOKEN, or TWILIO_API_KEY and TWILIO_API_SECRET, not both."
    if bool(account.twilio_region) != bool(account.twilio_edge):
        return "Set TWILIO_REGION and TWILIO_EDGE together, or neither."
    return None


def can_hang_up(provider: str, account: TransportSettings) -> bool:
    return not missing(provider, account) and (provider != "twilio" or contradiction(account) is None)


def serializer(provider: str, call: CallData, account: TransportSettings) -> FrameSerializer:
    """Return what turns a provider's messages into frames and back, for one call.

    Args:
        provider: One of `PROVIDERS`.
        call: Provider's description of the call, sent when its stream began.
        account: Account of the calls; the bot hangs up through it where it is complete.
    """
    return _SERIALIZERS[provider](call, account, can_hang_up(provider, account) and bool(call.call_id))


def _twilio(call: CallData, account: TransportSettings, hang_up: bool) -> FrameSerializer:
    return TwilioFrameSerializer(
        stream_sid=call["stream_id"],
        call_sid=call.call_id,
        account_sid=account.twilio_account_sid or None,
        auth_token=account.twilio_auth_token or None,
        api_key_sid=account.twilio_api_key or None,
        api_key_secret=account.twilio_api_secret or None,
        region=account.twilio_region or None,
        edge=account.twilio_edge or None,
        params=TwilioFrameSerializer.InputParams(auto_hang_up=hang_up),
    )


def _telnyx(call: CallData, account: TransportSettings, hang_up: bool) -> FrameSerializer:
    encoding = call.get("outbound_encoding") or "PCMU"
    return TelnyxFrameSerializer(
        stream_id=call["stream_id"],
        call_control_id=call.call_id,
        outbound_encoding=encoding,
        inbound_encoding="PCMU",
        api_key=account.telnyx_api_key or None,
        params=TelnyxFrameSerializer.InputParams(auto_hang_up=hang_up),
    )


def _plivo(call: CallData, account: TransportSettings, hang_up: bool) -> FrameSerializer:
    return PlivoFrameSerializer(
        stream_id=call["stream_id"],
        call_id=call.call_id,
        auth_id=account.plivo_auth_id or None,
        auth_token=account.plivo_auth_token or None,
        params=PlivoFrameSerializer.InputParams(auto_hang_up=hang_up),
    )


def _exotel(call: CallData, account: TransportSettings, hang_up: bool) -> FrameSerializer:
    return ExotelFrameSerializer(stream_sid=call["stream_id"], call_sid=call.call_id)


_SERIALIZERS: dict[str, Callable[[CallData, TransportSettings, bool], FrameSerializer]] = {
    "twilio": _twilio,
    "telnyx": _telnyx,
    "plivo": _plivo,
    "exotel": _exotel,
}
