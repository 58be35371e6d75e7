"""End of the user's turn: silence, prosody and words decide together.

A machine of values: it is told what happens and how much audio has come, and never waits or reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from pipecat_bots.turn_text.completeness import cue
from pipecat_bots.turn_text.dictation import resumes
from pipecat_bots.turn_text.vocabulary import Completeness

WHOLE_COUNTS = 0.3
"""Addition to the probability of the end for words that could end here."""


@dataclass(frozen=True, slots=True)
class EndpointingDelays:
    """Milliseconds of silence after which a turn is over.

    `sure_ms` of them suffice for a turn that prosody takes for complete. One that sounds unfinished is given
    `least_ms` to `most_ms`, a number that may be whole or not `open_ms` to `open_most_ms`, a sentence that
    lacks something `lacking_ms` to `lacking_most_ms`, and one that ends as nobody does `trailing_ms` to
    `longest_ms`: the more the less it sounds complete.
    """

    sure_ms: float = 200.0
    least_ms: float = 350.0
    most_ms: float = 900.0
    open_ms: float = 1200.0
    open_most_ms: float = 1600.0
    lacking_ms: float = 1800.0
    lacking_most_ms: float = 2200.0
    trailing_ms: float = 2200.0
    longest_ms: float = 2400.0
    final_ms: float = 3000.0
    """Milliseconds a turn that has words waits for a transcript that does not come."""

    def wait_ms(
        self, text: str, probability: float | None, language: str = "en", resumed: bool = False
    ) -> float:
        """Return the silence after which a turn with this text, complete with this probability, is over.

        `resumed`: it goes on with a dictation that was paused in before.
        """
        sounds = 0.0 if probability is None else probability
        match cue(text, language, resumed):
            case Completeness.OVER:
                return self.sure_ms
            case Completeness.GOES_ON:
                wait = _between(self.trailing_ms, self.longest_ms, sounds)
            case Completeness.OPEN:
                wait = _between(self.open_ms, self.open_most_ms, sounds)
            case Completeness.LACKS:
                wait = _between(self.lacking_ms, self.lacking_most_ms, sounds)
            case Completeness.WHOLE | Completeness.PLAIN as kind:
                complete = sounds + (WHOLE_COUNTS if kind is Completeness.WHOLE else 0.0)
                wait = self.sure_ms if complete >= 0.5 else _between(self.least_ms, self.most_ms, complete)
        return min(wait, self.longest_ms)


def _between(least: float, most: float, probability: float) -> float:
    """Return the shorter wait from a probability of one half on, the longer one for none."""
    return most - (most - least) * min(1.0, 2 * probability)


class TurnSpeech(Enum):
    """Speech of the user, as the detector of speech and the recogniser tell it."""

    NONE = auto()
    """No pause since the last turn: nothing was said, or too softly for the detector."""
    GOES_ON = auto()
    DUE = auto()
    """The user has paused, and the transcript is due."""
    KNOWN = auto()
    """The user has paused, and the transcript has come."""


class _Event(Enum):
    SPEAKS = auto()
    PAUSES = auto()
    TRANSCRIBED = auto()
    ENDS = auto()


_SPEECH = {
    **{(speech, _Event.SPEAKS): TurnSpeech.GOES_ON for speech in TurnSpeech},
    **{(speech, _Event.PAUSES): TurnSpeech.DUE for speech in TurnSpeech},
    (TurnSpeech.NONE, _Event.TRANSCRIBED): TurnSpeech.NONE,
    (TurnSpeech.GOES_ON, _Event.TRANSCRIBED): TurnSpeech.GOES_ON,
    (TurnSpeech.DUE, _Event.TRANSCRIBED): TurnSpeech.KNOWN,
    (TurnSpeech.KNOWN, _Event.TRANSCRIBED): TurnSpeech.KNOWN,
    (TurnSpeech.NONE, _Event.ENDS): TurnSpeech.NONE,
    (TurnSpeech.GOES_ON, _Event.ENDS): TurnSpeech.GOES_ON,
    (TurnSpeech.DUE, _Event.ENDS): TurnSpeech.NONE,
    (TurnSpeech.KNOWN, _Event.ENDS): TurnSpeech.NONE,
}


class TurnEnd:
    """One turn of the user, as it goes on. `over` is the decision."""

    def __init__(self, patience: EndpointingDelays | None = None, language: str = "en") -> None:
        self.language = language
        """Language of the words; may change with every transcript."""
        self._patience = patience or EndpointingDelays()
        self._speech = TurnSpeech.NONE
        self._voiced = False
        self.end()

    def begin(self) -> None:
        """Begin a turn, perhaps with words of a moment ago: speech and silence are left as they are."""
        self._segments: list[str] = []
        self._resumed = False
        self._probability: float | None = None

    def end(self) -> None:
        """End a turn: the next one begins with another pause."""
        self.begin()
        self._silence_ms = 0.0
        self._speech = _SPEECH[self._speech, _Event.ENDS]

    # ------------------------------------------------------------------------------- what happens

    def speaks(self) -> None:
        """Note that the detector has made up its mind: the user speaks."""
        self._speech = _SPEECH[self._speech, _Event.SPEAKS]
        self._voiced = True
        self._go_on()

    def pauses(self, stop_ms: float) -> None:
        """Note that the user has been silent for `stop_ms`, by the detector. A transcript is due."""
        self._speech = _SPEECH[self._speech, _Event.PAUSES]
        self._voiced = False
        self._silence_ms = max(self._silence_ms, stop_ms)

    def voice(self, voiced: bool) -> None:
        """Take in whether the newest window holds a voice."""
        self._voiced = voiced
        if self.is_speaking:
            self._go_on()

    def audio(self, ms: float) -> None:
        """Count `ms` of audio, come since the last call."""
        if not (self.is_speaking and self._voiced):
            self._silence_ms += ms

    def judged(self, probability: float) -> None:
        """Take in the judgement of the detector of turn ends, which has heard the pause that is going on."""
        self._probability = probability

    def said(self, text: str, is_last: bool) -> None:
        """Take in a transcript; `is_last` if it reaches to the pause.

        Speech too soft for the detector has no pauses: its silence begins with its latest transcript.
        """
        self._resumed = bool(self._segments) and resumes(self._segments[-1], text, self.language)
        self._segments.append(text.strip())
        if self._speech is TurnSpeech.NONE:
            self._silence_ms = 0.0
        if is_last:
            self.said_nothing()

    def said_nothing(self) -> None:
        """Note that the transcript that was due holds no words."""
        self._speech = _SPEECH[self._speech, _Event.TRANSCRIBED]

    def _go_on(self) -> None:
        self._silence_ms = 0.0
        self._probability = None

    # ------------------------------------------------------------------------------- what follows

    @property
    def is_speaking(self) -> bool:
        """True if the user speaks, as far as the detector has made up its mind."""
        return self._speech is TurnSpeech.GOES_ON

    @property
    def is_quiet(self) -> bool:
        """True if the user has spoken and is silent, were it for a moment."""
        return self._speech is not TurnSpeech.NONE and not self._voiced

    @property
    def is_voiced(self) -> bool:
        """True if a voice is heard now, or was in the newest window."""
        return self._voiced

    @property
    def text(self) -> str:
        """The words of the turn."""
        return " ".join(self._segments)

    def text_with(self, heard: str) -> str:
        """Return the words of the turn, with `heard` as its newest part."""
        return " ".join(filter(None, [*self._segments, heard.strip()]))

    @property
    def over(self) -> bool:
        """True if the turn is over: with words, in silence, for as long as these words want."""
        if self.is_speaking or self._voiced or not self._segments:
            return False
        if self._speech is TurnSpeech.DUE:
            return self._silence_ms >= self._patience.sure_ms + self._patience.final_ms
        wait = self._patience.wait_ms(self.text, self._probability, self.language, self._resumed)
        return self._silence_ms >= wait
