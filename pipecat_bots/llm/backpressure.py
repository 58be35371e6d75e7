"""Lead of the language model over the voice: its limit, and the haste when the listener waits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from loguru import logger

READ_AHEAD_S = 60.0
"""Some 240 tokens, four seconds of a model that makes sixty in a second: few answers are as long, and what an
interruption makes useless is less than what another request may have to read."""
FIRST_S = 0.03
"""Gathers three words of a model that makes sixty tokens in a second, a clause of one that makes 200."""
NEXT_S = 0.3
"""Seconds a voice takes to begin its next segment, and as much again for a busy machine."""
VOICE_S = 0.1
"""Seconds a voice takes to begin its first segment."""
_CHARACTERS_PER_S = 1000 / 65
"""Characters of speech in a second, at a brisk pace."""


@dataclass(frozen=True, slots=True)
class ReadAheadPolicy:
    """Limits of the lead: when a generation is interrupted for a voice that is behind, and when it goes on.

    Args:
        read_ahead_s: Seconds of speech that may be received and not with the voice yet. 0 closes the request
            as soon as the voice has as much as it may have: answers come in chunks.
        go_on_below: Chunks of the answer still waiting when the generation goes on.
        first_s: How long text is gathered for the first chunk, if it is not complete before; None for as
            long as it takes. With a time, later chunks are not waited for in silence either.
    """

    read_ahead_s: float
    go_on_below: int
    first_s: float | None = None

    @property
    def is_in_chunks(self) -> bool:
        """True if each chunk is a request of its own."""
        return self.read_ahead_s == 0

    def is_enough(self, waiting_characters: int, voice_is_behind: bool) -> bool:
        return voice_is_behind and waiting_characters >= self.read_ahead_s * _CHARACTERS_PER_S

    def is_low(self, waiting_chunks: int, waiting_characters: int, voice_is_behind: bool) -> bool:
        enough = self.is_enough(waiting_characters, voice_is_behind)
        return waiting_chunks < self.go_on_below and not enough


CHUNKED = ReadAheadPolicy(read_ahead_s=0.0, go_on_below=1)


def streamed(read_ahead_s: float = READ_AHEAD_S, first_s: float | None = FIRST_S) -> ReadAheadPolicy:
    """Return the strategy of one request for the whole answer, unless the voice falls too far behind."""
    return ReadAheadPolicy(read_ahead_s, 2, first_s)


class EagerChunking:
    """Estimate whether the listener waits, or soon will, so that a chunk is to end at the next opportunity.

    The speech not heard yet is estimated from the length of the text that the voice was given.
    """

    def __init__(self, first_s: float | None) -> None:
        self._first_s = first_s
        self.begin()

    def begin(self) -> None:
        """Start a new answer."""
        self._began: float | None = None
        self.heard_until: float | None = None
        """Moment until which what the voice was given is heard; None before it has any."""

    def gave(self, text: str, now: float) -> None:
        """Note that the voice has got a chunk."""
        begins = now + VOICE_S if self.heard_until is None else max(now, self.heard_until)
        self.heard_until = begins + len(text) / _CHARACTERS_PER_S

    def is_due(self, now: float) -> bool:
        """Return whether to hurry, now that there is text of the next chunk."""
        if self._first_s is None:
            return False
        if self.heard_until is not None:
            return self.heard_until - now < NEXT_S
        if self._began is None:
            self._began = now
        return now - self._began >= self._first_s


class ChunkWindow:
    """Chunks given to the voice and not spoken yet, at most `run_ahead` of them.

    Every chunk is answered by the voice, spoken or not, so the timeout only covers a voice that hangs: it is
    `patience_s` above what the chunks take to be heard. After one, the rest of the answer is not held back.
    """

    def __init__(self, run_ahead: int, patience_s: float) -> None:
        self._run_ahead = run_ahead
        self._patience_s = patience_s
        self._unspoken: dict[int, float] = {}
        """Seconds of speech of each."""
        self._changed = asyncio.Event()
        self._trusted = True

    def begin(self) -> None:
        """Start a new answer; chunks of an older one no longer count."""
        self._unspoken.clear()
        self._trusted = True

    def gave(self, chunk_id: int, text: str) -> None:
        if self._trusted:
            self._unspoken[chunk_id] = len(text) / _CHARACTERS_PER_S

    def spoken(self, chunk_id: int | None) -> None:
        if chunk_id is not None and chunk_id in self._unspoken:
            del self._unspoken[chunk_id]
            self._changed.set()

    @property
    def must_wait(self) -> bool:
        return len(self._unspoken) >= self._run_ahead

    async def news(self) -> None:
        """Return when the voice has spoken something; at once while it has room."""
        if not self.must_wait:
            return
        timeout_s = self._patience_s + sum(self._unspoken.values())
        try:
            async with asyncio.timeout(timeout_s):
                self._changed.clear()
                await self._changed.wait()
        except TimeoutError:
            logger.warning(f"the voice gave no sign for {timeout_s:.0f} s; the answer goes on without it")
            self._trusted = False
            self._unspoken.clear()
