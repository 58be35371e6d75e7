"""Cut a text into pieces that a synthesiser speaks one at a time."""

from __future__ import annotations

import re

_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])\s+|(?<=[。！？])|\n+")
_CLAUSE_END = re.compile(r"(?<=[,;:、，；：—])\s*")


def split_clauses(text: str, longest: int) -> list[str]:
    """Cut the text into pieces of at most `longest` characters that hold something to say.

    Sentences stay whole where they fit; longer ones are cut after commas, then between words, then anywhere.
    """
    pieces: list[str] = []
    for sentence in _SENTENCE_END.split(text):
        pieces += [sentence] if len(sentence) <= longest else _cut(sentence, longest)
    return [piece for piece in (piece.strip() for piece in pieces) if any(map(str.isalnum, piece))]


def _cut(sentence: str, longest: int) -> list[str]:
    pieces: list[str] = []
    for clause in _CLAUSE_END.split(sentence):
        if pieces and len(pieces[-1]) + len(clause) < longest:
            pieces[-1] += " " + clause
        else:
            pieces += _cut_words(clause, longest)
    return pieces


def _cut_words(clause: str, longest: int) -> list[str]:
    pieces: list[str] = []
    while len(clause) > longest:
        space = clause.rfind(" ", 1, longest)
        end = space if space > 0 else longest
        pieces.append(clause[:end])
        clause = clause[end:].lstrip()
    return [*pieces, clause]
