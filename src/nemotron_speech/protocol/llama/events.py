"""Events of a streamed answer; the last one is a `Finish` or a `ServerError`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

_OVERFLOW = ("context length", "context size", "context window", "maximum model length")
"""One of these is in what OpenAI's, vLLM's, SGLang's and others' servers say of a prompt that is too long."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text of the answer."""

    text: str
    generated: bool = True
    """True if the model made it; line breaks that the template puts first are not its own."""


@dataclass(frozen=True, slots=True)
class ThoughtDelta:
    """More of what the model thinks before it answers; not to be spoken."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call: the first piece of each `index` has id and name, all add to the arguments."""

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of the evaluation of the prompt, in tokens."""

    total: int
    cached: int
    processed: int
    """Tokens done of `total`, those from the cache included."""
    time_ms: int


class FinishReason(StrEnum):
    """Reason for the end of an answer."""

    STOP = "stop"
    """The model ended it, or a stop word did."""
    LENGTH = "length"
    """The token limit was reached: there may be more."""
    TOOL_CALLS = "tool_calls"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Finish:
    """The answer is complete. Counts are tokens, 0 where the server does not say."""

    reason: FinishReason
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Tokens of the prompt that did not have to be evaluated again."""
    completion_tokens: int = 0
    states_cache: bool = False
    """True if the server says how many tokens were cached."""


@dataclass(frozen=True, slots=True)
class ServerError:
    """The server refused, or gave up in the middle of an answer."""

    message: str
    type: str = "server_error"
    code: int = 500
    prompt_tokens: int = 0
    context_tokens: int = 0

    @property
    def is_context_overflow(self) -> bool:
        """True if the prompt is longer than a slot: send less."""
        message = self.message.lower()
        return self.type == "exceed_context_size_error" or any(words in message for words in _OVERFLOW)

    @property
    def is_of_the_request(self) -> bool:
        """True if the request itself was refused, for another reason than its length."""
        return self.code in (400, 422) and not self.is_context_overflow


Event: TypeAlias = TextDelta | ThoughtDelta | ToolCallDelta | Progress | Finish | ServerError
