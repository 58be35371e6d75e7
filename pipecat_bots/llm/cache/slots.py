"""Slot policies of llama.cpp: the slot of a conversation's next request, and the wait before it.

A policy is a value: time is passed in (seconds on any monotonic clock) and nothing sleeps. The caller waits
`wait_s`, sends the request with the slot's number, and releases the slot when the answer has ended or its
connection is closed. `docs/decisions/slot-policy.md` says which policy to use and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from nemotron_speech.errors import ConfigurationError, Full


@dataclass(frozen=True, slots=True)
class SlotLease:
    """A slot to use after waiting `wait_s` seconds; None: whichever the server chooses."""

    slot: int | None
    wait_s: float = 0.0


class SlotPolicy(Protocol):
    """Use of the server's slots by one conversation."""

    @property
    def keeps_one_cache(self) -> bool:
        """True if the next request meets the last one's prefix cache: warming it then serves that request."""
        ...

    def learn(self, total: int) -> None:
        """Note how many slots the server has: llama.cpp silently replaces a number out of range."""
        ...

    def acquire(self, now: float) -> SlotLease:
        """Choose the slot of the next request. Raises Full when none may be used before a release."""
        ...

    def release(self, slot: int | None, now: float) -> None:
        """Say that the request on this slot has ended or was closed. Releasing twice is harmless."""
        ...

    def leave(self) -> None:
        """Say that the conversation is over. Leaving twice is harmless."""
        ...


class SharedSlots:
    """The slots of one server: each conversation has one of its own, as long as there are enough."""

    def __init__(self) -> None:
        self._total = 1
        self._taken: set[int] = set()

    def learn(self, total: int) -> None:
        self._total = max(1, total)

    @property
    def has_room(self) -> bool:
        return self._free() is not None

    def take(self) -> int | None:
        """Return a slot that no conversation has; None if there is none."""
        slot = self._free()
        if slot is not None:
            self._taken.add(slot)
        return slot

    def give_back(self, slot: int) -> None:
        self._taken.discard(slot)

    def _free(self) -> int | None:
        return next((slot for slot in range(self._total) if slot not in self._taken), None)


class OwnSlot:
    """Every request on one slot, at once: the prompt cache is always where the conversation is.

    A request that arrives while the former one is being given up waits in the server for one or two tokens. A
    conversation for which there is no slot leaves the choice to the server, and takes the next one that comes
    free.

    Args:
        shared: The slots of the server, for all conversations of this process; its own if not given.
    """

    def __init__(self, shared: SharedSlots | None = None) -> None:
        self._shared = shared or SharedSlots()
        self._slot: int | None = None

    @property
    def keeps_one_cache(self) -> bool:
        return self._slot is not None or self._shared.has_room

    def learn(self, total: int) -> None:
        self._shared.learn(total)

    def acquire(self, now: float) -> SlotLease:
        if self._slot is None:
            self._slot = self._shared.take()
        return SlotLease(self._slot)

    def release(self, slot: int | None, now: float) -> None:
        """Keep the slot: the conversation owns it until its end."""

    def leave(self) -> None:
        slot, self._slot = self._slot, None
        if slot is not None:
            self._shared.give_back(slot)


class AlternatingSlots:
    """Requests take the slots in turn, and a slot rests `guard_s` seconds after each use.

    For llama.cpp builds before b7551, which crash when a hybrid model's prompt is as long as its cache. A
    server with one slot is asked for that one, at once.
    """

    def __init__(self, count: int = 2, guard_s: float = 2.0) -> None:
        if count < 2:
            raise ConfigurationError(f"alternating needs 2 slots or more, not {count}")
        if guard_s < 0:
            raise ConfigurationError(f"the reuse guard is 0 seconds or more, not {guard_s}")
        self._count = count
        self._guard_s = guard_s
        self._next = 0
        self._in_use: set[int] = set()
        self._rested_at: dict[int, float] = {}

    keeps_one_cache = False

    def learn(self, total: int) -> None:
        self._count = max(1, min(self._count, total))

    def leave(self) -> None:
        """Do nothing."""

    def acquire(self, now: float) -> SlotLease:
        if self._count == 1:
            return SlotLease(0)
        turn = [(self._next + step) % self._count for step in range(self._count)]
        slot = next((slot for slot in turn if slot not in self._in_use), None)
        if slot is None:
            raise Full(f"all {self._count} slots of this conversation are in use")
        self._next = (slot + 1) % self._count
        self._in_use.add(slot)
        return SlotLease(slot, max(0.0, self._rested_at.get(slot, now) - now))

    def release(self, slot: int | None, now: float) -> None:
        if slot is not None and slot in self._in_use:
            self._in_use.remove(slot)
            self._rested_at[slot] = now + self._guard_s
