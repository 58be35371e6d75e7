"""How far the language model may be ahead of the voice."""

from __future__ import annotations

import asyncio

from loguru import logger


class Handshake:
    """Chunks given to the voice and not spoken yet, at most `run_ahead` of them.

    Every chunk is answered by the voice, spoken or not, so the timeout only covers a voice that hangs. After
    one, the rest of the answer is not held back.
    """

    def __init__(self, run_ahead: int, timeout_s: float) -> None:
        self._run_ahead = run_ahead
        self._timeout_s = timeout_s
        self._unspoken: set[int] = set()
        self._changed = asyncio.Event()
        self._trusted = True

    def begin(self) -> None:
        """Start a new answer; chunks of an older one no longer count."""
        self._unspoken.clear()
        self._trusted = True

    def gave(self, chunk_id: int) -> None:
        if self._trusted:
            self._unspoken.add(chunk_id)

    def spoken(self, chunk_id: int | None) -> None:
        if chunk_id in self._unspoken:
            self._unspoken.discard(chunk_id)
            self._changed.set()

    @property
    def must_wait(self) -> bool:
        return len(self._unspoken) >= self._run_ahead

    async def room(self) -> None:
        """Wait until the voice has caught up."""
        try:
            async with asyncio.timeout(self._timeout_s):
                while self.must_wait:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            logger.warning(f"the voice gave no sign for {self._timeout_s} s; the answer goes on without it")
            self._trusted = False
            self._unspoken.clear()
