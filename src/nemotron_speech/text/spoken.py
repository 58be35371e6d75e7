"""A text as a voice says it, and which of its written words each spoken one belongs to."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol

from nemotron_speech.text.expressions import expressions, in_usual_characters
from nemotron_speech.text.markup import squeeze_spaces, strip_markup
from nemotron_speech.text.rewrite import Rewrite

_WORD = re.compile(r"\S+")
_COMPATIBILITY = re.compile(
    "[¼-¾₀-ₜ℀-℡℣-⅏⅐-ↈ①-⓿㈀-㏿ﬀ-ﬆ０-９Ａ-Ｚａ-ｚ＃-＆＋＝＠￥\U0001d400-\U0001d7ff]|(?![0-9])\\d"
)
_FOREIGN = re.compile("(?:(?!μ[A-Za-z])[^\\W\\d_\\x00-\u024f\u1e00-\u1eff\u2070-\u209f])+")
"""Letters of other scripts than the Latin one."""
_FOREIGN_TO_CHINESE = re.compile(
    "[^\\W\\d_\\x00-\u024f\u1e00-\u1eff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)
_LOOK_AHEAD = 8
"""Words that an engine may leave out, or make of one, before the word times are lost track of."""

WordTime = tuple[str, int, int]


class Timed(Protocol):
    """A word an engine has spoken, with its place in the audio."""

    @property
    def text(self) -> str: ...
    @property
    def start_ms(self) -> int: ...
    @property
    def end_ms(self) -> int: ...


class _Group(NamedTuple):
    """Written words, and the spoken words they became: as few of both as can be told apart."""

    written: range
    spoken: range


class Spoken:
    """One text, in spoken words.

    Args:
        rewrite: From the text as it was written to the text to speak.
        unspoken: Parts of the written text that were left out.
    """

    def __init__(self, rewrite: Rewrite, unspoken: Sequence[str] = ()) -> None:
        self._rewrite = rewrite
        self.unspoken = tuple(dict.fromkeys(unspoken))

    @property
    def text(self) -> str:
        """Text for the engine to speak; empty when nothing can be spoken."""
        return self._rewrite.text

    @property
    def written_words(self) -> list[str]:
        """The words of the text as it was written: what stands between spaces and holds a letter or digit."""
        return [match.group() for match in _words(self._rewrite.source)]

    def times(self, engine: Sequence[Timed], audio_ms: float) -> list[WordTime]:
        """Return each written word with its place in the audio, in milliseconds.

        Words that `engine` gave no time for share the time between those that it did, by their length. A word
        that became several lasts as long as they do; one that was not spoken lasts no time.
        """
        spoken = [match.group() for match in _words(self.text)]
        places = _places(spoken, engine, audio_ms)
        written = self.written_words
        times: list[WordTime] = []
        now = 0.0
        for group in self._groups():
            start = max(now, places[group.spoken[0]][0]) if group.spoken else now
            now = max(start, places[group.spoken[-1]][1]) if group.spoken else now
            words = [written[index] for index in group.written]
            ends = _shared(start, now, list(map(len, words)))
            times += [(w, round(a), round(b)) for w, a, b in zip(words, [start, *ends], ends, strict=False)]
        return times

    def _groups(self) -> Iterator[_Group]:
        """Yield all words of both texts, in order."""
        written = [(match.start(), match.end()) for match in _words(self._rewrite.source)]
        ends = [end for _, end in written]
        done = 0
        group: _Group | None = None
        for index, match in enumerate(_words(self.text)):
            start, end = self._rewrite.origin(match.start(), match.end())
            first = min(bisect_left(ends, start + 1), len(written))
            last = first
            while last < len(written) and written[last][0] < end:
                last += 1
            if group is not None and (first < group.written.stop or first == last):
                group = _Group(
                    range(group.written.start, max(last, group.written.stop)),
                    range(group.spoken.start, index + 1),
                )
            else:
                if group is not None:
                    yield group
                    done = group.written.stop
                if first > done:
                    yield _Group(range(done, first), range(index, index))
                group = _Group(range(first, last), range(index, index + 1))
            done = group.written.stop
        if group is not None:
            yield group
        if done < len(written):
            yield _Group(range(done, len(written)), range(0))


def say(text: str, language: str) -> Spoken:
    """Return `text` as a voice of `language` says it: no markup, and in words what is written in signs.

    Never raises, whatever the text. Languages without rules here get the text without its markup.
    """
    rewrite = Rewrite(text)
    unspoken = strip_markup(rewrite, pauses=True)
    if (known := expressions(language)) is not None and rewrite.text:
        rewrite.substitute(_COMPATIBILITY, in_usual_characters)
        _transliterate(rewrite, language, unspoken)
        rewrite.substitute(known.pattern, known.spoken)
        squeeze_spaces(rewrite)
    return Spoken(rewrite, unspoken)


def warm_up(languages: Sequence[str]) -> None:
    """Load what speaking `languages` needs, so that no first sentence waits for it."""
    for language in languages:
        say("*1.5 km* for $3.50, 2nd of May 1999 at 10:30, № ½ я", language)


def _transliterate(rewrite: Rewrite, language: str, unspoken: list[str]) -> None:
    """Write words of other scripts in the voice's own; what has no letters in it stays unspoken."""
    from anyascii import anyascii

    def in_latin(match: re.Match[str]) -> str:
        if name := _letter_name(match.group()):
            return name
        if not (latin := anyascii(match.group()).strip()):
            unspoken.append(match.group())
        return latin or " "

    rewrite.substitute(_FOREIGN_TO_CHINESE if language.startswith("zh") else _FOREIGN, in_latin)


def _letter_name(word: str) -> str:
    """Return the name of a Greek letter that stands alone, as in a formula; nothing for other words."""
    name = unicodedata.name(word, "") if len(word) == 1 else ""
    return name.split()[-1].lower() if re.fullmatch(r"GREEK (?:SMALL|CAPITAL) LETTER \w+", name) else ""


def _words(text: str) -> list[re.Match[str]]:
    return [match for match in _WORD.finditer(text) if any(map(str.isalnum, match.group()))]


# -------------------------------------------------------------------------------------------- times


def _places(spoken: Sequence[str], engine: Sequence[Timed], audio_ms: float) -> list[tuple[float, float]]:
    """Return start and end of each spoken word."""
    known = dict(_matches(spoken, engine))
    places: list[tuple[float, float]] = []
    while len(places) < len(spoken):
        at = len(places)
        if at in known:
            places.append((known[at].start_ms, known[at].end_ms))
            continue
        stop = next((index for index in range(at, len(spoken)) if index in known), len(spoken))
        start = places[-1][1] if places else 0.0
        end = known[stop].start_ms if stop in known else max(audio_ms, start)
        ends = _shared(start, max(start, end), [_length(word) for word in spoken[at:stop]])
        places += zip([start, *ends], ends, strict=False)
    return places


def _matches(spoken: Sequence[str], engine: Sequence[Timed]) -> Iterator[tuple[int, Timed]]:
    """Yield which spoken words an engine's words are: the next one of the same letters, if it is near."""
    letters = [_letters(word) for word in spoken]
    at = 0
    for word in engine:
        near = letters[at : at + _LOOK_AHEAD]
        if (sought := _letters(word.text)) and sought in near:
            at += near.index(sought)
            yield at, word
            at += 1


def _letters(word: str) -> str:
    return "".join(filter(str.isalnum, word)).casefold()


def _length(word: str) -> float:
    """Return the spoken length of a word, in letters; a clause's end takes time too."""
    return len(word) + 1 + (4 if word[-1] in ".!?…。！？" else 2 if word[-1] in ",;:、，；：" else 0)


def _shared(start: float, end: float, lengths: Sequence[float]) -> list[float]:
    """Return where each part ends when `start` to `end` is shared out by length."""
    whole = sum(lengths) or 1
    return [start + (end - start) * part / whole for part in accumulate(lengths)]
