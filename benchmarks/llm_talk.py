"""A conversation with the bots' own language model service, whose other side is a benchmark or a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from pipecat.frames.frames import Frame, InterruptionFrame, LLMContextFrame, LLMFullResponseEndFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from pipecat_bots.context.user import Conversation
from pipecat_bots.frames import ChunkedLLMContinueGenerationFrame, LLMChunkFrame
from pipecat_bots.llama_cpp_chunked_llm import LlamaCppChunkedLLMService
from pipecat_bots.llm.backpressure import ReadAheadPolicy
from pipecat_bots.llm.cache.slots import SlotPolicy
from pipecat_bots.llm.reply import Reply
from pipecat_bots.speculation.speculation import Speculation

SYSTEM = "You are a helpful voice assistant. " * 12


class Voice(FrameProcessor):
    """Speaks every chunk in no time, or never: `mute` leaves an answer where its first chunk ended."""

    def __init__(self) -> None:
        super().__init__()
        self.mute = False
        self.text = ""
        self.begun = asyncio.Event()
        self.over = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMChunkFrame):
            self.text += frame.text
            self.begun.set()
            if not self.mute:
                await self.push_frame(ChunkedLLMContinueGenerationFrame(frame.id), FrameDirection.UPSTREAM)
        elif isinstance(frame, LLMFullResponseEndFrame):
            self.over.set()
        await self.push_frame(frame, direction)


class Watched(LlamaCppChunkedLLMService):
    """Keeps what each answer cost, and when its first word came and its last request was over."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.evaluated: list[int] = []
        self.first_token_at = 0.0
        self.closed_at = 0.0

    async def _generate(self, reply: Reply, guess: Speculation | None) -> None:
        try:
            await super()._generate(reply, guess)
        finally:
            self.closed_at = time.perf_counter()

    async def stop_ttfb_metrics(self, **kwargs: Any) -> None:
        self.first_token_at = self.first_token_at or time.perf_counter()
        await super().stop_ttfb_metrics(**kwargs)

    async def start_llm_usage_metrics(self, tokens: Any) -> None:
        self.evaluated.append(tokens.prompt_tokens - (tokens.cache_read_input_tokens or 0))


@dataclass
class Talk:
    """A conversation whose other side is this benchmark."""

    url: str
    llm: Watched
    voice: Voice
    worker: PipelineWorker
    context: Conversation
    http: aiohttp.ClientSession

    async def ask(self, question: str, *, heard: float = 1.0) -> str:
        """Ask, let the answer come, and note as much of it as was heard; return what was generated."""
        self.context.add_message({"role": "user", "content": question})
        text = await self.answer()
        self.note(text[: round(len(text) * heard)])
        return text

    def note(self, text: str) -> None:
        if text.strip():
            self.context.add_message({"role": "assistant", "content": text.strip()})

    async def answer(self) -> str:
        await self._begin()
        async with asyncio.timeout(60):
            await self.voice.over.wait()
        return self.voice.text

    async def begin(self, after_s: float) -> str:
        """Let an answer begin, interrupt it; return what came of it."""
        await self._begin()
        await asyncio.sleep(after_s)
        await self.interrupt()
        await self.quiet()
        return self.voice.text

    async def hear(self) -> float:
        """Let an answer begin, until there is a chunk of it; return when its first word came, in seconds."""
        await self._begin()
        async with asyncio.timeout(60):
            await self.voice.begun.wait()
        return self.llm.first_token_at

    async def interrupt(self) -> None:
        await self.worker.queue_frame(InterruptionFrame())

    async def _begin(self) -> None:
        self.voice.text, self.llm.first_token_at = "", 0.0
        self.voice.begun.clear()
        self.voice.over.clear()
        await self.worker.queue_frame(LLMContextFrame(self.context))

    async def quiet(self) -> None:
        """Wait until the server works on nothing and a warm-up, if there is one, is over."""
        async with asyncio.timeout(20):
            while await self.busy() or (self.llm.warmer.is_at_work):
                await asyncio.sleep(0.005)

    async def busy(self) -> bool:
        async with self.http.get(f"{self.url}/slots") as response:
            return any(slot["is_processing"] for slot in await response.json())

    async def decoded(self) -> int:
        """Return how many tokens of the answer in progress there are."""
        async with self.http.get(f"{self.url}/slots") as response:
            return sum(t["n_decoded"] for slot in await response.json() for t in slot.get("next_token", ()))

    async def tokens(self, messages: Sequence[Any], open_end: bool = True) -> int:
        """Return how many tokens the server makes of messages."""
        body = {
            "messages": [{"role": "system", "content": SYSTEM}, *messages],
            "add_generation_prompt": open_end,
            "chat_template_kwargs": {"enable_thinking": False},
        }
        async with self.http.post(f"{self.url}/apply-template", json=body) as response:
            prompt = (await response.json())["prompt"]
        return await self.text_tokens(prompt)

    async def ended(self, messages: Sequence[Any]) -> int:
        """Return the same with the end of the last message, which the server takes for open."""
        return await self.tokens(messages, open_end=False) + await self.text_tokens("<|im_end|>\n")

    async def text_tokens(self, text: str) -> int:
        body = {"content": text, "parse_special": True}
        async with self.http.post(f"{self.url}/tokenize", json=body) as response:
            return len((await response.json())["tokens"])


@asynccontextmanager
async def talk(
    url: str, strategy: ReadAheadPolicy, warm: bool, slots: SlotPolicy | None = None
) -> AsyncIterator[Talk]:
    settings = Watched.Settings(system_instruction=SYSTEM, temperature=0.0, max_tokens=200)
    llm, voice = Watched(base_url=url, settings=settings, strategy=strategy, slots=slots), Voice()
    context = Conversation()
    if warm:
        llm.warmer.keep(context)
    params = PipelineParams(enable_metrics=True, enable_usage_metrics=True)
    worker = PipelineWorker(Pipeline([llm, voice]), params=params, enable_rtvi=False, idle_timeout_secs=None)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    async with aiohttp.ClientSession(raise_for_status=True) as http:
        one = Talk(url, llm, voice, worker, context, http)
        await asyncio.sleep(0.5)
        await one.quiet()
        try:
            yield one
        finally:
            await runner.cancel()
            await running
