"""The words of a recogniser's or a typist's text, made alike: case, contractions, signs, fillers."""

from __future__ import annotations

import re
from collections.abc import Sequence


def listed(text: str) -> tuple[str, ...]:
    """Split a list of phrases at its commas."""
    return tuple(" ".join(phrase.split()) for phrase in text.split(","))


CONTRACTIONS = {
    "what's": "what is",
    "whats": "what is",
    "who's": "who is",
    "how's": "how is",
    "it's": "it is",
    "that's": "that is",
    "thats": "that is",
    "i'm": "i am",
    "im": "i am",
    "let's": "let us",
    "today's": "today",
    "tomorrow's": "tomorrow",
    "yesterday's": "yesterday",
    "name's": "name is",
    "good-bye": "goodbye",
    "bye-bye": "goodbye",
    "you're": "your",
    "youre": "your",
    "dont": "do not",
    "can't": "can not",
    "percentage": "percent",
}
"""Contraction to its words; also what recognisers confuse with one: "you're name" is "your name"."""
SIGNS = {"+": "plus", "*": "times", "×": "times", "/": "over", "÷": "over", "−": "minus", "-": "minus"}
SIGNS |= {"%": "percent", "^": "power", "=": ""}
HESITATIONS = frozenset(
    listed("um, umm, uh, uhm, er, erm, ah, hmm, hm, mm, please, just, actually, kindly, then")
)
LEAD_INS = frozenset(listed("well, so, okay, ok, now, and, but, then, oh"))
OPENINGS = sorted(
    (
        tuple(opening.split())
        for opening in listed(
            "can you, could you, would you, will you, i want you to, i would like you to, you know, "
            "i want to know, i would like to know, do you know, can you tell me, could you tell me"
        )
    ),
    key=len,
    reverse=True,
)

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’-][^\W\d_]+)*|[+*/×÷−%^=-]")


def plain_words(text: str) -> list[str]:
    """Lower-case words without punctuation, contractions written out, signs of arithmetic as words."""
    words: list[str] = []
    for match in _TOKEN.finditer(text.lower()):
        token = match[0].replace("’", "'")
        token = SIGNS.get(token, CONTRACTIONS.get(token, token))
        token = f"{token[:-3]} not" if token.endswith("n't") else token
        words += token.replace("-", " ").split()
    return words


def without_fillers(words: Sequence[str]) -> list[str]:
    """Return the words less hesitations, and less what people begin with before they say what they want."""
    kept = [word for word in words if word not in HESITATIONS]
    while len(kept) > 1 and kept[0] in LEAD_INS:
        kept.pop(0)
    for opening in OPENINGS:
        if len(kept) > len(opening) and tuple(kept[: len(opening)]) == opening:
            return kept[len(opening) :]
    return kept


def has(words: Sequence[str], phrases: Sequence[str]) -> bool:
    """Return True if one of the phrases occurs, word by word."""
    text = f" {' '.join(words)} "
    return any(f" {phrase} " in text for phrase in phrases)
