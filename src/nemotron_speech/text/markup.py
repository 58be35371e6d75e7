"""Removal of markup, pictures and control characters from a text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from nemotron_speech.text.formulas import open_math
from nemotron_speech.text.machine_text import drop_machine_text
from nemotron_speech.text.rewrite import Edit, Rewrite

_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]+")
_MARKUP = re.compile(
    r"[*`|\\]|~~|\]\(|<[A-Za-z/!]|&(?:[A-Za-z]\w{0,30}|#\w{1,8});|(?<!\w)_|_(?!\w)"
    r"|^[ \t]*(?:[-+•](?:\s|$)|#{1,6}(?:\s|$)|>|[-=]{2,})|==\S|\[\^|<\|",
    re.MULTILINE,
)
"""Signs of Markdown: a text without any of them has none, and after the passes below none is left."""
_MARKS = re.compile(
    r"==(?=\S)(?P<marked>[^=\n]{1,300}?)(?<=\S)==|\[\^[\w-]{1,40}\](?!\()"
    r"|<(?P<name>[A-Za-z]{1,30}(?:[_ -][A-Za-z]{1,30}){1,6})>"
    r"|<\|[\w -]{1,40}\|>|</?(?:s|bos|eos|pad|unk)>|^[ \t]*={2,}[ \t]*$",
    re.MULTILINE,
)
"""Marks unknown to CommonMark: ==highlights==, footnotes, <your_name> to be filled in, rules below titles,
and a model's special tokens."""
_TIMES = re.compile(r"(?<=\d)\s*\*\s*(?=\d)")
_LEFT_OVER = re.compile(
    r"[*`|\\]+(?=[\s.,;:!?)]|$)|[*`|\\]+|~{2,}|\](?=\()|<(?![\s\d=]|$)|&(?=#?\w{1,31};)"
    r"|(?<!\w)_+|_+(?!\w)"
)
_LEADING_MARKS = re.compile(r"\A(?:(?:[-+•](?= |$)|#{1,6}(?= |$)|>|[-=]{2,}) ?)+")
_SPEAKABLE_SYMBOLS = frozenset("°©®™№℃℉^")
_UNSPEAKABLE_OTHERS = frozenset("\u200d\ufe0e\ufe0f\u20e3")
_PLAIN = re.compile(r"[\w .,;:!?'\"()\-’“”‘–—…%$€£/&@+=#]*")
"""Characters that need no closer look."""
_SIGNS = re.compile(r"[^\w ]+")
_SPACES = re.compile(r"^\s+|\s+$|[^\S ]\s*| \s+")
_PAUSES = {
    "heading_close": ". ",
    "paragraph_close": ". ",
    "th_close": ", ",
    "td_close": ", ",
    "tr_close": ". ",
}
_PAUSE_STRENGTH = ("", " ", ", ", ". ")


def speakable(text: str) -> str:
    """Return `text` without markup, pictures and control characters; empty when nothing can be said.

    Numbers, addresses and symbols that can be said stay as they are written. Idempotent.
    """
    rewrite = Rewrite(text)
    strip_markup(rewrite)
    return rewrite.text


def strip_markup(rewrite: Rewrite, *, pauses: bool = False) -> list[str]:
    """Leave of a text what `speakable` describes; return what was dropped that is not mere markup.

    Args:
        pauses: End headings, list items and table cells with punctuation, where they have none.
    """
    dropped: list[str] = []
    before = None
    while rewrite.text != before:  # what a mark enclosed, or stood between, may be one itself
        before = rewrite.text
        _strip_once(rewrite, dropped, pauses=pauses)
    return dropped


def _strip_once(rewrite: Rewrite, dropped: list[str], *, pauses: bool) -> None:
    rewrite.substitute(_INVISIBLE, lambda match: "")
    drop_machine_text(rewrite)
    open_math(rewrite)
    if _MARKUP.search(rewrite.text):
        _drop_marks(rewrite)
        rewrite.apply(_unmarked(rewrite.text, dropped, pauses=pauses))
        rewrite.substitute(_TIMES, lambda match: " × ")
    if not _PLAIN.fullmatch(rewrite.text):
        _drop_pictures(rewrite, dropped)
    rewrite.substitute(_LEFT_OVER, _left_over)
    squeeze_spaces(rewrite)
    rewrite.substitute(_LEADING_MARKS, lambda match: "")
    if not any(map(str.isalnum, rewrite.text)):
        rewrite.apply([Edit(0, len(rewrite.text), "")])


def _drop_marks(rewrite: Rewrite) -> None:
    """Leave the content of marks; one may be within another, and each pass makes the text shorter."""
    while _MARKS.search(rewrite.text):
        rewrite.substitute(_MARKS, lambda match: match["marked"] or match["name"] or "")


def squeeze_spaces(rewrite: Rewrite) -> None:
    """Leave one space between words, and none at the ends."""
    rewrite.substitute(_SPACES, _one_space)


def _one_space(match: re.Match[str]) -> str:
    return " " if match.start() > 0 and match.end() < len(match.string) else ""


def _left_over(match: re.Match[str]) -> str:
    """Markup that was cut off from its other half, by a chunk's end for example."""
    return "" if match.end() < len(match.string) and match.string[match.end()] in " .,;:!?)" else " "


def _drop_pictures(rewrite: Rewrite, dropped: list[str]) -> None:
    def drop(match: re.Match[str]) -> str | None:
        run = match.group()
        lost = "".join(filter(_unspeakable, run))
        if any(unicodedata.category(character) == "So" for character in lost):
            dropped.append(lost)
        return "".join(" " if _unspeakable(character) else character for character in run) if lost else None

    rewrite.substitute(_SIGNS, drop)


def _unspeakable(character: str) -> bool:
    """Return True for pictures (So, Sk), controls, joiners and variation selectors."""
    if character in _SPEAKABLE_SYMBOLS:
        return False
    category = unicodedata.category(character)
    return category in ("So", "Sk", "Cc", "Cs", "Co", "Cn") or character in _UNSPEAKABLE_OTHERS


# ---------------------------------------------------------------------------------------- Markdown


_MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
_MARKDOWN.disable(["code", "html_block", "lheading", "reference", "text_join"])
"""CommonMark with tables and ~~strikethrough~~, less what a piece of a text is mistaken for."""


def _unmarked(text: str, dropped: list[str], *, pauses: bool) -> Iterator[Edit]:
    """Yield the edits that leave the content of a Markdown text."""
    tokens = _MARKDOWN.parse(text)
    dropped += [token.content.strip() for token in tokens if token.type == "fence"]
    at, gap = 0, ""
    for content, kind in _contents(tokens):
        if kind:
            gap = max(gap, _gap(text[max(0, at - 1) : at], kind, pauses=pauses), key=_PAUSE_STRENGTH.index)
            continue
        found = text.find(content, at)
        start, end = (found, found + len(content)) if found >= 0 else (at, at)
        if start > at or gap:
            yield Edit(at, start, gap)
        if found < 0:
            yield Edit(at, at, content)
        at, gap = end, ""
    yield Edit(at, len(text), "")


def _gap(before: str, kind: str, *, pauses: bool) -> str:
    """Return the text between a block and the next: a pause, unless punctuation makes one already."""
    return _PAUSES.get(kind, " ") if pauses and before.isalnum() else " "


def _contents(tokens: Sequence[Token]) -> Iterator[tuple[str, str]]:
    """Yield what a reader sees, in order: (content, "") and ("", kind) where a block ends."""
    for token in tokens:
        match token.type:
            case "inline" | "image":
                yield from _contents(token.children or [])
            case "list_item_open" if token.info:
                yield token.info + token.markup, ""
                yield "", token.type
            case "text" | "code_inline":
                yield token.content, ""
            case "text_special":
                yield (token.markup if token.info == "escape" else token.content), ""
            case "softbreak" | "hardbreak":
                yield "", token.type
            case kind if kind.endswith("_close") and token.block:
                yield "", kind
