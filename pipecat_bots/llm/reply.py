"""One answer of a language model as it is put together from one or more streamed requests."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pipecat.metrics.metrics import LLMTokenUsage

from nemotron_speech.protocol.llama.answer_filter import AnswerFilter
from nemotron_speech.protocol.llama.answer_words import AnswerPart, SaidText, Unsaid
from nemotron_speech.protocol.llama.api import (
    ChatRequest,
    Event,
    Finish,
    FinishReason,
    Progress,
    ServerError,
    TextDelta,
    ToolCallDelta,
)
from nemotron_speech.protocol.llama.tool_calls import read_arguments
from nemotron_speech.protocol.llama.written_calls import WrittenCall, offered
from nemotron_speech.text import Budget, Chunker, speakable

FIRST_CHUNK = Budget(10, 24)
LATER_CHUNKS = Budget(1, 96)
_TOKEN = re.compile(r"\s*\S+\s*|\s+")


class RequestRefused(Exception):
    """The server answered with an error."""

    def __init__(self, error: ServerError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(slots=True)
class ReplyToolCall:
    """A tool call, complete when the answer is."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def parsed(self) -> dict[str, object] | None:
        """Return the arguments; None when the model wrote no JSON object."""
        return read_arguments(self.arguments)


class Reply:
    """The text so far, its chunks, and what it cost. `next_request()` goes on where the text ends.

    Args:
        request: The request for all of it.
        first: Tokens of the first chunk.
        rest: Tokens of every other chunk.
        expects_thoughts: Whether the model's answers begin with thoughts that no tag opens.
    """

    def __init__(
        self,
        request: ChatRequest,
        first: Budget = FIRST_CHUNK,
        rest: Budget = LATER_CHUNKS,
        *,
        expects_thoughts: bool = False,
    ) -> None:
        self.request = request
        self._budgets = first, rest
        self._chunker = Chunker(first, rest)
        self._offered = offered(request.tools)
        self._filter = AnswerFilter(self._offered, expects_thoughts=expects_thoughts)
        self._tokens = self._counted = 0
        self._usage = LLMTokenUsage(
            prompt_tokens=0, completion_tokens=0, total_tokens=0, cache_read_input_tokens=0
        )
        self._progress: Progress | None = None
        self.prompt_tokens = 0
        """Tokens of the first request's prompt; 0 while that is not known."""
        self.ran_out_at: int | None = None
        """Tokens of prompt and answer when the server had no room for more; None when that did not happen."""
        self._calls: dict[int, ReplyToolCall] = {}
        self._written_calls: list[ReplyToolCall] = []
        self.has_come = False
        """True once text has come, given out or held back."""
        self.taken_back = ""
        """Text that the voice was given before it turned out to be thoughts."""
        self.chunks: deque[str] = deque()
        """Complete, and not spoken yet: one read may complete several."""
        self._given = 0
        """Characters taken from `chunks`."""
        self.finished = False
        """True once all of the answer has been received."""

    @property
    def text(self) -> str:
        """Text generated so far, thoughts left out."""
        return self._chunker.text

    @property
    def begun(self) -> bool:
        return bool(self.text)

    @property
    def waiting_characters(self) -> int:
        """Characters of the text not given to the voice yet."""
        return len(self.text) - self._given

    @property
    def has_words(self) -> bool:
        """True if there is something to be heard of it."""
        return bool(speakable(self.text))

    @property
    def had_orphan(self) -> bool:
        """True if thoughts ended in it that no tag had opened."""
        return self._filter.had_orphan

    @property
    def tool_calls(self) -> list[ReplyToolCall]:
        """Calls as the server states them; those that the model wrote as text where it states none."""
        stated = [call for call in self._calls.values() if call.name]
        for call in stated:
            bare = call.name.removeprefix("functions.")
            call.name = bare if bare in self._offered else call.name
        return stated or self._written_calls

    def next_request(self) -> ChatRequest:
        self._filter.resume()
        request = self.request.continuation(self.text) if self.begun else self.request
        if request.max_tokens is not None:
            request = replace(request, max_tokens=max(1, request.max_tokens - self._tokens))
        self._progress = None
        self._counted = self._tokens
        return request

    @property
    def over(self) -> bool:
        """True if everything has been received and taken."""
        return self.finished and not self.chunks

    def next_chunk(self) -> str:
        """Take the first of `chunks`."""
        chunk = self.chunks.popleft()
        self._given += len(chunk)
        return chunk

    def take(self, events: Sequence[Event], *, in_haste: bool = False) -> None:
        """Take in what was received; the chunks it completes join `chunks`. Raises Refused.

        Args:
            events: Events received.
            in_haste: True if somebody waits for the next chunk.
        """
        chunks: list[str] = []
        if not events and in_haste:
            chunks += self._chunker.feed("", in_haste=True)
        for event in events:
            match event:
                case TextDelta(text=text, generated=generated):
                    self._tokens += generated
                    self.has_come = self.has_come or not text.isspace()
                    hurries = in_haste and not chunks
                    chunks += self._read(self._filter.feed(text), chunks, in_haste=hurries)
                case ToolCallDelta():
                    self._add_call(event)
                case Progress():
                    self._progress = event
                    self.prompt_tokens = self.prompt_tokens or event.total
                case Finish():
                    self._finish(event)
                    chunks += self._last_chunks(chunks)
                case ServerError():
                    raise RequestRefused(event)
        if (
            not self.finished
            and self.request.max_tokens is not None
            and self._tokens >= self.request.max_tokens
        ):
            self.finished = True
            chunks += self._last_chunks(chunks)
        self._give(chunks)

    def cut_short(self) -> None:
        """Take what there is for the whole."""
        self.finished = True
        self._give(self._last_chunks([]))

    def _give(self, chunks: Iterable[str]) -> None:
        self.chunks.extend(chunk for chunk in chunks if chunk)

    def abandon_request(self) -> None:
        """Count a request that was closed before its end, as far as its cost is known."""
        progress, completion = self._progress, self._tokens - self._counted
        prompt, cached = (progress.total, progress.cached) if progress else (0, 0)
        self._count(prompt, cached, completion)

    @property
    def usage(self) -> LLMTokenUsage:
        """Tokens of all requests; a prompt counts each time, mostly from the cache."""
        return self._usage

    def _last_chunks(self, waiting: list[str]) -> list[str]:
        return [*self._read(self._filter.finish(), waiting), self._chunker.finish()]

    def _read(self, parts: Iterable[AnswerPart], waiting: list[str], *, in_haste: bool = False) -> list[str]:
        """Return the chunks that parts of the answer complete; `waiting` are those of the same read."""
        chunks: list[str] = []
        for part in parts:
            match part:
                case SaidText(text=text):
                    for token in _tokens(text):
                        chunks += self._chunker.feed(token, in_haste=in_haste and not chunks)
                case WrittenCall(name=name, arguments=arguments):
                    call = ReplyToolCall(name=name, arguments=arguments)
                    self._written_calls += [call] * (call not in self._written_calls)
                case Unsaid():
                    chunks.clear()
                    waiting.clear()
                    self._take_back()
        return chunks

    def _take_back(self) -> None:
        """Begin anew: the text so far were thoughts. What the voice was not given yet, it never gets."""
        self.taken_back += self.text[: self._given]
        self.chunks.clear()
        self._given = 0
        self._chunker = Chunker(*self._budgets)

    def _finish(self, finish: Finish) -> None:
        self.finished = True
        self.prompt_tokens = self.prompt_tokens or finish.prompt_tokens
        completion = finish.completion_tokens or self._tokens - self._counted
        limit = self.request.max_tokens
        if finish.reason is FinishReason.LENGTH and (limit is None or completion < limit - self._counted):
            self.ran_out_at = finish.prompt_tokens + completion or None
        self._count(finish.prompt_tokens, finish.cached_tokens, completion)

    def _count(self, prompt: int, cached: int, completion: int) -> None:
        usage = self._usage
        usage.prompt_tokens += prompt
        usage.completion_tokens += completion
        usage.total_tokens += prompt + completion
        usage.cache_read_input_tokens = (usage.cache_read_input_tokens or 0) + cached

    def _add_call(self, delta: ToolCallDelta) -> None:
        call = self._calls.setdefault(delta.index, ReplyToolCall())
        call.id = call.id or delta.id
        call.name += delta.name
        call.arguments += delta.arguments


def _tokens(text: str) -> list[str]:
    """Return text that was held back for a while in pieces as long as tokens; code stays in one piece."""
    return [text] if "```" in text else _TOKEN.findall(text)
