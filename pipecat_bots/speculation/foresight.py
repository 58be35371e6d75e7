"""Silence after which the words so far are those of the final: learnt from the silences before.

Two things may be wrong with words in a young silence. The recogniser may lag: one that answers a soft reset
without flushing its look-ahead lacks the last words for 0.1 to 0.3 s. And the user may only have drawn
breath. Both are known afterwards, from the final and from the voice, so nothing is assumed of either.

A machine of values: it is told what happens and how much audio has come, and never reads a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

TIMES_MS = (0, 20, 40, 60, 80, 100, 120)
"""Silence, since the detector is sure of it, after which words may be believed."""
UNSURE_MS = 140.0
"""Silence that the detector is not sure of (noise, music) and that counts as one all the same."""
BREATHS = 0.05
"""The share of silences that a voice ends before they are pauses, of a user who has not been heard much."""
WEIGHT = 5.0
"""Silences that the share `BREATHS` counts for."""
MOST_WRONG = 0.08
"""Limit of wrong words that are believed, a share: below the one speculation in ten that may be in vain."""
KNOWN_AFTER = 3
"""Finals after which a recogniser that does not say that it flushes is known."""
REST_AFTER = 5
"""Pauses in a row with no right words before the final, after which one is known to be too late."""
PROBE_EVERY = 8
"""Silences, with a recogniser that is too late, in one of which it is asked."""
REPEAT_MS = 40.0
"""Milliseconds of silence between two questions to a recogniser that lags."""
LATE_MS = 40.0
"""Audio within which an answer comes that does not hold the final up."""


@dataclass(slots=True)
class _Silence:
    """One silence of the user, and what was heard in it."""

    probed: bool = True
    """True if the recogniser is asked in this silence."""
    lasted_ms: float = -inf
    """Milliseconds since the detector was sure of the silence."""
    unsure_ms: float = 0.0
    asked_ms: float = -inf
    waited_ms: float = 0.0
    """Milliseconds of audio since the silence became a pause."""
    heard: list[tuple[float, str]] = field(default_factory=list)
    """Words, each with the milliseconds of silence after which they came."""

    def right_from(self, final: str, same: Callable[[str, str], bool]) -> float:
        """Return the silence from which on the words were those of the final."""
        right = inf
        for at, text in reversed(self.heard):
            if not same(text, final):
                break
            right = at
        return right


@dataclass(frozen=True, slots=True)
class _Known:
    """Outcome of a silence, ms: `lasted_ms` infinite for a pause, `right_from_ms` if no words were right."""

    lasted_ms: float
    right_from_ms: float


class Foresight:
    """Say when the recogniser is asked for the words so far, and whether they are believed.

    Args:
        same: True if two transcripts say the same.
        memory: Silences looked at.
    """

    def __init__(self, same: Callable[[str, str], bool], memory: int = 24) -> None:
        self._same = same
        self._flushes = False
        self._known: deque[_Known] = deque(maxlen=memory)
        self._silence: _Silence | None = None
        self._paused: _Silence | None = None
        """A silence that has become a pause, whose final is due."""
        self._count = 0

    def connected(self) -> None:
        """Start on another connection: requests on the one before stay unanswered."""
        self._silence = self._paused = None

    # ------------------------------------------------------------------------------- what happens

    def quiet(self) -> None:
        """Note that no voice is heard any more."""
        self._count += 1
        self._paused = None
        self._silence = _Silence(probed=not self.rests or self._count % PROBE_EVERY == 0)

    def silent(self) -> bool:
        """Note that the detector is sure of silence. Return whether to ask for the words so far now."""
        silence = self._silence
        if silence is None:
            return False
        silence.lasted_ms = max(silence.lasted_ms, 0.0)
        return self._is_due(silence)

    def voiced(self) -> None:
        """Note that a voice is heard again."""
        silence, self._silence = self._silence, None
        if silence is not None and silence.probed and silence.lasted_ms >= 0:
            self._known.append(_Known(silence.lasted_ms, inf))

    def audio(self, ms: float) -> bool:
        """Count `ms` of audio. Return whether to ask for the words so far now."""
        if self._paused is not None:
            self._paused.waited_ms += ms
        silence = self._silence
        if silence is None:
            return False
        silence.lasted_ms += ms
        silence.unsure_ms += ms
        return self.silent() if silence.unsure_ms >= UNSURE_MS else self._is_due(silence)

    def asked(self) -> None:
        """Note that the words so far have been asked for."""
        if self._silence is not None:
            self._silence.asked_ms = self._silence.lasted_ms

    def answered(self, text: str, since_ms: float, flushed: bool) -> bool:
        """Take in the words so far. Return whether they are believed to be all.

        Args:
            text: The words.
            since_ms: The silence they were asked for after.
            flushed: True if the recogniser says that the audio it has heard holds no more words.
        """
        if flushed is not self._flushes:
            self._flushes = flushed
            self._known.clear()
        return self._was_late(text, since_ms) if self._paused else self._heard(text, since_ms)

    def grew(self, text: str) -> bool:
        """Take in words that have come unasked. Return whether they are believed to be all."""
        # One that flushes knows more when it is asked than it says unasked.
        return not self._flushes and self._heard(text, self.silence_ms)

    def _heard(self, text: str, at_ms: float) -> bool:
        if self._silence is None or self._silence.lasted_ms < 0:
            return False
        self._silence.heard.append((at_ms, text))
        return self.is_believed(at_ms)

    def _was_late(self, text: str, since_ms: float) -> bool:
        """Judge an answer that came in the pause: one that was long in the final's way was too dear."""
        assert self._paused is not None
        if self._paused.waited_ms >= LATE_MS:
            self._paused.heard.clear()
        else:
            self._paused.heard.append((since_ms, text))
        return False

    def pauses(self) -> None:
        """Note that the silence is a pause, and that its final has been asked for."""
        self._silence, self._paused = None, self._silence

    def final(self, text: str) -> None:
        """Take in the pause's final."""
        silence, self._paused = self._paused, None
        if silence is None or not silence.probed or not text:
            return
        right_from = silence.right_from(text, self._same)
        if self._flushes and (right_from < inf or silence.asked_ms < 0):
            right_from = 0.0  # it would have been, whenever it had been asked for
        if self.rests and right_from < inf:
            self._known.clear()
        self._known.append(_Known(inf, right_from))

    # ------------------------------------------------------------------------------- what follows

    @property
    def silence_ms(self) -> float:
        """Milliseconds that the silence that goes on has lasted; 0 if there is none."""
        return max(0.0, self._silence.lasted_ms) if self._silence is not None else 0.0

    @property
    def rests(self) -> bool:
        """True if the recogniser is known to be too late to be worth asking: it was, pause after pause."""
        last = [known.right_from_ms for known in self._known if known.lasted_ms == inf][-REST_AFTER:]
        return len(last) == REST_AFTER and min(last) > TIMES_MS[-1]

    def is_believed(self, silence_ms: float) -> bool:
        """Return whether words are to be believed after so many milliseconds of silence."""
        return silence_ms >= self._believed_from()

    def _believed_from(self) -> float:
        """Return the silence after which words are believed; infinite if they never are."""
        finals = sum(known.lasted_ms == inf for known in self._known)
        if not self._flushes and finals < KNOWN_AFTER:
            return inf
        return next((at for at in TIMES_MS if self._wrong(at) < MOST_WRONG), inf)

    def _wrong(self, at: float) -> float:
        """Return the share of silences of this length whose words were wrong, or not the last ones."""
        longer = [known for known in self._known if known.lasted_ms >= at]
        wrong = sum(known.right_from_ms > at for known in longer)
        return (wrong + WEIGHT * BREATHS) / (len(longer) + WEIGHT)

    def _is_due(self, silence: _Silence) -> bool:
        if not silence.probed or silence.lasted_ms < 0:
            return False
        if self._flushes:
            believed_from = self._believed_from()
            at = believed_from if believed_from < inf else 0.0
            return silence.asked_ms < 0 and silence.lasted_ms >= at
        return silence.lasted_ms >= max(0.0, silence.asked_ms + REPEAT_MS)
