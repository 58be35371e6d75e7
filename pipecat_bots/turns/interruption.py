"""Fate of the bot's speech when somebody is heard during it.

A machine of values: it is told what happens and how much audio has come, and never waits or reads a clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto

from pipecat_bots.turn_text.phrases import Phrases


@dataclass(frozen=True, slots=True)
class Patience:
    """Milliseconds a voice may go on before it is taken for an interruption."""

    hold_ms: float = 20.0
    """Voice behind the window it was first heard in, after which the bot falls silent for the time being."""
    flicker_ms: float = 96.0
    """Silence after which a voice that the detector of speech did not confirm was none."""
    longest_ms: float = 2000.0
    """Voice without a word but assent: longer than most laughs and fits of coughing."""
    final_ms: float = 1000.0
    """Wait for a transcript after the voice; then it held no words."""
    last_words_s: float = 0.8
    """Seconds left to say at which the bot has made its point: assent is an answer to it."""


class Verdict(Enum):
    NOTHING = auto()
    HOLD = auto()
    """Fall silent until it is known what this is."""
    RESUME = auto()
    """Go on: the sound was nothing."""
    ASSENT = auto()
    """Go on: somebody listens, and says so."""
    INTERRUPT = auto()
    """The user's turn begins."""
    LATER = auto()
    """Words of the turn before, which has ended without them: they wait until the bot has spoken."""


class Interjection:
    """One voice during the bot's speech. Each method returns what follows from what has happened."""

    def __init__(self, assent: Phrases, patience: Patience | None = None) -> None:
        self._assent = assent
        self._patience = patience or Patience()
        self._bot_speaks = self._in_turn = False
        self._voiced = self._speaking = self._has_spoken = False
        """Flags: a voice is heard now; the detector confirmed it; it confirmed one since the last turn."""
        self._settle()

    def _settle(self) -> None:
        self._held = self._final_due = False
        self._voiced_ms = self._quiet_ms = self._waited_ms = 0.0
        """Milliseconds: unbroken voice; unbroken silence; voice since the hold, then the silence after it."""
        self._left_s = math.inf

    # ------------------------------------------------------------------------------- what happens

    def turn_begins(self) -> None:
        """The floor is the user's; the bot is silenced."""
        self._settle()
        self._in_turn, self._bot_speaks = True, False

    def turn_ends(self) -> None:
        self._settle()
        self._in_turn = self._has_spoken = False

    def bot_speaks(self) -> None:
        self._bot_speaks = True

    def bot_stops(self) -> Verdict:
        """Note that the bot has nothing left to say: a voice that speaks now has the floor."""
        self._bot_speaks = False
        if not self._held:
            return self._release(_NOTHING)
        return self._release(Verdict.INTERRUPT if self._speaking else Verdict.RESUME)

    def held(self, left_s: float) -> None:
        """The bot has fallen silent, with so much left to say."""
        self._left_s = left_s

    def voice(self, voiced: bool) -> None:
        """The newest window holds a voice, or none."""
        self._voiced = voiced
        self._voiced_ms = self._quiet_ms = 0.0

    def audio(self, ms: float) -> Verdict:
        """Count `ms` of audio, come since the last call."""
        if self._voiced:
            self._voiced_ms += ms
        else:
            self._quiet_ms += ms
        if not self._held:
            return self._hold() if self._voiced and self._voiced_ms >= self._patience.hold_ms else _NOTHING
        if self._voiced or self._final_due:
            self._waited_ms += ms
        return self._out_of_patience()

    def speaks(self) -> Verdict:
        """The detector has made up its mind: somebody speaks."""
        self._speaking, self._voiced, self._final_due = True, True, False
        self._has_spoken = True
        if not self._bot_speaks:
            return Verdict.INTERRUPT
        return _NOTHING if self._held else self._hold()

    def pauses(self) -> None:
        """The detector has made up its mind: somebody has spoken. A transcript is due."""
        self._speaking = self._voiced = False
        self._final_due = True
        self._waited_ms = 0.0

    def text(self, text: str, is_last: bool) -> Verdict:
        """A transcript has come; `is_last` if nothing is to follow it."""
        if not text.strip():
            return _NOTHING
        if self._bot_speaks and not (self._in_turn or self._has_spoken):
            return Verdict.LATER if is_last else _NOTHING
        if not self._may_be_assent(text, is_last):
            return Verdict.INTERRUPT
        if not is_last or self._speaking:
            return _NOTHING
        return self._release(Verdict.ASSENT)

    def nothing_said(self) -> Verdict:
        """The transcript that was due holds no words."""
        return self._release(Verdict.RESUME) if self._held and not self._speaking else _NOTHING

    # ------------------------------------------------------------------------------- what follows

    def _may_be_assent(self, text: str, is_last: bool) -> bool:
        is_during = self._bot_speaks and not self._in_turn and self._left_s > self._patience.last_words_s
        if not is_during:
            return False
        return self._assent.make_up(text) if is_last else self._assent.may_make_up(text)

    def _out_of_patience(self) -> Verdict:
        patience = self._patience
        if self._speaking:
            return Verdict.INTERRUPT if self._waited_ms >= patience.longest_ms else _NOTHING
        if self._final_due:
            is_over = self._waited_ms >= patience.final_ms
        else:
            is_over = not self._voiced and self._quiet_ms >= patience.flicker_ms
        return self._release(Verdict.RESUME) if is_over else _NOTHING

    def _hold(self) -> Verdict:
        if not self._bot_speaks or self._in_turn:
            return _NOTHING
        self._settle()
        self._held = True
        return Verdict.HOLD

    def _release(self, verdict: Verdict) -> Verdict:
        self._settle()
        return verdict


_NOTHING = Verdict.NOTHING
