"""Messages of a conversation as the language model gets them: as many as fit, in the model's own words.

The server keeps the tokens of what it was sent and what it generated. A request is cheap when it begins
with exactly those, so an answer goes back to the model as it was generated, and the beginning of a
conversation that has grown too long is left out rarely and in large pieces.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nemotron_speech.protocol.llama.api import Message

SHRINK_TO = 0.6
"""Share of the context window kept on truncation; large cuts keep the cached prefix valid for many turns."""
NOTHING_HEARD = "—"
"""Answer of which nothing was heard, as the model is sent it."""
_LONGEST_MARK = 60
"""Characters that may follow the words that were heard: a remark that they were interrupted."""


class Window:
    """Choice of the messages sent: all, or the newest exchanges, each whole, with the tools it used."""

    def __init__(self) -> None:
        self._dropped = 0
        """Messages left out, behind the instructions at the head."""
        self._beside = 0
        """Characters sent beside the messages: what the tools are."""
        self._tokens_per_character = 0.25

    def fit(
        self,
        messages: Sequence[Message],
        context_tokens: int | None = None,
        reserve: int = 0,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> list[Message]:
        """Return the messages to send.

        Args:
            messages: The whole conversation, instructions first.
            context_tokens: Tokens that the server can hold; None when that is not known.
            reserve: Tokens, of those, that the answer may need.
            tools: Sent with the messages.
        """
        self._beside = sum(map(_characters, tools))
        sent = self._sent(messages)
        if context_tokens is None or self._tokens(sent) + reserve <= context_tokens:
            return sent
        self.shrink(messages, (context_tokens - reserve) * SHRINK_TO, self._tokens(sent))
        return self._sent(messages)

    def shrink(self, messages: Sequence[Message], target: float, tokens: float | None = None) -> bool:
        """Leave out the oldest exchanges, until about `target` tokens are left, but never the newest one.

        Args:
            messages: The whole conversation.
            target: Tokens to come down to.
            tokens: Tokens that are sent now; estimated when not known.

        Returns:
            True if there was anything to leave out.
        """
        sent = self._sent(messages)
        head, characters = _head(sent), self._characters(sent)
        per_character = (tokens or self._tokens(sent)) / max(1, characters)
        starts = [i for i, message in enumerate(sent) if message.get("role") == "user" and i > head]
        for start in starts:
            characters = self._characters([*sent[:head], *sent[start:]])
            if characters * per_character <= target or start == starts[-1]:
                self._dropped += start - head
                return True
        return False

    def is_full_of_instructions(self, messages: Sequence[Message]) -> bool:
        """Return whether instructions and tools outweigh the newest exchange: nothing shorter can be said."""
        sent = self._sent(messages)
        head = _head(sent)
        newest = max((i for i, message in enumerate(sent) if message.get("role") == "user"), default=head)
        return self._characters(sent[:head]) > sum(map(_characters, sent[newest:]))

    def counted(self, messages: Sequence[Message], tokens: int) -> None:
        """Learn what messages that were sent came to."""
        if tokens and (characters := self._characters(messages)):
            self._tokens_per_character = tokens / characters

    def _sent(self, messages: Sequence[Message]) -> list[Message]:
        head = _head(messages)
        if head + self._dropped >= len(messages):
            self._dropped = 0  # another conversation
        return [*messages[:head], *messages[head + self._dropped :]]

    def _tokens(self, messages: Sequence[Message]) -> float:
        return self._tokens_per_character * self._characters(messages)

    def _characters(self, messages: Sequence[Message]) -> int:
        return self._beside + sum(map(_characters, messages))


def _head(messages: Sequence[Message]) -> int:
    roles = (message.get("role") for message in messages)
    return next((i for i, role in enumerate(roles) if role not in ("system", "developer")), len(messages))


def _characters(message: Mapping[str, Any]) -> int:
    return len(json.dumps(message, ensure_ascii=False, default=str))


class Verbatim:
    """The answers as they were generated, to put in place of what the conversation holds of them.

    Between the model and the conversation lies a voice, which may change the spaces and lose the end.
    """

    def __init__(self, most: int = 200) -> None:
        self._answers: deque[tuple[str, str]] = deque(maxlen=most)
        """Thoughts that were spoken before an answer, and the answer."""
        self._known: dict[str, str] = {}

    def generated(self, answer: str, thoughts: str = "") -> None:
        """Remember an answer, complete or not.

        Args:
            answer: Its text.
            thoughts: Text that was spoken before it was known not to be part of it.
        """
        if answer.strip() or thoughts.strip():
            self._answers.append((thoughts, answer))

    def restore(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages with the assistant's texts as the model wrote them, as far as they go."""
        before, self._known = self._known, {}
        return [self._restored(message, before) for message in messages]

    def _restored(self, message: Message, before: dict[str, str]) -> Message:
        text = message.get("content")
        if message.get("role") != "assistant" or not isinstance(text, str) or not text:
            return message
        if (found := before.get(text)) is None:
            found = next(self._candidates(text), text)
        self._known[text] = found
        return {**message, "content": found}

    def _candidates(self, text: str) -> Iterator[str]:
        """Newest first: who is asked twice may answer in the same words."""
        for thoughts, answer in reversed(self._answers):
            if (found := _as_generated(thoughts + answer, text)) is not None:
                yield _without(thoughts, found) if thoughts else found


def _without(thoughts: str, text: str) -> str:
    """Return text without the thoughts it begins with; a dash where nothing else was heard."""
    return text[len(thoughts) :].lstrip() or NOTHING_HEARD


def _as_generated(answer: str, text: str) -> str | None:
    """Return the part of `answer` that `text` holds, with its own spaces; None where it is another one.

    A remark of up to `_LONGEST_MARK` characters may follow in `text`; it is kept behind.
    """
    here = there = 0
    while True:
        here, there = _skip_spaces(answer, here), _skip_spaces(text, there)
        if here == len(answer) or there == len(text) or answer[here] != text[there]:
            break
        here, there = here + 1, there + 1
    rest = text[there:]
    if not there or len(rest) > min(_LONGEST_MARK, there):
        return None
    if here == len(answer):
        return answer + rest
    return (answer[:here].rstrip() if not rest else _end(answer, here, text, there)) + rest


def _end(answer: str, here: int, text: str, there: int) -> str:
    """Return the answer up to `here`, with the conversation's own spaces before a remark."""
    spaces = text[len(text[:there].rstrip()) : there]
    return answer[:here].rstrip() + spaces


def _skip_spaces(text: str, start: int) -> int:
    while start < len(text) and text[start].isspace():
        start += 1
    return start
