"""Text for Magpie: token chunks its tokenizer can take, whatever the text; what was left out is reported.

Knows NeMo's tokenizers only by their shape (`encode`, `tokenizers`, `tokenizer_offsets`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from nemotron_speech.engines.shared.word_times import words_of_tokens

_OTHER_SHAPES = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "–": "-", "—": ", ", "…": "..."}
)


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A part of a text that the model takes at once."""

    tokens: tuple[int, ...]
    words: tuple[str, ...]
    """The words of the part; empty where tokens cannot be told apart by word."""
    word_of: tuple[int, ...]
    """Index in `words` of each token's word; empty with `words`."""


@dataclass(frozen=True, slots=True)
class TextPlan:
    """Chunks of a text that will be spoken, and the words that will not."""

    chunks: tuple[TextChunk, ...]
    unspoken: tuple[str, ...]
    """Words and characters the tokenizer knows no sound for."""


class MagpieText:
    """Text to tokens for one language.

    Args:
        tokenizer: NeMo's aggregated tokenizer.
        name: Name of the language's tokenizer within `tokenizer`.
        split: Cuts a long text into parts the model takes at once; joined they are the text.
        end_token: Ends every part.
        longest: Tokens of a part, at most: more would be beyond the model's positions.
    """

    def __init__(
        self,
        tokenizer: Any,
        name: str,
        split: Callable[[str], Sequence[str]],
        end_token: int,
        longest: int,
    ) -> None:
        self._tokenizer = tokenizer
        self._name = name
        self._split = split
        self._end_token = end_token
        self._longest = longest
        inner = tokenizer.tokenizers[name]
        space = getattr(inner, "space", None)
        self._space = None if space is None else tokenizer.tokenizer_offsets[name] + space
        self._knows = lru_cache(4096)(lambda character: bool(self._encode(character)))

    def plan(self, text: str) -> TextPlan:
        """Return the chunks to speak; none when nothing of `text` can be spoken. Never raises."""
        unspoken: list[str] = []
        words = [self._known_part(word, unspoken) for word in self._in_known_shapes(text, unspoken).split()]
        speakable = " ".join(word for word in words if word)
        whole = [part.strip() for part in self._split(speakable)] if speakable else []
        parts = [part for sentence in whole for part in self._short_enough(sentence)]
        chunks = (self._chunk(part) for part in parts if any(c.isalnum() for c in part))
        return TextPlan(tuple(chunk for chunk in chunks if chunk is not None), tuple(dict.fromkeys(unspoken)))

    def _in_known_shapes(self, text: str, unspoken: list[str]) -> str:
        """Replace each unknown character by a known one that means the same, or drop it."""
        return "".join(self._known_shape(c, unspoken) for c in unicodedata.normalize("NFC", text))

    def _known_shape(self, character: str, unspoken: list[str]) -> str:
        if character.isspace():
            return " "
        if self._knows(character):
            return character
        for other in (
            character.translate(_OTHER_SHAPES),
            unicodedata.normalize("NFKC", character),
            _without_marks(character),
        ):
            if other != character and any(map(self._knows, other)):
                return "".join(filter(lambda c: c.isspace() or self._knows(c), other))
        unspoken.append(character)
        return " " if unicodedata.category(character)[0] in "PSZ" else ""

    def _known_part(self, word: str, unspoken: list[str]) -> str:
        """Return `word` if it has a sound (or is punctuation), else its letters apart, else nothing."""
        if self._encode(word):
            return word
        letters = " ".join(c for c in word if c.isalnum() and self._knows(c))
        if not letters or not self._encode(letters):
            unspoken.append(word)
            return ""
        return letters

    def _short_enough(self, part: str) -> list[str]:
        """Cut `part` in halves, between words or within its only one, until the model has positions for each.

        Sentences are cut by their words (`sentences`); a word, or what has no spaces, may be of any length.
        """
        if len(part) < 2 or len(self._tokens(part)) < self._longest:
            return [part]
        units, joint = (part.split(), " ") if " " in part else (list(part), "")
        half = len(units) // 2
        halves = joint.join(units[:half]), joint.join(units[half:])
        return [piece for half in halves for piece in self._short_enough(half)]

    def _chunk(self, part: str) -> TextChunk | None:
        tokens = self._tokens(part)
        if not tokens:
            return None
        words, word_of, _ = words_of_tokens(part, tokens, self._space, self._encode)
        return TextChunk((*tokens, self._end_token), words, (*word_of, *word_of[-1:]))

    def _tokens(self, part: str) -> list[int]:
        return self._encode(part) or self._encode_words(part.split())

    def _encode(self, text: str) -> list[int]:
        """Return the tokens of `text`; none where the tokenizer fails."""
        try:
            return list(self._tokenizer.encode(text=text, tokenizer_name=self._name))
        except Exception:  # noqa: BLE001  third-party dictionaries and rules raise anything on odd text
            return []

    def _encode_words(self, words: Sequence[str]) -> list[int]:
        """Encode a text word by word, where it fails as a whole."""
        tokens: list[int] = []
        for word in words:
            encoded = self._encode(word)
            if tokens and encoded and self._space is not None:
                tokens.append(self._space)
            tokens.extend(encoded)
        return tokens


def sentences(text: str, language: str) -> list[str]:
    """Cut a text that is too long for the model to take at once: at sentence ends, else between words."""
    from nemo.collections.tts.parts.utils.tts_dataset_utils import (  # pyright: ignore[reportMissingImports]
        DEFAULT_LANGUAGE_THRESHOLDS as LIMITS,
    )
    from nemo.collections.tts.parts.utils.tts_dataset_utils import (  # pyright: ignore[reportMissingImports]
        split_by_sentence,
    )

    if not LIMITS.exceeds_threshold(text, language):
        return [text]
    parts: list[str] = []
    for sentence in split_by_sentence(text, language=language):
        too_long = LIMITS.exceeds_threshold(sentence, language)
        parts.extend(
            _even_parts(sentence, LIMITS.get_word_count(sentence, language)) if too_long else [sentence]
        )
    return parts


_WORDS_AT_ONCE = 40
"""Words (characters, where words have no spaces) in a part of a sentence that is too long."""


def _even_parts(sentence: str, words: int) -> list[str]:
    """Cut a sentence into parts of about the same length."""
    units, joint = (sentence.split(), " ") if " " in sentence else (list(sentence), "")
    count = max(-(-words // _WORDS_AT_ONCE), -(-len(units) // _WORDS_AT_ONCE))
    ends = [round(i * len(units) / count) for i in range(count + 1)]
    return [joint.join(units[start:end]) for start, end in pairwise(ends)]


def _without_marks(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character)
    return "".join(c for c in decomposed if not unicodedata.combining(c))
