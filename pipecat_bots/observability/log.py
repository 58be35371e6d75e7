"""The log of a bot's process: events of sessions, and no warning that asks for nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from loguru import logger

from nemotron_speech import caller_log
from pipecat_bots.settings import BotSettings

if TYPE_CHECKING:
    from loguru import Record

_WEBRTC = "pipecat.transports.smallwebrtc"
HARMLESS = {
    # The bot takes sound alone: a caller that brings no picture lacks nothing.
    (f"{_WEBRTC}.connection", "No video transceiver is available"),
    (f"{_WEBRTC}.connection", "No screen video transceiver is available"),
    # So a call ends from the caller's side. The session says that the caller has gone.
    (f"{_WEBRTC}.transport", "Media stream error while reading the audio; clearing track."),
    # Said every two seconds of a caller that types and has no microphone; a line that is quiet is noticed by
    # transports/webrtc.py.
    (f"{_WEBRTC}.transport", "Timeout: No audio frame received within the specified time."),
}
"""Module and whole message of Pipecat's warnings about what is as it should be."""
_VERBOSE = {"-v", "-vv", "--verbose"}


def set_up(settings: BotSettings) -> None:
    """Log from `LOG_LEVEL` up, without what is harmless; the runner's `-v` is left as it is."""
    logger.enable("pipecat")
    if _VERBOSE.isdisjoint(sys.argv):
        caller_log.set_up(settings.log_level, matters)


def matters(record: Record) -> bool:
    """Return whether a message says something that its reader does not know already, or may act on."""
    return (record["name"], record["message"]) not in HARMLESS
