"""Fate of the bot's speech when somebody is heard during it.

A machine of values: it is told what happens and how much audio has come, and never waits or reads a clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto

from pipecat_bots.turn_text.phrases import Phrases


@dataclass(frozen=True, slots=True)
class InterruptionTimeouts:
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


class InterruptionVerdict(Enum):
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


class FloorHolder(Enum):
    """Parties that have the floor."""

    NOBODY = auto()
    BOT = auto()
    USER = auto()
    BOTH = auto()
    """The bot says something of its own in the user's turn."""


class OverheardVoice(Enum):
    """Voice of the user, and what the bot does about it."""

    QUIET = auto()
    """None that the detector has confirmed."""
    SPEAKS = auto()
    """The user speaks, and the bot need not be held."""
    SOUND = auto()
    """The bot is held for a sound that the detector has not confirmed."""
    HEARD = auto()
    """The bot is held, and the user speaks."""
    DUE = auto()
    """The bot is held, the user has spoken, and the transcript is due."""


class _Event(Enum):
    TURN_BEGINS = auto()
    TURN_ENDS = auto()
    BOT_SPEAKS = auto()
    BOT_STOPS = auto()
    HOLDS = auto()
    CONFIRMED = auto()
    PAUSES = auto()
    RELEASED = auto()


_FLOOR = {
    **{(floor, _Event.TURN_BEGINS): FloorHolder.USER for floor in FloorHolder},
    (FloorHolder.NOBODY, _Event.TURN_ENDS): FloorHolder.NOBODY,
    (FloorHolder.BOT, _Event.TURN_ENDS): FloorHolder.BOT,
    (FloorHolder.USER, _Event.TURN_ENDS): FloorHolder.NOBODY,
    (FloorHolder.BOTH, _Event.TURN_ENDS): FloorHolder.BOT,
    (FloorHolder.NOBODY, _Event.BOT_SPEAKS): FloorHolder.BOT,
    (FloorHolder.BOT, _Event.BOT_SPEAKS): FloorHolder.BOT,
    (FloorHolder.USER, _Event.BOT_SPEAKS): FloorHolder.BOTH,
    (FloorHolder.BOTH, _Event.BOT_SPEAKS): FloorHolder.BOTH,
    (FloorHolder.NOBODY, _Event.BOT_STOPS): FloorHolder.NOBODY,
    (FloorHolder.BOT, _Event.BOT_STOPS): FloorHolder.NOBODY,
    (FloorHolder.USER, _Event.BOT_STOPS): FloorHolder.USER,
    (FloorHolder.BOTH, _Event.BOT_STOPS): FloorHolder.USER,
}
_VOICE = {
    (OverheardVoice.QUIET, _Event.HOLDS): OverheardVoice.SOUND,
    (OverheardVoice.SPEAKS, _Event.HOLDS): OverheardVoice.HEARD,
    (OverheardVoice.QUIET, _Event.CONFIRMED): OverheardVoice.SPEAKS,
    (OverheardVoice.SPEAKS, _Event.CONFIRMED): OverheardVoice.SPEAKS,
    (OverheardVoice.SOUND, _Event.CONFIRMED): OverheardVoice.HEARD,
    (OverheardVoice.HEARD, _Event.CONFIRMED): OverheardVoice.HEARD,
    (OverheardVoice.DUE, _Event.CONFIRMED): OverheardVoice.HEARD,
    (OverheardVoice.QUIET, _Event.PAUSES): OverheardVoice.QUIET,
    (OverheardVoice.SPEAKS, _Event.PAUSES): OverheardVoice.QUIET,
    (OverheardVoice.SOUND, _Event.PAUSES): OverheardVoice.DUE,
    (OverheardVoice.HEARD, _Event.PAUSES): OverheardVoice.DUE,
    (OverheardVoice.DUE, _Event.PAUSES): OverheardVoice.DUE,
    (OverheardVoice.QUIET, _Event.RELEASED): OverheardVoice.QUIET,
    (OverheardVoice.SPEAKS, _Event.RELEASED): OverheardVoice.SPEAKS,
    (OverheardVoice.SOUND, _Event.RELEASED): OverheardVoice.QUIET,
    (OverheardVoice.HEARD, _Event.RELEASED): OverheardVoice.SPEAKS,
    (OverheardVoice.DUE, _Event.RELEASED): OverheardVoice.QUIET,
}
_BOT_SPEAKS = (FloorHolder.BOT, FloorHolder.BOTH)
_HELD = (OverheardVoice.SOUND, OverheardVoice.HEARD, OverheardVoice.DUE)
_SPEAKING = (OverheardVoice.SPEAKS, OverheardVoice.HEARD)


class Interjection:
    """One voice during the bot's speech. Each method returns what follows from what has happened."""

    def __init__(self, assent: Phrases, patience: InterruptionTimeouts | None = None) -> None:
        self._assent = assent
        self._patience = patience or InterruptionTimeouts()
        self._floor, self._voice = FloorHolder.NOBODY, OverheardVoice.QUIET
        self._voiced = False
        """True if the newest window holds a voice."""
        self._is_answered = True
        """True if nobody has been confirmed to speak since the last turn: words belong to that one."""
        self._count_anew()

    def _count_anew(self) -> None:
        self._voiced_ms = self._quiet_ms = self._waited_ms = 0.0
        """Milliseconds: unbroken voice; unbroken silence; voice since the hold, then the silence after it."""
        self._left_s = math.inf

    # ------------------------------------------------------------------------------- what happens

    def turn_begins(self) -> None:
        """Give the floor to the user; the bot is silenced."""
        self._settle()
        self._floor = _FLOOR[self._floor, _Event.TURN_BEGINS]

    def turn_ends(self) -> None:
        self._settle()
        self._floor = _FLOOR[self._floor, _Event.TURN_ENDS]
        self._is_answered = True

    def bot_speaks(self) -> None:
        self._floor = _FLOOR[self._floor, _Event.BOT_SPEAKS]

    def bot_stops(self) -> InterruptionVerdict:
        """Note that the bot has nothing left to say: a voice that speaks now has the floor."""
        self._floor = _FLOOR[self._floor, _Event.BOT_STOPS]
        if self._voice not in _HELD:
            return self._release(_NOTHING)
        return self._release(
            InterruptionVerdict.INTERRUPT
            if self._voice is OverheardVoice.HEARD
            else InterruptionVerdict.RESUME
        )

    def held(self, left_s: float) -> None:
        """Note that the bot has fallen silent, with so much left to say."""
        self._left_s = left_s

    def voice(self, voiced: bool) -> None:
        """Take in whether the newest window holds a voice."""
        self._voiced = voiced
        self._voiced_ms = self._quiet_ms = 0.0

    def audio(self, ms: float) -> InterruptionVerdict:
        """Count `ms` of audio, come since the last call."""
        if self._voiced:
            self._voiced_ms += ms
        else:
            self._quiet_ms += ms
        if self._voice not in _HELD:
            return self._hold() if self._voiced and self._voiced_ms >= self._patience.hold_ms else _NOTHING
        if self._voiced or self._voice is OverheardVoice.DUE:
            self._waited_ms += ms
        return self._out_of_patience()

    def speaks(self) -> InterruptionVerdict:
        """Note that the detector has made up its mind: somebody speaks."""
        self._voice = _VOICE[self._voice, _Event.CONFIRMED]
        self._voiced, self._is_answered = True, False
        if self._floor not in _BOT_SPEAKS:
            return InterruptionVerdict.INTERRUPT
        return _NOTHING if self._voice in _HELD else self._hold()

    def pauses(self) -> None:
        """Note that somebody has spoken, by the detector. A transcript is due."""
        self._voice = _VOICE[self._voice, _Event.PAUSES]
        self._voiced = False
        self._waited_ms = 0.0

    def text(self, text: str, is_last: bool) -> InterruptionVerdict:
        """Take in a transcript; `is_last` if nothing is to follow it."""
        if not text.strip():
            return _NOTHING
        if self._floor is FloorHolder.BOT and self._is_answered:
            return InterruptionVerdict.LATER if is_last else _NOTHING
        if not self._may_be_assent(text, is_last):
            return InterruptionVerdict.INTERRUPT
        if not is_last or self._voice in _SPEAKING:
            return _NOTHING
        return self._release(InterruptionVerdict.ASSENT)

    def nothing_said(self) -> InterruptionVerdict:
        """Note that the transcript that was due holds no words."""
        return (
            self._release(InterruptionVerdict.RESUME)
            if self._voice in (OverheardVoice.SOUND, OverheardVoice.DUE)
            else _NOTHING
        )

    # ------------------------------------------------------------------------------- what follows

    def _may_be_assent(self, text: str, is_last: bool) -> bool:
        if self._floor is not FloorHolder.BOT or self._left_s <= self._patience.last_words_s:
            return False
        return self._assent.make_up(text) if is_last else self._assent.may_make_up(text)

    def _out_of_patience(self) -> InterruptionVerdict:
        patience = self._patience
        match self._voice:
            case OverheardVoice.HEARD:
                return InterruptionVerdict.INTERRUPT if self._waited_ms >= patience.longest_ms else _NOTHING
            case OverheardVoice.DUE:
                is_over = self._waited_ms >= patience.final_ms
            case _:
                is_over = not self._voiced and self._quiet_ms >= patience.flicker_ms
        return self._release(InterruptionVerdict.RESUME) if is_over else _NOTHING

    def _hold(self) -> InterruptionVerdict:
        if self._floor is not FloorHolder.BOT:
            return _NOTHING
        self._voice = _VOICE[self._voice, _Event.HOLDS]
        self._count_anew()
        return InterruptionVerdict.HOLD

    def _release(self, verdict: InterruptionVerdict) -> InterruptionVerdict:
        self._settle()
        return verdict

    def _settle(self) -> None:
        """Hold the bot no longer."""
        self._voice = _VOICE[self._voice, _Event.RELEASED]
        self._count_anew()


_NOTHING = InterruptionVerdict.NOTHING
