"""Which llama.cpp slot the next request of a conversation goes to, and how long it must wait first.

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
    """A slot to use after waiting `wait_s` seconds."""

    slot: int
    wait_s: float = 0.0


class SlotPolicy(Protocol):
    """How a conversation uses the server's slots."""

    @property
    def slots_needed(self) -> int:
        """The server must have at least this many: llama.cpp silently replaces a number out of range."""
        ...

    def acquire(self, now: float) -> SlotLease:
        """Choose the slot of the next request. Raises Full when none may be used before a release."""
        ...

    def release(self, slot: int, now: float) -> None:
        """Say that the request on this slot has ended or was closed. Releasing twice is harmless."""
        ...


class SingleSlot:
    """Every request on one slot, at once: the prompt cache is always where the conversation is.

    A request that arrives while the former one is being given up waits in the server for one or two tokens.
    """

    def __init__(self, slot: int = 0) -> None:
        if slot < 0:
            raise ConfigurationError(f"a slot's number is 0 or more, not {slot}")
        self._slot = slot

    @property
    def slots_needed(self) -> int:
        return self._slot + 1

    def acquire(self, now: float) -> SlotLease:
        return SlotLease(self._slot)

    def release(self, slot: int, now: float) -> None:
        """Nothing to do."""


class AlternatingSlots:
    """Requests take the slots in turn, and a slot rests `guard_s` seconds after each use.

    For llama.cpp builds before b7551, which crash when a hybrid model's prompt is as long as its cache.
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

    @property
    def slots_needed(self) -> int:
        return self._count

    def acquire(self, now: float) -> SlotLease:
        turn = [(self._next + step) % self._count for step in range(self._count)]
        slot = next((slot for slot in turn if slot not in self._in_use), None)
        if slot is None:
            raise Full(f"all {self._count} slots of this conversation are in use")
        self._next = (slot + 1) % self._count
        self._in_use.add(slot)
        return SlotLease(slot, max(0.0, self._rested_at.get(slot, now) - now))

    def release(self, slot: int, now: float) -> None:
        if slot in self._in_use:
            self._in_use.remove(slot)
            self._rested_at[slot] = now + self._guard_s
