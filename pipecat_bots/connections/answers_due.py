"""Connection that is left when answers are due on it and nothing comes."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any

from pipecat_bots.connections.outage import silent
from pipecat_bots.connections.overdue import Overdue
from pipecat_bots.connections.websocket import KeepConnected


class AnswersDue(KeepConnected):
    """A connection that is kept, and exchanged for another one when the server has fallen silent on it.

    Whoever asks calls `_watch`; each message is told to `_sign_of_life`. The outage is reported once, and is
    over with `_speaks_again`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._overdue = Overdue()
        self._watching: asyncio.Task[None] | None = None

    @property
    @abstractmethod
    def _is_answer_due(self) -> bool:
        """True if the server owes an answer on this connection."""

    async def _on_silence(self, lasted_s: float) -> None:
        """Act on the first silence of an outage, before the connection is left."""

    @property
    def is_silent(self) -> bool:
        """True if the server answered nothing on the last connection, and nothing on this one so far."""
        return self.outage == silent(self._server)

    def _watch(self) -> None:
        """Count from here, if nothing was due before: an answer is asked for."""
        if not self._is_answer_due:
            self._overdue.begin(asyncio.get_running_loop().time())
        if self._watching is None:
            self._watching = self.create_task(self._watch_for_silence(), name="watching")

    def _sign_of_life(self) -> None:
        if self._is_answer_due:
            self._overdue.sign_of_life(asyncio.get_running_loop().time())

    async def _watch_for_silence(self) -> None:
        loop = asyncio.get_running_loop()
        while (left_s := self._overdue.at - loop.time()) > 0:
            await asyncio.sleep(left_s)
            if not self._is_answer_due:
                break
        self._watching = None
        if self._is_answer_due:
            await self._leave()

    async def _leave(self) -> None:
        lasted_s = self._overdue.in_vain()
        if not self.is_silent:
            await self._report_outage(silent(self._server), "no answer in time; it is asked again", lasted_s)
            await self._on_silence(lasted_s)
        if (websocket := self._socket) is not None:
            websocket.transport.abort()  # a farewell would be waited for

    async def _speaks_again(self) -> None:
        """Call the outage of a silent server over: it has answered."""
        await super()._report_recovery()

    async def _report_recovery(self) -> None:
        """Call a silent server back when it answers, not when it lets itself be called."""
        if not self.is_silent:
            await super()._report_recovery()

    async def _stop_watching(self) -> None:
        task, self._watching = self._watching, None
        if task is not None:
            await self.cancel_task(task)

    async def _disconnect(self) -> None:
        await self._stop_watching()
        await super()._disconnect()
