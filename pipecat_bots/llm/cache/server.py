"""A server's prompt cache as its answers show it: what it holds of a conversation, and how far it goes back.

A prompt that goes on where the cache ends costs its new tokens anywhere. Where a prompt leaves what is held,
an attention model's cache, or a cache in blocks, is cut there. The state of a hybrid model (Mamba and
attention) goes back to a copy at best, else to the beginning: even for the very prompt that it holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import takewhile

from nemotron_speech.protocol.llama.api import (
    ChatRequest,
    Event,
    Finish,
    Message,
    Progress,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
)

WORTH_READING = 200
"""Characters, some fifty tokens: as little is read along with the next question in no time."""
MARKS = 24
"""Characters that the template's marks around a message are worth, at four to a token."""
TELLING = 64
"""Tokens that must be in common for an answer to say something about the cache."""
SPARE = 40
"""Tokens that are evaluated above the new ones for other reasons: the rest of a block, marks of the template,
what a token estimated from characters is wrong by."""
MISSES = 2
"""Times that nothing was left of what had to be there; once is a server that was started again."""


class GoesBack(Enum):
    """Point from which a cache goes on when a prompt leaves its contents."""

    UNKNOWN = auto()
    ANYWHERE = auto()
    TO_A_COPY = auto()
    """A copy of the state, or the beginning: tokens generated or read past it are read again."""
    NOTHING_KEPT = auto()
    """No cache, or one that others use in between."""


class _End(Enum):
    """Contents of the cache behind the messages that are known."""

    NOTHING = auto()
    MORE = auto()
    """Tokens of an answer that was broken off: one or two more than were received."""


@dataclass(slots=True)
class _Prediction:
    """Overlap of a request with the messages that were held before it."""

    characters: int
    common: int
    goes_on: bool
    """True if the request has all of the held messages, and more."""


@dataclass(slots=True)
class ServerCache:
    """Model of the cache that the server holds for one conversation. Requests go one after the other.

    Args:
        goes_back: Kind of server, as far as it is known.
    """

    goes_back: GoesBack = GoesBack.UNKNOWN
    _held: list[Message] = field(default_factory=list)
    _end: _End = _End.NOTHING
    _read: float = 0.0
    """Share of the held messages that was evaluated."""
    _generated: str = ""
    _has_calls: bool = False
    _prediction: _Prediction = field(default_factory=lambda: _Prediction(0, 0, goes_on=True))
    _misses: int = 0
    _request: int = 0

    # ------------------------------------------------------------------------------- what is asked of it

    @property
    def can_go_on_after_a_stop(self) -> bool:
        """True if an answer that was broken off is gone on with at no cost."""
        return self.goes_back in (GoesBack.UNKNOWN, GoesBack.ANYWHERE)

    @property
    def pays_for_a_wrong_guess(self) -> bool:
        """True if a prompt that replaces another is evaluated far from its end."""
        return self.goes_back is GoesBack.TO_A_COPY

    def gains_by_reading(self, messages: Sequence[Message]) -> bool:
        """Return whether to have the conversation read before the next request, which goes on from there."""
        if self.goes_back is GoesBack.NOTHING_KEPT:
            return False
        common = self._common(messages)
        if self._goes_on(messages) or self.goes_back is GoesBack.ANYWHERE:
            return _characters(messages) - common >= WORTH_READING
        return True

    # --------------------------------------------------------------------------------- what becomes of it

    def begin(self, request: ChatRequest) -> int:
        """Note that a request is sent; return its number."""
        self._request += 1
        messages = list(request.messages)
        beside = sum(len(json.dumps(tool)) for tool in request.tools)
        total, common = _characters(messages), self._common(messages)
        self._prediction = _Prediction(
            total + beside, common + beside * bool(common), self._goes_on(messages)
        )
        self._held, self._end, self._read = messages, _End.NOTHING, 0.0
        self._generated, self._has_calls = "", False
        return self._request

    def take(self, request: int, events: Iterable[Event], *, is_warm_up: bool = False) -> None:
        """Take in events of a request's answer; those of a superseded request are ignored."""
        if request != self._request:
            return
        for event in events:
            match event:
                case Progress():
                    self._read = event.processed / max(1, event.total)
                case TextDelta() | ThoughtDelta() | ToolCallDelta() if not is_warm_up:
                    self._generate(event)
                case Finish():
                    self._finish(event)

    def _generate(self, event: TextDelta | ThoughtDelta | ToolCallDelta) -> None:
        self._read, self._end = 1.0, _End.MORE
        if isinstance(event, TextDelta):
            self._generated += event.text
        elif isinstance(event, ToolCallDelta):
            self._has_calls = True

    def _finish(self, finish: Finish) -> None:
        self._learn(finish)
        self._read = 1.0
        if self._end is _End.MORE:
            self._end = _End.NOTHING
            self._append_answer()

    def _append_answer(self) -> None:
        before = self._held[-1] if self._held else None
        if before is not None and before.get("role") == "assistant" and not before.get("tool_calls"):
            self._held[-1] = {**before, "content": f"{before.get('content') or ''}{self._generated}"}
        else:
            self._held.append(_answer(self._generated, self._has_calls))
        self._generated = ""

    def _learn(self, finish: Finish) -> None:
        was = self._prediction
        expected = finish.prompt_tokens * was.common / max(1, was.characters)
        if not finish.states_cache or expected < TELLING:
            return
        if was.goes_on:
            self._learn_loss(finish.cached_tokens < expected / 4)
        elif self.goes_back is not GoesBack.NOTHING_KEPT:
            self._learn_way_back(finish, expected)

    def _learn_way_back(self, finish: Finish, expected: float) -> None:
        new = finish.prompt_tokens - expected
        evaluated = finish.prompt_tokens - finish.cached_tokens
        if evaluated > new + max(SPARE, new / 2):
            self.goes_back = GoesBack.TO_A_COPY
        elif self.goes_back is GoesBack.UNKNOWN:
            self.goes_back = GoesBack.ANYWHERE

    def _learn_loss(self, is_lost: bool) -> None:
        self._misses = self._misses + 1 if is_lost else 0
        if self._misses >= MISSES:
            self.goes_back = GoesBack.NOTHING_KEPT
        elif not is_lost and self.goes_back is GoesBack.NOTHING_KEPT:
            self.goes_back = GoesBack.UNKNOWN

    # ----------------------------------------------------------------------------------------- comparing

    def _goes_on(self, messages: Sequence[Message]) -> bool:
        """Return whether the messages begin with all that is held."""
        held = len(self._held)
        is_begun = held <= len(messages) and all(map(_same, self._held, messages))
        return is_begun and self._end is _End.NOTHING

    def _common(self, messages: Sequence[Message]) -> int:
        """Return how many characters the messages begin with that were evaluated."""
        alike = sum(1 for _ in takewhile(lambda pair: _same(*pair), zip(self._held, messages, strict=False)))
        common = _characters(messages[:alike])
        if alike < len(messages):
            common += self._common_text(messages[alike], alike)
        return min(common, round(_characters(self._held) * self._read) + len(self._generated))

    def _common_text(self, message: Message, index: int) -> int:
        """Return how many characters a message has in common with the one held in its place."""
        if index < len(self._held):
            return _alike(str(self._held[index].get("content") or ""), str(message.get("content") or ""))
        if message.get("role") == "assistant":
            return _alike(self._generated, str(message.get("content") or ""))
        return 0


def _answer(text: str, has_calls: bool) -> Message:
    calls = {"tool_calls": True} if has_calls else {}
    return {"role": "assistant", "content": text, **calls}


def _same(one: Message, other: Message) -> bool:
    """Return whether two messages are alike; of an answer's tool calls it is enough that there are some."""
    kinds = [(m.get("role"), m.get("content") or "", bool(m.get("tool_calls"))) for m in (one, other)]
    return kinds[0] == kinds[1]


def _alike(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _characters(messages: Sequence[Message]) -> int:
    texts = (str(m.get("content") or "") + str(m.get("tool_calls") or "") for m in messages)
    return sum(len(text) + MARKS for text in texts)
