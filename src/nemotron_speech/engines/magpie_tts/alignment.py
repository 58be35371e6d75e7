"""Text alignment of a Magpie utterance: the attended position, and the attention prior of the next step.

Magpie has no duration model. It is kept on its text by a prior over text positions, rebuilt after every
decoder step from the cross-attention of that step, and it is known to be near its end by the same means. The
rules and their constants are those of NeMo 3.0's inference (`MagpieTTSModel.generate_speech`), for one
utterance; tests compare every prior with NeMo's.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AlignmentRules:
    """The constants of the loaded model."""

    enabled: bool
    epsilon: float
    """Weight of positions that should not be attended to."""
    lookahead: int
    """Positions ahead of the last one that the search for the next one covers."""
    first_weights: tuple[float, ...]
    """Weights of a later chunk's first positions before anything was attended to."""
    weights: tuple[float, ...]
    """Weights of a later chunk's positions: the one before the attended one, that one, and those ahead."""
    short_text: int
    """Tokens up to which a later chunk's text needs no guidance."""
    near_end: int
    sink: int
    """Visits that make a position a trap: it and all positions before it are closed."""
    forced_end: int
    """Steps near its end after which a chunk that is not the last must end."""
    allow_end_after: int
    allow_end_after_last: int
    """Steps after the end of its text was reached, from which a later chunk, and the last one, may end."""
    finished_after_first: int
    finished_after: int
    """Steps after the end of its text from which the first chunk, and a later one, is certainly over."""


_SKIP_AFTER = 8
"""Attended to this often, the search starts one position later."""
_SHORTEST_GUIDED = 5
"""A first chunk of at most this many tokens needs no guidance."""
_UNGUIDED_END = 3
"""The last positions are not searched."""
_FIRST_NEAR_END = 2
_ALLOW_END_AFTER_FIRST = 5


class Alignment:
    """The position of one utterance in its text, over all its chunks: a value, replaced at every step."""

    def __init__(self, rules: AlignmentRules) -> None:
        self._rules = rules
        self._last = 1
        self._offset = 0
        """Tokens of the whole text before the window of the current chunk."""
        self._window = 0
        self._seen: dict[int, int] = {}
        self._first = self._final = True
        self._steps_at_end: int | None = None
        self.unfinished = False
        """True if the text is certainly not spoken to its end."""
        self.prior: Weights | None = None
        """Weight of each text position in the next step; None: all alike."""
        self.attended = 0
        """The position in the window attended to in the last step."""

    def at_chunk(self, chunk: int, window: int, *, final: bool) -> Alignment:
        """Return the alignment at the start of a chunk: `chunk` tokens, with history `window` tokens."""
        new = copy.copy(self)
        new._first = self._window == 0
        if not new._first:
            new._offset += self._window + chunk - window
        new._window, new._final = window, final
        new._seen, new._steps_at_end, new.unfinished = {}, None, False
        new.prior = None if new._first else new._opening(window - chunk)
        return new

    def after(self, scores: Weights) -> Alignment:
        """Return the alignment after a step whose attention over the window was `scores`."""
        new = copy.copy(self)
        new.attended = self._most_attended(scores)
        new._last = new.attended + self._offset
        new._seen = {**self._seen, new._last: self._seen.get(new._last, 0) + 1}
        new.prior = new._first_prior() if self._first else new._later_prior()
        new._note_end()
        return new

    @property
    def steps_at_end(self) -> int:
        """Steps since the end of the text was reached; 0 before."""
        return self._steps_at_end or 0

    @property
    def must_end(self) -> bool:
        """True if the chunk is not the last one and has been at its end for `forced_end` steps."""
        return not self._final and self.steps_at_end >= self._rules.forced_end

    @property
    def finished(self) -> bool:
        """True if the chunk's text has certainly been spoken to its end."""
        rules = self._rules
        return self.steps_at_end >= (rules.finished_after_first if self._first else rules.finished_after)

    def _opening(self, history: int) -> Weights:
        prior = np.full(self._window, self._rules.epsilon, np.float32)
        prior[:history] = self._rules.epsilon**2
        ahead = self._rules.first_weights[: self._window - history]
        prior[history : history + len(ahead)] = ahead
        return prior

    def _most_attended(self, scores: Weights) -> int:
        skip = self._seen.get(self._last, 0) >= _SKIP_AFTER
        # When a chunk ended before its text did, NeMo counts from the end of the window here and gives the
        # next chunk up as spoken; from the window's beginning, the next chunk is spoken.
        start = max(self._last + skip - self._offset, 0)
        candidates = scores[start : min(start + self._rules.lookahead, self._window - _UNGUIDED_END)]
        return start + int(candidates.argmax()) if len(candidates) else self._window - 1

    def _first_prior(self) -> Weights:
        last, at = self._window - 1, self.attended
        if self._window <= _SHORTEST_GUIDED:
            prior = np.ones(self._window, np.float32)
        else:
            prior = np.full(self._window, self._rules.epsilon, np.float32)
            prior[min(max(1, at - 1), last) : at + self._rules.lookahead + 1] = 1.0
        self._close_sinks(prior, self._rules.epsilon)
        return prior

    def _later_prior(self) -> Weights:
        rules, at = self._rules, self.attended
        prior = np.full(self._window, rules.epsilon, np.float32)
        if self._window <= rules.short_text:
            prior[:] = 1.0
        else:
            before = max(1, at - 1)
            prior[:before] = rules.epsilon**2
            prior[before] = rules.weights[0]
            ahead = rules.weights[1 : 1 + self._window - at]
            prior[at : at + len(ahead)] = ahead
            prior[at + len(rules.weights) - 1 :] = rules.epsilon**2
        self._close_sinks(prior, rules.epsilon**2)
        return prior

    def _close_sinks(self, prior: Weights, closed: float) -> None:
        sinks = [at for at, times in self._seen.items() if times >= self._rules.sink]
        if sinks and (self._first or max(sinks) > self._offset):
            prior[: max(sinks) - self._offset + 1] = closed

    def _note_end(self) -> None:
        near_end = self._rules.near_end if not self._first else _FIRST_NEAR_END
        if self.attended >= self._window - near_end and self._steps_at_end is None:
            self._steps_at_end = 0
        self.unfinished = self.attended < self._window - (
            _UNGUIDED_END if self._first else self._rules.near_end
        )
        if self._steps_at_end is not None:
            self._steps_at_end += 1
            self.unfinished &= self._steps_at_end <= self._allowed_after()

    def _allowed_after(self) -> int:
        if self._first:
            return _ALLOW_END_AFTER_FIRST
        return self._rules.allow_end_after_last if self._final else self._rules.allow_end_after
