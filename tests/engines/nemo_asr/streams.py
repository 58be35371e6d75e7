"""Driving an engine the way the server does: exactly the samples it wants, a flush with what is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nemotron_speech.engines.base import AsrResult, AsrWork, Flush
from nemotron_speech.engines.nemo_asr.engine import NemoAsrEngine
from nemotron_speech.engines.nemo_asr.stream import NemoStream
from nemotron_speech.errors import EngineError
from tests.engines.nemo_asr.offline import spaced

Samples = npt.NDArray[np.int16]


@dataclass(eq=False)
class Caller:
    """One caller with a recording to say, utterance by utterance."""

    engine: NemoAsrEngine
    utterances: Sequence[Samples]
    stream: NemoStream = field(init=False)
    finals: list[AsrResult] = field(default_factory=list)
    interims: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stream = self.engine.open(None)
        self._works = self._plan()

    def next_work(self) -> AsrWork | None:
        return next(self._works, None)

    def apply(self, outcome: AsrResult | EngineError, flush: Flush) -> None:
        assert isinstance(outcome, AsrResult), outcome
        if flush is Flush.NONE:
            self.interims.append(outcome.text)
        else:
            self.finals.append(outcome)

    def _plan(self) -> Iterator[AsrWork]:
        for utterance in self.utterances:
            at = 0
            while len(utterance) - at > (wanted := self.stream.wanted_samples):
                yield AsrWork(self.stream, utterance[at : at + wanted].tobytes())
                at += wanted
            yield AsrWork(self.stream, utterance[at:].tobytes(), Flush.HARD)


def step(engine: NemoAsrEngine, callers: Sequence[Caller]) -> list[Caller]:
    """Advance `callers` together; return those that have more to say."""
    works = [(caller, work) for caller in callers if (work := caller.next_work())]
    outcomes = engine.step([work for _, work in works]) if works else []
    for (caller, work), outcome in zip(works, outcomes, strict=True):
        caller.apply(outcome, work.flush)
    return [caller for caller, _ in works]


def recognise(engine: NemoAsrEngine, *utterances: Samples) -> list[str]:
    """Say `utterances` alone on one stream and return their finals."""
    caller = Caller(engine, utterances)
    while step(engine, [caller]):
        pass
    engine.close(caller.stream)
    return [spaced(result.text) for result in caller.finals]
