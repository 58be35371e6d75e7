"""Thoughts that no tag announces: labelled blocks of known templates, and self-talk at the beginning."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DECORATION = r"[\s#*_>\-]*"
_LABELS = (
    "reasoning",
    "thought",
    "thoughts",
    "thinking",
    "thinking process",
    "thought process",
    "chain of thought",
    "internal monologue",
    "internal reasoning",
    "internal thoughts",
    "my reasoning",
    "scratchpad",
    "step-by-step reasoning",
    "here is my thought process",
    "here's my thought process",
    "here is a thinking process",
    "here's a thinking process",
    "thinking out loud",
)
_SOFT_LABELS = ("analysis", "rationale", "reflection", "plan")
"""Labels that an answer may have as well: they announce thoughts only where an answer is labelled too."""
_LABEL = re.compile(
    rf"{_DECORATION}(?P<label>{'|'.join(sorted((*_LABELS, *_SOFT_LABELS), key=len, reverse=True))})"
    rf"[\s*_]*(?:[:：]|(?<=[*#_])\s*\n)",
    re.IGNORECASE,
)
_HEADING = re.compile(rf"#+\s+(?P<label>{'|'.join((*_LABELS, *_SOFT_LABELS))})\s*\n", re.IGNORECASE)
_ANSWER = re.compile(
    rf"(?:^|(?<=[.!?…\"”)\]])\s){_DECORATION}(?:(?:here(?: is|'s) )?(?:my|the) )?(?:final |actual |spoken )?"
    r"(?:answer|response|reply|output)[\s*_]*(?:[:：][\s*_]*|(?<=[*_])\n|\n(?=\s*\S))",
    re.IGNORECASE | re.MULTILINE,
)
_ACTION = re.compile(
    r"^\W*Action\W*?[:：]\s*(?P<name>[\w.\-]+)\s*\n\s*\W*Action[ _]Input\W*?[:：]\s*"
    r"(?P<input>.*?)(?=\n\s*\W*(?:Observation|Thought|Final Answer)\b|\Z)",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class LabelledBlock:
    """Text that begins with a label of thoughts, taken apart."""

    answer: str | None
    """Words behind the label of the answer; None while there is none."""
    action: tuple[str, str] | None
    """Name and input of a tool that the thoughts call."""


def may_be_label(start: str) -> bool | None:
    """Return whether an answer begins with a label of thoughts; None while it may yet."""
    if _LABEL.match(start) or _HEADING.match(start):
        return True
    head = start.lstrip(" \t\r\n#*_>-").lower().rstrip()
    is_prefix = any(label.startswith(head) for label in (*_LABELS, *_SOFT_LABELS))
    bare = head.rstrip("*_ ")
    return None if is_prefix or (bare in (*_LABELS, *_SOFT_LABELS) and "\n" not in start.strip()) else False


def may_hold_answer(text: str) -> bool:
    """Return whether a labelled block may have come to its answer."""
    lower = text.lower()
    return any(word in lower for word in ("answer", "response", "reply", "output"))


def labelled(text: str) -> LabelledBlock:
    """Take a labelled block apart, as far as it has come."""
    answer, action = _ANSWER.search(text), _ACTION.search(text)
    return LabelledBlock(
        text[answer.end() :] if answer else None, (action["name"], action["input"]) if action else None
    )


def unanswered(text: str) -> str:
    """Return what is to be said of a labelled block that ended without a labelled answer.

    A label that an answer may have stays with its text. Behind another, the first paragraph is a thought.
    """
    label = _LABEL.match(text) or _HEADING.match(text)
    if label is not None and label["label"].lower() in _SOFT_LABELS:
        return text
    return re.split(r"\n\s*\n", text.strip(), maxsplit=1)[1] if re.search(r"\n\s*\n", text.strip()) else ""


# --------------------------------------------------------------------------------------- self-talk

_OPENINGS = (
    *("okay", "ok", "alright", "all right", "hmm", "hm", "right", "so", "first", "firstly", "well", "wait"),
    *(
        "now",
        "we",
        "let me",
        "let's",
        "the user",
        "user",
        "the human",
        "they",
        "looking at",
        "given",
        "since",
    ),
    *("i need", "i should", "i must", "i have", "der nutzer", "der benutzer", "l'utilisateur", "el usuario"),
    *("嗯", "好的", "首先", "用户", "我需要"),
)
"""Beginnings of thoughts, some of which answers have as well."""
_SELF_TALK = re.compile(
    r"\b(?:the|this) (?:user|human)\b(?!(?:'s)? (?:manual|interface|guide|name|id|account|experience|group))"
    r"|\buser(?: is| has|'s)? (?:asks?|asked|asking|says?|said|saying|wants?|greet\w*|question)\b"
    r"|\b(?:I|we) (?:should|need to|have to|must) (?:\w+ )?(?:respond|answer|reply|greet|craft|compose)\b"
    r"|\b(?:der (?:Be)?nutzer|l'utilisateur|el usuario)\b|用户",
    re.IGNORECASE,
)
"""Words about the one who is spoken to, or about answering them: no answer speaks so to its listener."""
_SENTENCE = re.compile(r".{24,}?(?:[.!?…](?=\s)|[。！？\n])", re.DOTALL)
_LONGEST_DOUBT = 160
"""Characters after which text is taken for an answer."""
_CHANNELS = ("analysis", "commentary", "final", "assistant")
"""Names of channels that stand before the text where a server leaves out the tokens around them."""


def may_be_thought(start: str) -> bool:
    """Return whether the beginning of an answer sounds like thoughts, so that it is not spoken yet."""
    text = start.strip()
    if text in _CHANNELS or any(name.startswith(text) for name in _CHANNELS):
        return True
    if not _may_open(text.lower()):
        return False
    if _SELF_TALK.search(text[:400]):
        return True
    return len(text) < _LONGEST_DOUBT and not _SENTENCE.match(start.lstrip())


def _may_open(text: str) -> bool:
    """Return whether a text begins with one of the openings, or is the beginning of one."""
    begun = [one for one in _OPENINGS if text.startswith(one)]
    if any(not (one.isascii() and text[len(one) :][:1].isalnum()) for one in begun):
        return True
    return any(one.startswith(text) for one in _OPENINGS)
