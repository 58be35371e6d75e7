"""Text from tokens: words and transcripts, a token at a time.

A word is decoded once, when its last token is known; only the word in progress is decoded again. So the cost
of a token does not depend on what was said before it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from nemotron_speech.engines.base import Word
from nemotron_speech.engines.nemo_asr.decode import DecodedToken
from nemotron_speech.engines.shared.running_text import MOST_WORDS, RunningText
from nemotron_speech.errors import ConfigurationError

_WORD_START = "▁"
_MARK = re.compile(rf"{_WORD_START}?<(?!unk>|0x)([A-Za-z][\w-]*)>")
"""A token that says something about the speech instead of being part of it: `<EOU>`, `<en-US>`."""
_END_MARKS = frozenset({"EOU"})
_LONGEST_WORD = 64
"""Most tokens of a word that are decoded together; writing without spaces has longer words."""


class TokenVocabulary:
    """Kinds and texts of a model's tokens.

    Args:
        pieces: The tokens as the model writes them.
        decode: Ids to text.
        attached: Punctuation that takes no space before it.
    """

    def __init__(
        self,
        pieces: Sequence[str],
        decode: Callable[[list[int]], str],
        attached: frozenset[str] = frozenset(),
    ) -> None:
        marks = {i: found[1] for i, piece in enumerate(pieces) if (found := _MARK.fullmatch(piece))}
        self.decode = decode
        self.attached = attached
        self.marks = frozenset(marks)
        self.end_marks = frozenset(i for i, mark in marks.items() if mark in _END_MARKS)
        self.word_starts = frozenset(i for i, piece in enumerate(pieces) if piece[:1] in (_WORD_START, " "))
        self.bytes = frozenset(i for i, piece in enumerate(pieces) if piece.startswith("<0x"))

    @classmethod
    def of(cls, model: Any) -> TokenVocabulary:
        """Read the vocabulary of a NeMo model. Raises ConfigurationError for a tokenizer it cannot join."""
        decoding = getattr(model, "ctc_decoding", None) or model.decoding
        attached = frozenset(getattr(decoding, "supported_punctuation", None) or ())
        tokenizer = getattr(model, "tokenizer", None)
        if tokenizer is None:
            characters = list(model.decoder.vocabulary)
            return cls(characters, lambda ids: "".join(characters[i] for i in ids).strip(), attached)
        if getattr(model, "tokenizer_type", "bpe") == "wpe":
            raise ConfigurationError("models with a WordPiece tokenizer are not supported; use a BPE model")
        pieces = tokenizer.ids_to_tokens(list(range(tokenizer.vocab_size)))
        return cls(pieces, tokenizer.ids_to_text, attached)


class TokenTranscript:
    """Transcript of one utterance so far.

    Args:
        frame_ms: Time of one encoder frame.
    """

    def __init__(self, vocabulary: TokenVocabulary, frame_ms: float) -> None:
        self._vocabulary = vocabulary
        self._frame_ms = frame_ms
        self._start_ms = 0
        self.restart(0)

    def restart(self, start_ms: int) -> None:
        """Begin another utterance at `start_ms` of the stream."""
        self._start_ms = start_ms
        self._words: deque[Word] = deque(maxlen=MOST_WORDS)
        self._text = RunningText()
        self._open: list[DecodedToken] = []
        self._last: Word | None = None
        self._glued = False
        self.ended = False
        """True if the model's last token was its mark for the end of an utterance."""

    @property
    def text(self) -> str:
        """Text from `offset` on, the word in progress included."""
        return self._text.recent + self._piece(self._last)

    @property
    def offset(self) -> int:
        """Characters of the utterance before `text`: none, but in a very long one."""
        return self._text.offset

    @property
    def whole(self) -> tuple[str, int]:
        """Known text of the utterance, and the number of characters that came before it."""
        return self._text.whole + self._piece(self._last), self._text.dropped

    @property
    def words(self) -> tuple[Word, ...]:
        return (*self._words, self._last) if self._last else tuple(self._words)

    def extend(self, tokens: Sequence[DecodedToken]) -> None:
        """Add tokens; their frames count from the start of the utterance."""
        for token in tokens:
            self.ended = token.id in self._vocabulary.end_marks
            if token.id in self._vocabulary.marks:
                self._close_word()
                continue
            if token.id in self._vocabulary.word_starts:
                self._close_word()
            elif len(self._open) >= _LONGEST_WORD and token.id not in self._vocabulary.bytes:
                self._close_word()
                self._glued = True
            self._open.append(token)
        if tokens:
            self._last = self._word(self._open)

    def extended(self, tokens: Sequence[DecodedToken]) -> TokenTranscript:
        """Return this transcript with `tokens` added, and leave this one as it is."""
        copy = TokenTranscript(self._vocabulary, self._frame_ms)
        copy._start_ms, copy._text = self._start_ms, self._text.copy()
        copy._words, copy._open = self._words.copy(), list(self._open)
        copy._last, copy._glued, copy.ended = self._last, self._glued, self.ended
        copy.extend(tokens)
        return copy

    def _close_word(self) -> None:
        if word := self._word(self._open):
            self._text.append(self._piece(word))
            self._words.append(word)
        self._open, self._last, self._glued = [], None, False

    def _word(self, tokens: list[DecodedToken]) -> Word | None:
        text = self._vocabulary.decode([token.id for token in tokens]).strip() if tokens else ""
        if not text:
            return None
        return Word(
            text,
            self._start_ms + round(tokens[0].frame * self._frame_ms),
            self._start_ms + round((tokens[-1].frame + 1) * self._frame_ms),
            round(min(token.confidence for token in tokens), 3),
        )

    def _piece(self, word: Word | None) -> str:
        """Return the text that `word` adds, with the space before it."""
        if word is None:
            return ""
        attached = self._glued or not self._text.recent or word.text[0] in self._vocabulary.attached
        return word.text if attached else f" {word.text}"
