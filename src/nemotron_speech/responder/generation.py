"""One answer as it is generated: token by token at a set pace, until its end, a stop word or its limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from nemotron_speech.responder.promises import as_json
from nemotron_speech.responder.requests import GenerationJob
from nemotron_speech.responder.slots import Slot, common_prefix
from nemotron_speech.responder.talk.replies import Turn
from nemotron_speech.responder.tokens import tokenize

Respond = Callable[[Sequence[Turn], datetime], str]
"""Choice of the next answer in a conversation; must be quick, as it runs on the event loop."""


@dataclass(frozen=True, slots=True)
class TokenPace:
    """Simulated speed of the server."""

    tokens_per_second: float = 200.0
    """Generated tokens a second; 0: as fast as the connection takes them."""
    prompt_tokens_per_second: float = 0.0
    """Evaluated tokens a second, those in the cache excluded; 0: no delay."""
    first_token_s: float = 0.0
    """Seconds before an answer begins, whatever the cache holds; a continuation has no such delay."""

    def prompt_s(self, tokens: int, begun: bool) -> float:
        evaluation = tokens / self.prompt_tokens_per_second if self.prompt_tokens_per_second else 0.0
        return evaluation + (0.0 if begun else self.first_token_s)

    @property
    def token_s(self) -> float:
        return 1 / self.tokens_per_second if self.tokens_per_second else 0.0


@dataclass(slots=True)
class Generation:
    """State of a job's answer so far."""

    job: GenerationJob
    task: int
    slot: int
    cached: int = 0
    predicted: int = 0
    prompt_s: float = 0.0
    predicted_s: float = 0.0
    text: str = ""
    stop_type: str = "none"
    """Reason for the end in llama.cpp's words: eos, limit or word."""
    stopping_word: str = ""
    truncated: bool = False
    _held: str = field(default="")

    @property
    def evaluated(self) -> int:
        return len(self.job.tokens) - self.cached

    def accept(self, token: str) -> str:
        """Take in a token; give the text that may be sent, which ends before a stop word.

        Text that could be the beginning of a stop word is held back.
        """
        self.predicted += 1
        self._held += token
        for stop in self.job.stops:
            before, found, _ = self._held.partition(stop)
            if found:
                self.stop_type, self.stopping_word = "word", stop
                self._held = ""
                return self._sent(before)
        keep = max((_overlap(self._held, stop) for stop in self.job.stops), default=0)
        ready = self._held[: len(self._held) - keep]
        self._held = self._held[len(ready) :]
        return self._sent(ready)

    def rest(self) -> str:
        """Give what was held back for a stop word that never came."""
        held, self._held = self._held, ""
        return self._sent(held)

    def _sent(self, text: str) -> str:
        self.text += text
        return text


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of the text are the beginning of the stop word."""
    sizes = range(min(len(text), len(stop) - 1), 0, -1)
    return next((size for size in sizes if text.endswith(stop[:size])), 0)


def remaining_tokens(answer: str, begun: str) -> list[str]:
    """Return the tokens of the answer that are still to come after its beginning.

    A beginning that belongs to another answer is a prefill: all of the answer follows it. Small differences
    (the clock moved on between two requests) do not make another answer.
    """
    tokens, said = tokenize(answer), tokenize(begun.rstrip())
    if not said:
        return tokens
    same = common_prefix(tokens, said) * 2 >= len(said)
    rest = "".join(tokens[len(said) :]) if same else f" {answer}"
    return tokenize(rest.lstrip() if begun[-1].isspace() else rest)


async def generate(
    generation: Generation, slot: Slot, respond: Respond, pace: TokenPace, n_ctx: int
) -> AsyncGenerator[str, None]:
    """Evaluate the prompt, then give the text of each token at its time. Cancelling stops at once."""
    job, loop = generation.job, asyncio.get_running_loop()
    began = loop.time()
    generation.cached = slot.begin(generation.task, job.tokens, job.cache_prompt)
    await asyncio.sleep(pace.prompt_s(generation.evaluated, bool(job.begun)))
    said = respond(job.turns, datetime.now().astimezone())
    answer = remaining_tokens(as_json(said) if job.in_json else said, job.begun)
    first = loop.time()
    generation.prompt_s = first - began
    room = n_ctx - len(job.tokens)
    limit = max(1, min(room, room if job.max_tokens is None else job.max_tokens))
    try:
        for index, token in enumerate(answer[:limit]):
            await asyncio.sleep(max(0.0, first + index * pace.token_s - loop.time()))
            slot.decode(token)
            text = generation.accept(token)
            generation.predicted_s = loop.time() - first
            yield text
            if generation.stop_type == "word":
                return
    finally:
        slot.end()
    generation.stop_type = "eos" if len(answer) < limit else "limit"
    generation.truncated = generation.stop_type == "limit" and limit == room
    if text := generation.rest():
        yield text
