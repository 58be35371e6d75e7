"""Text to the symbols that Kokoro was trained on: espeak-ng's IPA, in Kokoro's own alphabet.

The alphabet and its numbers are the released model's (hexgrad/Kokoro-82M, config.json); which symbols each
language uses is described in its phoneme notes (EN_PHONES): English writes diphthongs and affricates as one
symbol, American English no length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from nemotron_speech.engines.shared.espeak_library import EspeakLibrary

LONGEST = 510
"""Symbols that the model takes at once."""
_RUNS = (
    (1, ";:,.!?"),
    (9, '—…"()“” \u0303ʣʥʦʨᵝꭧAI'),
    (31, "O"),
    (33, "Q"),
    (35, "ST"),
    (39, "W"),
    (41, "Yᵊabcdef"),
    (50, "hijklmnopqrstuvwxyzɑɐɒæ"),
    (75, "βɔɕç"),
    (80, "ɖðʤə"),
    (85, "ɚɛɜ"),
    (90, "ɟ"),
    (92, "ɡ"),
    (99, "ɥ"),
    (101, "ɨɪʝ"),
    (110, "ɯɰŋɳɲɴø"),
    (118, "ɸθœ"),
    (123, "ɹ"),
    (125, "ɾɻ"),
    (128, "ʁɽʂʃʈʧ"),
    (135, "ʊʋ"),
    (138, "ʌɣɤ"),
    (142, "χʎ"),
    (147, "ʒʔ"),
    (156, "ˈˌː"),
    (162, "ʰ"),
    (164, "ʲ"),
    (169, "↓"),
    (171, "→↗↘"),
    (177, "ᵻ"),
)
TOKENS = {symbol: start + i for start, symbols in _RUNS for i, symbol in enumerate(symbols)}

_AFFRICATES = (("dʒ", "ʤ"), ("tʃ", "ʧ"))
_ENGLISH = (
    *_AFFRICATES,
    ("eɪ", "A"),
    ("aɪ", "I"),
    ("aʊ", "W"),
    ("ɔɪ", "Y"),
    ("oʊ", "O"),
    ("əʊ", "Q"),
    ("ɚ", "əɹ"),
    ("ɐ", "ə"),
    ("r", "ɹ"),
    ("e", "ɛ"),
)
_AMERICAN = (*_ENGLISH, ("ɜː", "ɜɹ"), ("ː", ""))
_ALPHABETS = {"en-us": _AMERICAN, "en-gb": _ENGLISH}
"""Dialect to pairs of espeak-ng's and Kokoro's symbols, in the order of replacement."""

_MARKS = re.compile(r"""([;:,.!?—…"“”()]+(?=\s|$)|(?<!\S)["“(]+)""")
"""Punctuation that Kokoro hears as such: at the edge of a word."""
_SWITCHES = re.compile(r"\([a-z-]+\)")
"""Language switch within a text, as espeak-ng marks it: `(en)`."""


class KokoroPhonemes:
    """Writes texts of one dialect in Kokoro's alphabet.

    Args:
        library: espeak-ng.
        dialect: A language tag of espeak-ng.
    """

    def __init__(self, library: EspeakLibrary, dialect: str) -> None:
        self._library = library
        self._voice = library.languages[dialect]
        self._alphabet = _ALPHABETS.get(dialect, _AFFRICATES)

    def write(self, text: str) -> str:
        """Return the symbols of `text`, its punctuation kept; what Kokoro has no symbol for is left out."""
        parts = _MARKS.split(text)
        written = (part if i % 2 else self._words(part) for i, part in enumerate(parts))
        symbols = "".join(symbol for symbol in "".join(written) if symbol in TOKENS)
        return " ".join(symbols.split())

    def _words(self, text: str) -> str:
        if not text.strip():
            return text
        written = _SWITCHES.sub("", self._library.phonemes(text, self._voice))
        for theirs, ours in self._alphabet:
            written = written.replace(theirs, ours)
        before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
        return f"{before}{written.strip()}{after}"


def in_parts(symbols: str, longest: int = LONGEST) -> list[str]:
    """Cut symbols into parts the model takes at once: after punctuation, else between words or anywhere."""
    parts = []
    while len(symbols) > longest:
        end = _last(symbols, ";:,.!?—…", longest) or _last(symbols, " ", longest) or longest
        parts.append(symbols[:end].strip())
        symbols = symbols[end:].strip()
    return [part for part in [*parts, symbols] if part]


def _last(symbols: str, wanted: Sequence[str], longest: int) -> int:
    """Return the place after the last of the wanted symbols in the later half of what fits; 0 for none."""
    at = max(symbols.rfind(symbol, longest // 2, longest) for symbol in wanted)
    return at + 1
