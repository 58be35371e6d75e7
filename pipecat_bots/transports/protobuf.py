"""Pipecat's protobuf frames on a plain WebSocket, as its JavaScript and Python clients speak them."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from loguru import logger
from pipecat.frames.frames import Frame, OutputTransportMessageFrame, OutputTransportMessageUrgentFrame
from pipecat.serializers.protobuf import ProtobufFrameSerializer

_MESSAGES = (OutputTransportMessageFrame, OutputTransportMessageUrgentFrame)


class Protobuf(ProtobufFrameSerializer):
    """Pipecat's serializer; what has no form on the wire (a session's end) is left out without a warning.

    A message that is none of these frames is passed over; with Pipecat's own it ends the session.
    """

    async def serialize(self, frame: Frame) -> str | bytes | None:
        if isinstance(frame, _MESSAGES) or type(frame) in self.SERIALIZABLE_TYPES:
            return await super().serialize(frame)
        return None

    async def deserialize(self, data: str | bytes) -> Frame | None:
        if isinstance(data, str):
            logger.debug("a text came where protobuf frames are spoken")
            return None
        try:
            return await super().deserialize(data)
        except DecodeError:
            logger.debug("a message came that is no protobuf frame")
            return None
