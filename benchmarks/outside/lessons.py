"""Sentences said in a call, and the answers of the scripted servers: every sentence has a tone of its own.

Each word of a sentence holds its key, so that whatever piece of it is synthesised sounds by its tone, and a
number, so that what was heard can be counted in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.outside.plan import Answer, Ask, Begun, Greeting, Pause, Plan, Say, Step

RESTART = "restart the synthesiser"
MS_PER_CHARACTER = 25
_NUMBERS = ("one", "two", "three", "four", "five", "seven", "eight", "nine", "ten", "twelve")
_KEYS = tuple(a + b + "x" for b in "aeou" for a in "bdfgkmpz")
_LOWEST_HZ = 1550
"""Lowest tone in Hz, above the tones of texts that hold no key.

Tones are 150 Hz apart: 20 ms of one are told from 20 ms of another.
"""
_STEP_HZ = 150


def hz_of(key: str) -> float:
    """Return the tone of a sentence's words."""
    return float(_LOWEST_HZ + _STEP_HZ * _KEYS.index(key))


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words of one tone."""

    key: str
    words: tuple[str, ...]

    @property
    def hz(self) -> float:
        return hz_of(self.key)

    @property
    def text(self) -> str:
        return " ".join(self.words).capitalize() + "."


@dataclass(frozen=True, slots=True)
class Reply:
    """Reply of the model to one turn."""

    sentences: tuple[Sentence, ...]

    @property
    def text(self) -> str:
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def words(self) -> list[str]:
        return [word for sentence in self.sentences for word in sentence.words]

    @property
    def tones(self) -> list[float]:
        return [sentence.hz for sentence in self.sentences]


def sentence(key: str, words: int) -> Sentence:
    """Return a sentence of at most ten words."""
    return Sentence(key, tuple(key + number for number in _NUMBERS[:words]))


GREETING = Reply((sentence(_KEYS[0], 5),))


@dataclass(frozen=True, slots=True)
class Lesson:
    """A kind of call: its steps, and the replies to its turns."""

    name: str
    steps: tuple[Step, ...]
    replies: tuple[Reply, ...]

    @property
    def says(self) -> list[Say]:
        return [step for step in self.steps if isinstance(step, Say)]

    def plan(self, url: str, voice: str) -> Plan:
        return Plan(url, voice, self.steps)

    def script(self, asr: dict[str, Any], llm: dict[str, Any], tts: dict[str, Any]) -> dict[str, Any]:
        """Return what the servers recite, with the times of each."""
        texts = [part for say in self.says for part in say.parts if isinstance(part, str)]
        tones = {key: hz_of(key) for key in _KEYS}
        return {
            "asr": {"pause_ms": 300, **asr, "transcripts": texts},
            "llm": {**llm, "replies": [reply.text for reply in self.replies]},
            "tts": {"ms_per_character": MS_PER_CHARACTER, **tts, "tones": tones},
        }


# ------------------------------------------------------------------------------------------- the calls

QUESTIONS = (
    "what time is it in Paris",
    "thank you",
    "can you help me with my order",
    "how do I get to the airport",
    "yes please",
    "tell me a joke about the sea",
    "what is the weather like in London today",
    "I need a table for two people at nine tonight",
    "where is my parcel",
    "how long does it take to boil an egg",
)
"""Single sentences of two to ten words."""
SPLIT = (
    ("I think we should go to the", 0.5, "station tomorrow morning"),
    ("my number is five five five", 1.0, "one two three four"),
    ("remind me to", 1.6, "buy some milk"),
)
"""Utterances with a pause inside, in seconds."""
INTERRUPTIONS = ("what about the weather in Paris", "how much does it cost", "where can I buy one")
SHORT = ("stop it now", "what time is it", "where is my bag")


def ordinary(questions: Sequence[str], name: str = "ordinary") -> Lesson:
    """Return a lesson of questions, each answered and heard to the end."""
    steps = (
        Greeting(),
        *_all(_asked("ordinary", question, index) for index, question in enumerate(questions)),
    )
    return Lesson(name, steps, _replies(len(questions) + 1, (4, 3)))


def split(utterances: Sequence[tuple[str | float, ...]] = SPLIT) -> Lesson:
    """Return a lesson of utterances whose speaker pauses to think."""
    steps = _all((Say("split", parts), Answer()) for parts in utterances)
    return Lesson("split", (Greeting(), *steps), _replies(2 * len(utterances) + 1, (4, 3)))


def interrupted(interruptions: Sequence[str] = INTERRUPTIONS) -> Lesson:
    """Return a lesson of long answers that are interrupted, then three short interruptions in a row."""
    barge_ins = _all(
        (Begun(1.3 + 0.037 * n), Say("barge-in", (text,))) for n, text in enumerate(interruptions)
    )
    first, second, third = SHORT
    in_a_row = (
        *(Begun(1.2), Say("short", (first,)), Pause(0.5), Say("short", (second,))),
        *(Pause(0.6), Say("short", (third,)), Begun(0.8), Pause(0.5)),
    )
    steps = (Greeting(), Say("long", ("tell me a long story please",)), *barge_ins, *in_a_row)
    return Lesson("interrupted", steps, _replies(len(interruptions) + 4, (8, 9, 10)))


def restarted() -> Lesson:
    """Return a lesson with a synthesiser that goes away and comes back between two questions."""
    before, after = QUESTIONS[0], QUESTIONS[3]
    steps = (
        *(Greeting(), Say("ordinary", (before,)), Answer(), Ask(RESTART), Pause(1.0)),
        *(Say("after restart", (after,)), Answer(timeout_s=12.0)),
    )
    return Lesson("restarted", steps, _replies(3, (4, 3)))


def _asked(name: str, question: str, index: int) -> tuple[Step, ...]:
    # at any phase of the transport's and the detector's windows
    return Pause(0.05 + 0.037 * (index % 7)), Say(name, (question,)), Answer()


def _all(steps: Iterable[Iterable[Step]]) -> tuple[Step, ...]:
    return tuple(step for several in steps for step in several)


def _replies(count: int, lengths: Sequence[int]) -> tuple[Reply, ...]:
    """Return replies with as many sentences as lengths; no two sentences sound alike."""
    keys = iter(_KEYS[1:])
    return tuple(Reply(tuple(sentence(next(keys), words) for words in lengths)) for _ in range(count))
