"""Word times of a text, from the times that a model reports for its tokens."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nemotron_speech.engines.base import Word

if TYPE_CHECKING:
    import numpy.typing as npt

_MOST_IN_ONE = 4
"""Words that are run together, or parts that a word is taken into."""
_MOST_APART = 100
"""Most words by which text and tokens may differ: more takes long to match, and is no match."""


class TokenWords(NamedTuple):
    """The words of a text, and to which of them its tokens belong; both empty where that cannot be told."""

    words: tuple[str, ...]
    word_of: tuple[int, ...]
    """Index in `words` of each token's word."""
    first: tuple[int, ...]
    """First token of each word; two words that were run together may share one."""

    def times(self, onsets: Sequence[float], end: float) -> tuple[Word, ...]:
        """Return when the words were spoken: `onsets` of the tokens and the `end` of the last, in ms."""
        return word_times(self.words, {n: onsets[token] for n, token in enumerate(self.first)}, end)


def words_of_tokens(
    text: str,
    tokens: Sequence[Hashable],
    space: Hashable | None,
    tokenize: Callable[[str], Sequence[Hashable]],
) -> TokenWords:
    """Tell the tokens of a text apart by word.

    A space belongs to the word before it. espeak-ng runs the phonemes of some words together ("in the"), and
    takes other words apart: neighbours are then shared out by the lengths that they have alone.

    Args:
        text: Text that was spoken.
        tokens: Tokens that the model's tokenizer made of the text.
        space: The token between two words; None where there is none.
        tokenize: Makes the tokens of a word.
    """
    words = text.split()
    spans = _spans(tokens, space) if space is not None else []
    if len(spans) != len(words):
        words = [word for word in words if any(map(str.isalnum, word))]
    if len(spans) == len(words):
        starts = [(number, 0) for number in range(len(words))]
    else:
        starts = _starts([len(span) for span in spans], [_length(word, space, tokenize) for word in words])
    if not starts:
        return TokenWords((), (), ())
    begins = [spans[span][offset] for span, offset in starts]
    word_of = [0] * begins[0]
    for number, (begin, end) in enumerate(zip(begins, [*begins[1:], len(tokens)], strict=True)):
        word_of += [number] * (end - begin)
    return TokenWords(tuple(words), tuple(word_of), tuple(begins))


def word_times(words: Sequence[str], begun: Mapping[int, float], end: float) -> tuple[Word, ...]:
    """Return words with their times in ms: each lasts until the next one begins, the last one to the `end`.

    Args:
        words: In their order.
        begun: Number of a word to when it began; a word left out begins between its neighbours.
        end: When the last one was over.
    """
    known = {0: 0.0, **begun, len(words): end}
    numbers = sorted(known)
    starts = np.interp(range(len(words) + 1), numbers, [known[number] for number in numbers])
    at = [round(min(start, end)) for start in starts.tolist()]
    return tuple(Word(word, at[i], at[i + 1]) for i, word in enumerate(words))


def onsets(attended: npt.NDArray[np.float32]) -> list[int]:
    """Return the step in which each token began, from the attention [steps, tokens] of each step.

    It is the step that parts attention best: until then to what comes before the token, from then on not.
    So a glance ahead or back moves nothing, and no token begins before one that precedes it.
    """
    before = np.cumsum(attended, axis=1) - attended
    gained = np.cumsum(2 * before - attended.sum(axis=1, keepdims=True), axis=0)
    return np.argmax(np.vstack([np.zeros_like(gained[:1]), gained]), axis=0).tolist()


def _spans(tokens: Sequence[Hashable], space: Hashable) -> list[range]:
    """Return where the tokens are that stand between spaces."""
    spans, at = [], 0
    for is_space, group in groupby(tokens, lambda token: token == space):
        end = at + len(list(group))
        if not is_space:
            spans.append(range(at, end))
        at = end
    return spans


def _length(word: str, space: Hashable | None, tokenize: Callable[[str], Sequence[Hashable]]) -> int:
    """Return how many tokens a word has alone, one at least."""
    try:
        tokens = tokenize(word)
    except Exception:  # noqa: BLE001  third-party dictionaries and rules raise anything on odd text
        return len(word)
    return max(1, sum(token != space for token in tokens))


def _starts(spans: Sequence[int], words: Sequence[int]) -> list[tuple[int, int]]:
    """Return in which span each word begins, and how far into it, from the lengths of both."""
    if not spans or not words:
        return []
    if len(spans) >= len(words):
        counts = _shared_out(words, spans)
        return [(end - count, 0) for count, end in zip(counts, accumulate(counts), strict=True)]
    starts, word = list[tuple[int, int]](), 0
    for span, count in enumerate(_shared_out(spans, words)):
        inside = words[word : word + count]
        ends = accumulate(inside[:-1], initial=0)
        starts += [(span, spans[span] * end // sum(inside)) for end in ends]
        word += count
    return starts


def _shared_out(few: Sequence[int], many: Sequence[int]) -> list[int]:
    """Return how many of the `many` lengths make up each of the few; nothing if they do not go together."""
    spare = len(many) - len(few)
    if spare > _MOST_APART:
        return []
    scale = sum(many) / sum(few)
    sums = [0, *accumulate(many)]
    ways = [{0: (0.0, 0)}]
    """Table by count of the few: count of the many used up, to the least error and the last count."""
    for done, length in enumerate(few, 1):
        reached: dict[int, tuple[float, int]] = {}
        for used, (error, _) in ways[-1].items():
            for count in range(1, min(_MOST_IN_ONE, done + spare - used) + 1):
                now = used + count
                worse = error + (sums[now] - sums[used] - length * scale) ** 2
                if now not in reached or worse < reached[now][0]:
                    reached[now] = worse, count
        ways.append(reached)
    counts, used = list[int](), len(many)
    while len(ways) > 1:
        way = ways.pop().get(used)
        if way is None:
            return []
        counts.append(way[1])
        used -= way[1]
    return counts[::-1]
