"""Intent rules: from a recogniser's text to the request it makes. Pure functions, no state.

Recognised speech has no punctuation, loses little words and confuses homophones, so the rules look for the
words that carry the meaning and ignore the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from nemotron_speech.responder.talk.arithmetic import Calculation, find_calculation
from nemotron_speech.responder.talk.spoken_numbers import read_number
from nemotron_speech.responder.talk.words import has, listed, plain_words, without_fillers


class IntentName(StrEnum):
    """Intents that the responder can tell apart."""

    NOTHING = "nothing"
    INTRODUCE = "introduce"
    GREETING = "greeting"
    OWN_NAME = "own_name"
    TELL_NAME = "tell_name"
    ASK_NAME = "ask_name"
    HOW_ARE_YOU = "how_are_you"
    HEAR_ME = "hear_me"
    MOOD = "mood"
    TIME = "time"
    DATE = "date"
    WEEKDAY = "weekday"
    YEAR = "year"
    CALCULATE = "calculate"
    COUNT = "count"
    REPEAT = "repeat"
    AGAIN = "again"
    HEARD = "heard"
    SPELL = "spell"
    STORY = "story"
    CONTINUE = "continue"
    RESTART = "restart"
    HELP = "help"
    STOP = "stop"
    THANKS = "thanks"
    GOODBYE = "goodbye"
    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Intent:
    """Request of the caller, and the part of it that the answer needs."""

    name: IntentName
    text: str = ""
    """Text to repeat or spell, the caller's name, or a good or bad mood; for UNKNOWN the whole request."""
    days: int = 0
    """Days from today, for DATE and WEEKDAY: 1 tomorrow, -1 yesterday."""
    first: int = 1
    last: int = 10
    """Ends of the count, for COUNT: from `first` to `last`, downwards when `last` is less than `first`."""
    calculation: Calculation | None = None


def understand(text: str) -> Intent:
    """Say what was asked. Any text gives an intent; UNKNOWN carries the text."""
    plain = plain_words(text)
    if not plain:
        return Intent(IntentName.NOTHING)
    words = without_fillers(plain)
    intent = _asked_behind_a_halt(words) or _matched(plain, words)
    return intent or Intent(IntentName.UNKNOWN, text=" ".join(text.split()))


def _matched(plain: Sequence[str], words: Sequence[str]) -> Intent | None:
    for rule in RULES:
        if intent := rule(plain if rule in KEEP_FILLERS else words):
            return intent
    return None


def _asked_behind_a_halt(words: Sequence[str]) -> Intent | None:
    """*wait, what time is it*; but not *stop the story*."""
    for halt in HALTS:
        if list(words[: len(halt)]) == halt:
            intent = _matched(words[len(halt) :], words[len(halt) :])
            return intent if intent and intent.name in QUESTIONS else None
    return None


Rule = Callable[[Sequence[str]], Intent | None]

ANY_LENGTH = 1000


def phrases(name: IntentName, text: str, at_most: int = ANY_LENGTH, but_not: str = "") -> Rule:
    """Make a rule: one of the phrases occurs among at most so many words, and none of the others does."""
    wanted = listed(text)
    unwanted = listed(but_not) if but_not else ()

    def rule(words: Sequence[str]) -> Intent | None:
        if len(words) > at_most or not has(words, wanted) or has(words, unwanted):
            return None
        return Intent(name)

    return rule


def whole(name: IntentName, text: str) -> Rule:
    """Make a rule: one of the phrases is all that was said."""
    wanted = frozenset(listed(text))
    return lambda words: Intent(name) if " ".join(words) in wanted else None


# ------------------------------------------------------------------------------ rules with a field


_USER = r"(?:the |our )?(?:user|caller|customer|visitor|guest|them)"
_TO_INTRODUCE = re.compile(
    r"\b(?:(?:introduc|present)(?:e|ing) yourself"
    rf"|(?:greet|welcom)(?:e|ing)? {_USER}"
    rf"|say(?:ing)? (?:hello|hi) to {_USER}"
    r"|(?:ask|say)(?:ing)?\b.* how you (?:can|may|could|might) (?:help|assist|be of)"
    r"|offer(?:ing)? (?:your |some )?(?:help|assistance)"
    r"|(?:start|begin|open) (?:the|this|a|our) (?:conversation|call))\b"
)
"""Instructions to an assistant, as bots give them before anybody has spoken."""


def _introduce(words: Sequence[str]) -> Intent | None:
    return Intent(IntentName.INTRODUCE) if _TO_INTRODUCE.search(" ".join(words)) else None


def _repeat(words: Sequence[str]) -> Intent | None:
    text = " ".join(words)
    match = re.search(r"\brepeat (?:after )?(?:me )?(.+)", text)
    match = match or re.match(
        r"(?:please |now |can you |could you |i want you to )*say (?:after me )?(?:the words? )?(.+)", text
    )
    return Intent(IntentName.REPEAT, text=match[1]) if match else None


def _spell(words: Sequence[str]) -> Intent | None:
    text = " ".join(words)
    match = re.search(r"\bhow (?:is|was) (?:the word )?(\S+) (?:\S+ )?(?:spelled|spelt|spell)\b", text)
    match = match or re.search(
        r"\bspell (?:out )?(?:me )?(?:for me )?(?:the |a )?(?:word |name )?(\S+)", text
    )
    return Intent(IntentName.SPELL, text=match[1]) if match else None


def _calculate(words: Sequence[str]) -> Intent | None:
    calculation = find_calculation(words)
    return Intent(IntentName.CALCULATE, calculation=calculation) if calculation else None


def _count(words: Sequence[str]) -> Intent | None:
    if not has(words, ("count", "counting")):
        return None
    first, rest = _number_after(words, "from")
    last, _ = _number_after(rest, "to", "until", "till")
    if has(words, ("backward", "backwards", "down")):
        if first is None:
            first, last = last, None
        return Intent(IntentName.COUNT, first=_or(first, 10), last=_or(last, 1))
    first = _or(first, 1)
    return Intent(IntentName.COUNT, first=first, last=_or(last, first + 9))


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value


def _number_after(words: Sequence[str], *joints: str) -> tuple[int | None, Sequence[str]]:
    """Return the first number that follows one of the words, and the words after it."""
    for index, word in enumerate(words):
        if word in joints and (number := read_number(words[index + 1 :])) is not None:
            return int(number.value), words[index + 1 + number.length :]
    return None, words


WEEKDAY_ASKED = listed("what day, which day, day is it, day of the week, day of week, day today, me the day")


def _date(words: Sequence[str]) -> Intent | None:
    days = 1 if has(words, ("tomorrow",)) else -1 if has(words, ("yesterday",)) else 0
    if has(words, ("date", "day of the month", "what month", "which month")):
        return Intent(IntentName.DATE, days=days)
    if has(words, WEEKDAY_ASKED) or re.search(r"\bis (?:it|today) \w+day\b", " ".join(words)):
        return Intent(IntentName.WEEKDAY, days=days)
    return None


NOT_A_NAME = frozenset(
    word
    for line in (
        "a an the is not in on at here there it and you your my what who fine good well ok okay great",
        "tired sad happy sorry sure hungry sick very so doing going bored lost ready back trying",
        "asking looking",
    )
    for word in line.split()
)


def _tell_name(words: Sequence[str]) -> Intent | None:
    text = " ".join(words)
    match = re.search(r"\b(?:my name is|call me|i am called|^name is) (\S+)", text)
    match = match or re.search(r"^(?:hello|hi|hey|good \S+)(?: there)? (?:i am|this is) (\S+)$", text)
    match = match or re.search(r"^i am (\S+)$", text)
    if match is None or match[1] in NOT_A_NAME | GOOD_MOODS | BAD_MOODS:
        return None
    return Intent(IntentName.TELL_NAME, text=match[1])


GOOD_MOODS = frozenset(listed("fine, good, well, great, happy, glad, fantastic, wonderful, excellent"))
BAD_MOODS = frozenset(listed("tired, sad, bad, sick, unhappy, bored, lonely, terrible, awful, hungry, angry"))


_WELL = re.compile(
    r"(?:i am (?:doing )?(?:okay|all right)|(?:i am |very |doing |quite )+well"
    r"|(?:i am )?(?:very |quite )?(?:fine|good|great|not bad))(?: too)?"
    r"(?: thank you| thanks)?(?: and you| (?:and )?how are you| (?:and )?how about you)?"
)


def _mood(words: Sequence[str]) -> Intent | None:
    text = " ".join(words)
    match = re.search(r"\bi (?:am|feel) (not )?(?:very |so |really |quite |feeling |doing )*(\S+)", text)
    if _WELL.fullmatch(text):
        return Intent(IntentName.MOOD, text="good")
    if match is None or match[2] not in GOOD_MOODS | BAD_MOODS:
        return None
    is_good = (match[2] in GOOD_MOODS) != bool(match[1])
    return Intent(IntentName.MOOD, text="good" if is_good else "bad")


# ---------------------------------------------------------------------------------- all, in order

MORE = whole(IntentName.CONTINUE, "and then what, then what, and then, more, next, tell me more, go ahead")
OKAY = whole(IntentName.YES, "okay, ok, all right, of course, sounds good, absolutely")

HALTS = [phrase.split() for phrase in listed("stop it now, stop now, stop it, hold on, wait, stop")]
"""The longest first."""
QUESTIONS = frozenset(
    {
        *(IntentName.TIME, IntentName.DATE, IntentName.WEEKDAY, IntentName.YEAR, IntentName.CALCULATE),
        *(IntentName.OWN_NAME, IntentName.ASK_NAME, IntentName.HOW_ARE_YOU, IntentName.HEAR_ME),
        *(IntentName.HELP, IntentName.AGAIN, IntentName.HEARD, IntentName.SPELL, IntentName.GOODBYE),
    }
)
"""Intents that stay to be answered when somebody first asks the bot to wait."""

KEEP_FILLERS: frozenset[Rule] = frozenset({_repeat, _spell, _mood, MORE, OKAY})
"""Rules that need the words as they were said."""

RULES: tuple[Rule, ...] = (
    MORE,
    _introduce,
    phrases(
        IntentName.AGAIN,
        "say that again, say it again, say this again, say again, repeat that, repeat it, repeat yourself, "
        "repeat your answer, come again, what did you say, what was that, pardon, once more, one more time, "
        "did not hear you, did not hear that, did not catch that, did not understand you, "
        "did not understand that, beg your pardon",
    ),
    phrases(IntentName.HEARD, "what did i say, what did i just say", but_not="my name"),
    whole(IntentName.AGAIN, "repeat, again, what, sorry"),
    _repeat,
    _spell,
    phrases(IntentName.RESTART, "start over, start again, from the beginning, begin again", at_most=8),
    phrases(
        IntentName.CONTINUE,
        "go on, continue, carry on, keep going, what happened next, do not stop",
        at_most=8,
    ),
    phrases(
        IntentName.STOP,
        "stop, quiet, shut up, silence, be silent, enough, hush, never mind, cancel, be still, wait, "
        "hold on, pause",
        at_most=5,
    ),
    _count,
    _calculate,
    phrases(IntentName.STORY, "story, stories, tale, tales"),
    phrases(
        IntentName.TIME,
        "what time, the time, time is it, current time, time now, is the clock",
        but_not="the first time, the last time, all the time",
    ),
    whole(IntentName.TIME, "time"),
    _date,
    phrases(IntentName.YEAR, "what year, which year, year is it, current year"),
    _tell_name,
    phrases(IntentName.ASK_NAME, "my name, who am i, know me, remember me", but_not="talking to"),
    phrases(
        IntentName.OWN_NAME,
        "your name, who are you, what are you, are you a, are you an, are you real, are you human, call you, "
        "you called, who is this, who am i talking to, who made you, have a name",
        but_not="what are you able, are you all right, are you okay, are you there",
    ),
    phrases(
        IntentName.HEAR_ME,
        "can you hear, hear me, are you there, are you listening, are you awake",
    ),
    phrases(
        IntentName.HOW_ARE_YOU,
        "how are you, how do you do, how is it going, how are things, are you well, are you okay, "
        "what is up, how do you feel, how have you been, how you doing, are you all right, how is life",
    ),
    phrases(
        IntentName.HELP,
        "help, what can you, what do you do, what do you know, what can i, what else can, what are you able, "
        "what should i, how does this work, how do you work, what you can do",
        but_not="thank you",
    ),
    phrases(
        IntentName.GOODBYE,
        "bye, goodbye, good bye, good night, see you, farewell, hang up, so long, have a nice day, "
        "have a good day, talk to you later, that is all, i have to go",
    ),
    _mood,
    phrases(IntentName.THANKS, "thank, thanks, cheers, very kind"),
    phrases(
        IntentName.GREETING,
        "hello, hi, hey, good morning, good afternoon, good evening, good day, greetings, hiya, howdy, "
        "nice to meet you, pleased to meet you",
        at_most=6,
    ),
    OKAY,
    phrases(
        IntentName.NO, "no, nope, nah, not really, not now, not at all, not think so, is wrong", at_most=5
    ),
    phrases(IntentName.YES, "yes, yeah, yep, yup, sure, indeed, correct, exactly, that is right", at_most=4),
)
"""Commands with content first, courtesies last: "hello what time is it" asks for the time."""
