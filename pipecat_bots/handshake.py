"""How far the language model may be ahead of the voice."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from loguru import logger

READ_AHEAD_S = 20.0
_CHARACTERS_PER_S = 1000 / 65
"""Of speech, at a brisk pace."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """When a generation is interrupted for a voice that is behind, and when it goes on.

    Args:
        read_ahead_s: Seconds of speech that may be received and not with the voice yet. 0 closes the request
            as soon as the voice has as much as it may have: answers come in chunks.
        go_on_below: Chunks of the answer still waiting when the generation goes on.
    """

    read_ahead_s: float
    go_on_below: int

    def is_enough(self, waiting_characters: int, voice_is_behind: bool) -> bool:
        return voice_is_behind and waiting_characters >= self.read_ahead_s * _CHARACTERS_PER_S

    def is_low(self, waiting_chunks: int, waiting_characters: int, voice_is_behind: bool) -> bool:
        enough = self.is_enough(waiting_characters, voice_is_behind)
        return waiting_chunks < self.go_on_below and not enough


CHUNKED = Strategy(read_ahead_s=0.0, go_on_below=1)


def streamed(read_ahead_s: float = READ_AHEAD_S) -> Strategy:
    """One request for the whole answer, unless the voice falls so far behind that it would be waste."""
    return Strategy(read_ahead_s, go_on_below=2)


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

    async def news(self) -> None:
        """Return when the voice has spoken something; at once while it has room."""
        if not self.must_wait:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                self._changed.clear()
                await self._changed.wait()
        except TimeoutError:
            logger.warning(f"the voice gave no sign for {self._timeout_s} s; the answer goes on without it")
            self._trusted = False
            self._unspoken.clear()
