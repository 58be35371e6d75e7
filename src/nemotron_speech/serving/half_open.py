"""Carrier for the ASGI applications that hears out callers who close their half of the connection.

uvicorn closes a connection as soon as the other side sends no more, and the final that was asked for is lost.
`uvicorn.run(build_asgi(), ws=HalfOpenProtocol)` keeps it open until the conversation is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from asyncio import Transport

NO_CLOSE_FRAME = 1006


class HalfOpenProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, which goes on sending where the caller sends no more."""

    transport: Transport
    _at_end = False

    def eof_received(self) -> bool:  # type: ignore[override]
        """Tell the application that nothing more comes; return True to keep the connection."""
        self._at_end = self.handshake_complete and not self.close_sent
        if self._at_end:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": NO_CLOSE_FRAME, "reason": ""})
        return self._at_end

    async def send(self, message: Any) -> None:
        """Send a message; hang up behind a good-bye, which cannot be answered any more."""
        await super().send(message)
        if self._at_end and message["type"] == "websocket.close":
            self.transport.close()
