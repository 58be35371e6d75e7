"""Docstrings open with a verb or a noun, and a note under a field can be read without the line above it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "pipecat_bots", "benchmarks", "scripts")

RIDDLE = re.compile(r"(What|Whatever|Who|Whoever|Whom|Whose|When|How|Which|Where|Whether|Why|Of)\b")
FRAGMENT = re.compile(
    r"(About|Above|After|Among|As|At|Before|Behind|Between|Beyond|By|For|From|In|Into|On|Through|To|Until|With"
    r"|Without|The same|Likewise|Also|It|They|Them|These|Those|Then)\b"
)


class Sentence(NamedTuple):
    line: int
    text: str
    is_note: bool

    @property
    def is_bad(self) -> bool:
        return bool(RIDDLE.match(self.text) or (self.is_note and FRAGMENT.match(self.text)))


def sentences(source: str) -> Iterator[Sentence]:
    """Yield the first line of every docstring, and of every string under an assignment."""
    for node in ast.walk(ast.parse(source)):
        for _, statements in ast.iter_fields(node):
            if isinstance(statements, list):
                yield from _notes(statements)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _opening(node.body[:1], is_note=False)


def _notes(statements: list[ast.AST]) -> Iterator[Sentence]:
    for before, statement in pairwise(statements):
        if isinstance(before, ast.Assign | ast.AnnAssign | ast.AugAssign):
            yield from _opening([statement], is_note=True)


def _opening(statements: list[ast.AST] | list[ast.stmt], *, is_note: bool) -> Iterator[Sentence]:
    for statement in statements:
        match statement:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield Sentence(statement.lineno, text.strip().partition("\n")[0], is_note)


@pytest.mark.parametrize("folder", FOLDERS)
def test_docstrings_and_notes_name_their_subject(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    bad = [
        f"{file.relative_to(ROOT)}:{sentence.line}: {sentence.text}"
        for file in files
        for sentence in sentences(file.read_text())
        if sentence.is_bad
    ]
    advice = "Open with an imperative verb or a noun, and repeat the subject instead of referring to it:"
    assert not bad, "\n".join([advice, *bad])


BAD = '''"""What a server says."""

LIMIT_S = 1.0
"""Of the same, in seconds."""


class Session:
    """Who calls."""

    rate: int = 1
    """From the same file."""

    def __init__(self) -> None:
        if self.rate:
            self.at = 0
            """When it began."""
        else:
            self.at = 1
            """The same, later."""

    async def due(self) -> float:
        """How urgent it is."""
'''

GOOD = '''"""Health of a server."""

LIMIT_S = 1.0
"""Longest wait, in seconds; when it is over, the call ends."""


class Session:
    """Officer of the day: no riddle, though the word begins like one."""

    def due(self) -> float:
        """From here on, a docstring of a function may say where it starts."""
        "".join("What is no docstring is not looked at.")
        return self.rate
'''


def test_riddles_and_fragments_are_found_wherever_they_stand() -> None:
    found = sorted(sentence.line for sentence in sentences(BAD) if sentence.is_bad)
    assert found == [1, 4, 8, 11, 16, 19, 22]


def test_plain_sentences_pass() -> None:
    assert [sentence for sentence in sentences(GOOD) if sentence.is_bad] == []
    assert len(list(sentences(GOOD))) == 4
