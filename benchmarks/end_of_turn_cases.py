"""End-of-turn corpus: its sentences and voices, synthesised, so that every moment of it is known."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.speech import espeak, flite
from nemotron_speech.audio import Clip, Samples
from nemotron_speech.engines.registry import tts_engine

RATE = 16000
LEAD_S = 0.6
AFTER_S = 4.0
"""Longer than any detector waits."""
NOISE = 4
"""Amplitude of the background, in int16: no room is digitally silent."""
FLITE_VOICES = ("slt", "rms", "awb")

WHOLE = {
    "one word": ("yes", "no", "okay", "seven", "maybe", "Robert"),
    "question": ("what time is it", "can you help me with my order", "is there a train to Paris today"),
    "statement": ("I would like to book a table for two", "my brother lives in London", "it does not work"),
    "statement like an open one": ("that is all I need", "I do not know what it is"),
    "number": (
        *("five five five one two three four", "my code is four nine two one", "twenty three"),
        *("room two zero seven", "my number is five five five one two three four five six seven"),
        "the security code is one two three",
    ),
    "spelling": ("B O B", "it is N A N C Y", "my name is Bob B O B"),
}
BROKEN = {
    "number": (
        ("my number is five five five", "one two three four"),
        ("it is two zero seven", "nine four six", "one eight"),
        ("five five five", "one two three", "four five six seven"),
        ("the code is four nine two", "one eight three"),
        (
            "my card number is four two four two",
            "one two one two",
            "three four three four",
            "five six five six",
        ),
        ("oh seven nine", "double one two", "three four five six"),
        ("it is four one one one", "two two two two", "three three three three", "four four four four"),
        ("my booking reference is X Y Z", "one two three"),
        ("it expires oh nine", "twenty eight"),
    ),
    "spelling": (("my name is spelled S M", "I T H"), ("it is B R", "O W N"), ("Smith S M", "I T H")),
    "trailing word": (
        ("I would like a pizza and", "a glass of water"),
        ("we should go to the", "station tomorrow"),
        ("I called because", "my phone does not work"),
    ),
    "filler": (("well I am looking for um", "a small hotel"), ("uh", "can you say that again")),
    "mid-sentence": (
        ("I wanted to ask you", "what the weather is like in Rome"),
        ("can you tell me", "the name of the song"),
        ("please send the letter", "to my new address"),
    ),
    "whole clause": (
        ("I would like to book a table", "for two people"),
        ("my brother lives in London", "with his two children"),
        ("please call me tomorrow", "after nine in the morning"),
    ),
}
NUMBERS = {
    "de": ("meine Nummer ist null eins sieben", "zwölf", "vierunddreißig", "sechsundfünfzig", "achtzehn"),
    "es": ("mi número es seis doce", "treinta y cuatro", "cincuenta y seis", "setenta y ocho"),
    "fr": ("c'est le zéro six", "douze", "trente quatre", "cinquante six", "soixante dix huit"),
    "it": ("il mio numero è tre tre otto", "dodici", "trentaquattro", "cinquantasei", "sette"),
    "pt": ("meu telefone é nove um dois", "trinta e quatro", "cinquenta e seis", "setenta e oito"),
}
"""Telephone numbers in pairs, by language."""
FLUENT_VOICES = 2
"""Voices of the embedded engine that say each telephone number."""
PAUSES_S = (0.4, 0.7, 1.0, 1.5, 2.0)

HELD_OUT_WHOLE = {
    "one word": ("sure", "nope", "tomorrow", "eleven", "Jennifer"),
    "question": (
        *("how much is a ticket to the zoo", "do you deliver on Sundays", "where did I leave off"),
        *("could you repeat the last sentence", "why is my screen black", "which one is cheaper"),
    ),
    "statement": (
        *("the printer is out of paper", "I have never been to Japan", "she plays the piano very well"),
        *(
            "turn the lights off in the kitchen",
            "remind me to water the plants",
            "we arrived late last night",
        ),
    ),
    "statement like an open one": (
        "that is what I was thinking of",
        "I will if I can",
        "this is where I live",
    ),
    "number": (
        *("my pin is eight six one seven", "call me on two oh two five five five oh one four three"),
        *("it is platform nine", "my zip code is nine oh two one oh", "about forty five"),
    ),
    "spelling": ("his name is Kurt K U R T", "L I S A"),
}
HELD_OUT_BROKEN = {
    "number": (
        ("my phone number is two oh six", "five five five", "oh one two two"),
        ("the confirmation code is seven three", "nine one"),
        ("please dial eight hundred", "five five five", "three five three five"),
        ("my customer number is one one two", "seven eight nine"),
        ("you can reach me on oh two oh", "seven nine four six", "oh nine five eight"),
        ("the last four digits are eight one", "six six"),
        ("my passport number is five three three", "three eight oh", "oh oh six"),
    ),
    "spelling": (("my surname is spelled H A N", "S E N"), ("the street is called M A P", "L E")),
    "trailing word": (
        ("could you book me a room with", "a view of the harbour"),
        ("we will be there at", "a quarter past eight"),
        ("I cannot come because my", "daughter is ill"),
    ),
    "filler": (("I would like, um", "two tickets for the museum"), ("er", "who is speaking please")),
    "mid-sentence": (
        ("I was hoping that you", "could fix my bicycle"),
        ("is the swimming pool", "open on Mondays"),
        ("what I really need", "is a good night of sleep"),
        ("when the train arrives", "I will call you"),
        ("my daughter's birthday is", "on the third of May"),
        ("play something by", "the Beatles"),
    ),
    "whole clause": (
        ("add eggs to my shopping list", "and a bottle of milk"),
        ("she works at the hospital", "as a night nurse"),
        ("I lost my keys", "somewhere in the park"),
    ),
}
"""Cases written when the rules were done, and tried once.

A change of the rules because of them calls for new ones.
"""
HELD_OUT_PAUSES_S = (0.5, 0.9, 1.3, 1.8, 2.3)


@dataclass(frozen=True, slots=True)
class Word:
    """One word and when it is over, in milliseconds from the beginning of the case."""

    text: str
    end_ms: float


@dataclass(frozen=True)
class Case:
    """One turn of a user."""

    kind: str
    voice: str
    pause_s: float
    samples: Samples
    """Audio at 16 kHz, with silence before and after."""
    words: tuple[Word, ...]
    language: str = "en"

    @property
    def end_ms(self) -> float:
        """The last sound."""
        return self.words[-1].end_ms

    def heard(self, after_ms: float, by_ms: float) -> str:
        """Return the words that are over within an interval."""
        return " ".join(word.text for word in self.words if after_ms < word.end_ms <= by_ms)


def corpus() -> Iterator[Case]:
    """Say everything with every voice there is, and the numbers of other languages with some."""
    yield from _english(WHOLE, BROKEN, PAUSES_S)
    for language, groups in NUMBERS.items():
        for voice in tts_engine("espeak").info.voices[:FLUENT_VOICES]:
            say = partial(_at_rate, partial(espeak, language=language), voice)
            name = f"espeak {voice} {language}"
            yield _case("number", name, say, (" ".join(groups),), 0.0, language)
            for pause in PAUSES_S:
                yield _case("number, paused", name, say, groups, pause, language)


def held_out() -> Iterator[Case]:
    """Say what no rule was made for, with other pauses."""
    yield from _english(HELD_OUT_WHOLE, HELD_OUT_BROKEN, HELD_OUT_PAUSES_S)


def _english(
    whole: Mapping[str, Sequence[str]],
    broken: Mapping[str, Sequence[Sequence[str]]],
    pauses_s: Sequence[float],
) -> Iterator[Case]:
    for voice, say in voices().items():
        for kind, texts in whole.items():
            for text in texts:
                yield _case(kind, voice, say, (text,), 0.0)
        for kind, requests in broken.items():
            for parts in requests:
                for pause in pauses_s:
                    yield _case(f"{kind}, paused", voice, say, parts, pause)


def voices() -> dict[str, Callable[[str], Samples]]:
    """Return the embedded voices, and those of Flite where it is installed."""
    by_engine = {
        espeak: tts_engine("espeak").info.voices,
        flite: FLITE_VOICES if shutil.which("flite") else (),
    }
    return {
        f"{synthesise.__name__} {voice}": partial(_at_rate, synthesise, voice)
        for synthesise, names in by_engine.items()
        for voice in names
    }


def _at_rate(synthesise: Callable[[str, str], Clip], voice: str, text: str) -> Samples:
    return synthesise(text, voice).at(RATE).samples


def _case(
    kind: str,
    voice: str,
    say: Callable[[str], Samples],
    parts: Sequence[str],
    pause_s: float,
    language: str = "en",
) -> Case:
    pieces, words = [np.zeros(int(LEAD_S * RATE), np.int16)], list[Word]()
    for number, part in enumerate(parts):
        going_on = number < len(parts) - 1
        sound = say(part + "," if going_on else part)
        words += _timed(part, sum(map(len, pieces)), len(sound))
        pieces += [sound, np.zeros(int(pause_s * RATE), np.int16)] if going_on else [sound]
    pieces.append(np.zeros(int(AFTER_S * RATE), np.int16))
    samples = np.concatenate(pieces)
    noise = np.random.default_rng(len(samples)).integers(-NOISE, NOISE + 1, len(samples))
    return Case(kind, voice, pause_s, (samples + noise).astype(np.int16), tuple(words), language)


def _timed(text: str, start: int, samples: int) -> list[Word]:
    """Return words with ends that divide the sound by their letters; the last one ends with it."""
    words = text.split()
    ends = np.cumsum([len(word) + 1 for word in words]) / sum(len(word) + 1 for word in words)
    return [Word(w, (start + end * samples) / RATE * 1000) for w, end in zip(words, ends, strict=True)]
