"""Answers of the responder: pure functions of the messages and the time of day."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from nemotron_speech.invocation import command
from nemotron_speech.responder.talk.spoken_numbers import say_number, say_ordinal, say_whole
from nemotron_speech.responder.talk.stories import STORIES
from nemotron_speech.responder.talk.understanding import Intent, IntentName, understand
from nemotron_speech.responder.talk.words import listed, plain_words

START_A_MODEL = command("demo --llm model.gguf")
WHO_I_AM = "I am the built-in responder, a small program and not a language model."
WHAT_I_CAN_DO = (
    "I can tell you the time and the date, work out sums, count, spell and repeat words, and tell short "
    "stories."
)
MAX_COUNT = 100
MAX_HEARD_WORDS = 12
WEEKDAYS = listed("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday")
MONTHS = listed(
    "January, February, March, April, May, June, July, August, September, October, November, December"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Situation:
    """Context of an answer besides the intent."""

    turns: Sequence[Turn]
    now: datetime

    @property
    def said(self) -> list[str]:
        """Answers of the responder, oldest first."""
        return [
            turn.text for turn in self.turns if turn.role == "assistant" and any(map(str.isalnum, turn.text))
        ]

    @property
    def heard(self) -> list[str]:
        """Texts of the caller, oldest first."""
        return [turn.text for turn in self.turns if turn.role == "user"]

    @property
    def caller(self) -> str:
        """The name the caller gave last, "" when none."""
        for text in reversed(self.heard):
            intent = understand(text)
            if intent.name is IntentName.TELL_NAME:
                return intent.text.capitalize()
        return ""


def reply(turns: Sequence[Turn], now: datetime) -> str:
    """Say the next thing in the conversation. The same turns and time give the same answer."""
    situation = Situation(turns, now)
    if not situation.heard:
        return _introduce(Intent(IntentName.INTRODUCE), situation)
    intent = _intent(turns)
    return ANSWERS[intent.name](intent, situation)


def _intent(turns: Sequence[Turn]) -> Intent:
    """Understand the last thing said; where that means nothing, all that was said since the last answer."""
    since = [turn.text for turn in _since_answer(turns) if turn.role == "user"]
    if not since:
        return Intent(IntentName.NOTHING)
    intent = understand(since[-1])
    if intent.name is IntentName.UNKNOWN and len(since) > 1:
        together = understand(" ".join(since))
        if together.name is not IntentName.UNKNOWN:
            return together
    return intent


def _since_answer(turns: Sequence[Turn]) -> Sequence[Turn]:
    answered = [index for index, turn in enumerate(turns) if turn.role == "assistant"]
    return turns[answered[-1] + 1 :] if answered else turns


# ------------------------------------------------------------------------------------ courtesies


def _introduce(intent: Intent, situation: Situation) -> str:
    return f"Hello! {WHO_I_AM} Ask me for the time, a sum, or a story. Say help to hear what else I can do."


def _greeting(intent: Intent, situation: Situation) -> str:
    name = f", {situation.caller}" if situation.caller else ""
    again = "Hello again" if situation.said else "Hello"
    return f"{again}{name}! What can I do for you?"


def _own_name(intent: Intent, situation: Situation) -> str:
    return f"{WHO_I_AM} I have no other name."


def _tell_name(intent: Intent, situation: Situation) -> str:
    return f"Nice to meet you, {intent.text.capitalize()}! What can I do for you?"


def _ask_name(intent: Intent, situation: Situation) -> str:
    if situation.caller:
        return f"Your name is {situation.caller}. You told me so."
    return "You have not told me your name yet. Say: my name is, and then your name."


def _how_are_you(intent: Intent, situation: Situation) -> str:
    return "I am running well, thank you. And how are you?"


def _hear_me(intent: Intent, situation: Situation) -> str:
    return "Yes, I can hear you. What can I do for you?"


def _mood(intent: Intent, situation: Situation) -> str:
    if intent.text == "good":
        return "I am glad to hear it. What can I do for you?"
    return "I am sorry to hear that. Perhaps a story would help? Just ask me for one."


def _thanks(intent: Intent, situation: Situation) -> str:
    return _varied(situation, "You are welcome.", "My pleasure.", "Any time.")


def _goodbye(intent: Intent, situation: Situation) -> str:
    return f"Goodbye{f', {situation.caller}' if situation.caller else ''}! It was nice to talk to you."


def _stop(intent: Intent, situation: Situation) -> str:
    return _varied(situation, "All right.", "Okay.", "I am quiet.")


def _yes(intent: Intent, situation: Situation) -> str:
    return "Good. What would you like: the time, a sum, or a story?"


def _no(intent: Intent, situation: Situation) -> str:
    return "All right. Tell me when you need something."


def _nothing(intent: Intent, situation: Situation) -> str:
    return _varied(situation, "I am still here.", "I am listening.", "Take your time.")


def _help(intent: Intent, situation: Situation) -> str:
    return (
        f"{WHAT_I_CAN_DO} Try: what is twelve times seven, spell banana, count to ten, or tell me a story. "
        "You can interrupt me at any time."
    )


def _unknown(intent: Intent, situation: Situation) -> str:
    words = intent.text.split()
    heard = " ".join(words[:MAX_HEARD_WORDS]).rstrip(".,;:!?")
    heard += ", and more" if len(words) > MAX_HEARD_WORDS else ""
    if not any(START_A_MODEL in text for text in situation.said):
        return f"{WHO_I_AM} I heard: {heard}. For more, start me with a model: {START_A_MODEL}"
    return _varied(
        situation,
        f"I heard: {heard}. I have no answer to that. Say help to hear what I can do.",
        f"I heard: {heard}. That is more than a small program knows. A model would know more.",
        f"I heard: {heard}. I did not understand it. Ask me for the time, a sum, or a story.",
    )


def _varied(situation: Situation, *choices: str) -> str:
    return choices[len(situation.said) % len(choices)]


# ------------------------------------------------------------------------------------- the clock


def _time(intent: Intent, situation: Situation) -> str:
    return f"It is {say_time(situation.now)}."


def say_time(now: datetime) -> str:
    """Say the time of day on a twelve-hour clock."""
    if now.minute == 0 and now.hour in (0, 12):
        return "midnight" if now.hour == 0 else "noon"
    hour = say_whole(now.hour % 12 or 12)
    part = "at night" if now.hour < 5 or now.hour >= 22 else "in the morning" if now.hour < 12 else ""
    part = part or ("in the afternoon" if now.hour < 18 else "in the evening")
    if now.minute == 0:
        return f"{hour} o'clock {part}"
    minute = say_whole(now.minute) if now.minute >= 10 else f"oh {say_whole(now.minute)}"
    return f"{hour} {minute} {part}"


def _date(intent: Intent, situation: Situation) -> str:
    day = situation.now + timedelta(days=intent.days)
    date = f"{WEEKDAYS[day.weekday()]}, {MONTHS[day.month - 1]} {say_ordinal(day.day)}, {say_year(day.year)}"
    return f"{_day_is(intent.days)} {date}."


def _weekday(intent: Intent, situation: Situation) -> str:
    day = situation.now + timedelta(days=intent.days)
    return f"{_day_is(intent.days)} {WEEKDAYS[day.weekday()]}."


def _day_is(days: int) -> str:
    return {-1: "Yesterday was", 0: "Today is", 1: "Tomorrow is"}[days]


def _year(intent: Intent, situation: Situation) -> str:
    return f"It is {MONTHS[situation.now.month - 1]} {say_year(situation.now.year)}."


def say_year(year: int) -> str:
    """Say a year as people do: twenty twenty-six, two thousand and five."""
    century, rest = divmod(year, 100)
    if century % 10 == 0 and rest < 10:
        return say_whole(year)
    return f"{say_whole(century)} {say_whole(rest) if rest >= 10 else f'oh {say_whole(rest)}'}"


# -------------------------------------------------------------------------------------- abilities


def _calculate(intent: Intent, situation: Situation) -> str:
    assert intent.calculation is not None
    return intent.calculation.sentence()


def _count(intent: Intent, situation: Situation) -> str:
    step = 1 if intent.last >= intent.first else -1
    last = intent.first + step * min(abs(intent.last - intent.first), MAX_COUNT - 1)
    counted = ", ".join(say_number(value) for value in range(intent.first, last + step, step))
    sentence = f"{counted[0].upper()}{counted[1:]}."
    return sentence if last == intent.last else f"{sentence} That is enough for now."


def _repeat(intent: Intent, situation: Situation) -> str:
    return f"{intent.text[0].upper()}{intent.text[1:]}."


def _again(intent: Intent, situation: Situation) -> str:
    if not situation.said:
        return "I have not said anything yet."
    return situation.said[-1]


def _heard(intent: Intent, situation: Situation) -> str:
    before = situation.heard[:-1]
    return f"You said: {before[-1].rstrip('.,;:!?')}." if before else "You have not said anything else yet."


def _spell(intent: Intent, situation: Situation) -> str:
    letters = ", ".join(letter.upper() for letter in intent.text if letter.isalnum())
    return f"{intent.text.capitalize()} is spelled {letters}."


def _story(intent: Intent, situation: Situation) -> str:
    told = {index for text in situation.said if (index := _story_of(text)) is not None}
    fresh = [index for index in range(len(STORIES)) if index not in told]
    return STORIES[fresh[0] if fresh else len(situation.said) % len(STORIES)]


def _continue(intent: Intent, situation: Situation) -> str:
    """Go on with the story that was interrupted, from the sentence in which it broke off."""
    for heard in reversed(situation.said):
        index = _story_of(heard)
        if index is None:
            continue
        rest = _rest_of_story(STORIES[index], len(plain_words(heard)))
        return rest or "That was the end of the story. Ask me for another one."
    return "I have nothing to go on with. Ask me for a story."


def _restart(intent: Intent, situation: Situation) -> str:
    """Tell the last story again, or say the last answer again."""
    told = [index for text in situation.said if (index := _story_of(text)) is not None]
    return STORIES[told[-1]] if told else _again(intent, situation)


def _story_of(text: str) -> int | None:
    opening = plain_words(text)[:7]
    for index, story in enumerate(STORIES):
        if len(opening) == 7 and plain_words(story)[:7] == opening:
            return index
    return None


def _rest_of_story(story: str, heard_words: int) -> str:
    sentences = re.split(r"(?<=[.!?]) ", story)
    words = 0
    for index, sentence in enumerate(sentences):
        words += len(plain_words(sentence))
        if words > heard_words:
            return " ".join(sentences[index:])
    return ""


Answer = Callable[[Intent, Situation], str]

ANSWERS: dict[IntentName, Answer] = {
    IntentName.NOTHING: _nothing,
    IntentName.INTRODUCE: _introduce,
    IntentName.GREETING: _greeting,
    IntentName.OWN_NAME: _own_name,
    IntentName.TELL_NAME: _tell_name,
    IntentName.ASK_NAME: _ask_name,
    IntentName.HOW_ARE_YOU: _how_are_you,
    IntentName.HEAR_ME: _hear_me,
    IntentName.MOOD: _mood,
    IntentName.TIME: _time,
    IntentName.DATE: _date,
    IntentName.WEEKDAY: _weekday,
    IntentName.YEAR: _year,
    IntentName.CALCULATE: _calculate,
    IntentName.COUNT: _count,
    IntentName.REPEAT: _repeat,
    IntentName.AGAIN: _again,
    IntentName.HEARD: _heard,
    IntentName.SPELL: _spell,
    IntentName.STORY: _story,
    IntentName.CONTINUE: _continue,
    IntentName.RESTART: _restart,
    IntentName.HELP: _help,
    IntentName.STOP: _stop,
    IntentName.THANKS: _thanks,
    IntentName.GOODBYE: _goodbye,
    IntentName.YES: _yes,
    IntentName.NO: _no,
    IntentName.UNKNOWN: _unknown,
}
