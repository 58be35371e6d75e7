"""The plan of a call, and the record of it: what a caller in its own process is told, and brings back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.outside.sound import Track


class Greeting(msgspec.Struct, frozen=True, tag="greeting"):
    """Wait for the bot to have said hello."""

    timeout_s: float = 6.0


class Say(msgspec.Struct, frozen=True, tag="say"):
    """Speak; numbers are pauses in seconds."""

    name: str
    parts: tuple[str | float, ...]


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """Wait for the answer, and until it has been silent for a while."""

    timeout_s: float = 8.0
    quiet_s: float = 0.7


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """Wait until the answer has been heard for a while."""

    seconds: float
    timeout_s: float = 8.0


class Pause(msgspec.Struct, frozen=True, tag="pause"):
    """Wait."""

    seconds: float


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """Have the benchmark do something, and wait until it is done."""

    what: str


Step = Greeting | Say | Answer | Begun | Pause | Ask


class Plan(msgspec.Struct, frozen=True):
    """A call: which bot, with which voice, and what happens in it."""

    url: str
    voice: str
    steps: tuple[Step, ...]


class Said(msgspec.Struct, frozen=True):
    """Utterance of the caller, from its first sample to its last."""

    name: str
    parts: tuple[str | float, ...]
    voiced: tuple[tuple[float, float], ...]
    """Beginning and end of each part, in seconds on the machine's monotonic clock."""

    @property
    def began(self) -> float:
        return self.voiced[0][0]

    @property
    def ended(self) -> float:
        return self.voiced[-1][1]


class Record(msgspec.Struct, frozen=True):
    """Record of a call; times are seconds on the machine's monotonic clock."""

    began: float
    ended: float
    said: tuple[Said, ...]
    events: tuple[tuple[float, str, object], ...]
    """The bot's own messages: not judged by, only compared with."""
    asked: tuple[tuple[float, float, str], ...] = ()
    """Requests of the call to the benchmark: when each began, when it was done, and what was asked for."""


class Asked(msgspec.Struct, frozen=True):
    """A request to the model."""

    at: float
    """Seconds on the machine's monotonic clock."""
    messages: tuple[dict[str, Any], ...]
    wants_answer: bool
    """True for a request that wants an answer; False for a warm-up."""


class Call(msgspec.Struct, frozen=True):
    """A record and what was heard."""

    record: Record
    heard: Track


def save(folder: Path, record: Record, heard: Track) -> None:
    """Write a call where `load` finds it."""
    (folder / "record.json").write_bytes(msgspec.json.encode(record))
    np.savez(folder / "heard.npz", arrivals=np.asarray(heard.arrivals), samples=heard.samples)


def load(folder: Path) -> Call:
    """Read what `save` wrote."""
    record = msgspec.json.decode((folder / "record.json").read_bytes(), type=Record)
    with np.load(folder / "heard.npz") as stored:
        return Call(record, Track(stored["arrivals"].tolist(), stored["samples"]))
