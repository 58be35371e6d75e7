"""What a turn costs the language model's cache: `uv run python -m benchmarks.kv_reuse`.

A genuine llama.cpp server with tiny models (attention, and the hybrid of Nemotron 3 Nano), the bots' own
language model service, both strategies, with and without a warm-up between turns. The prompt tokens evaluated
for an answer are exact. The least a turn can cost is what the server has never seen; a hybrid model's state
cannot go back to any token, only to where the server kept a copy of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from loguru import logger
from pipecat.frames.frames import Frame, InterruptionFrame, LLMContextFrame, LLMFullResponseEndFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.machine import circumstances, quantile, save
from pipecat_bots.conversation.listener import Conversation
from pipecat_bots.frames import ChunkedLLMContinueGenerationFrame, LLMChunkFrame
from pipecat_bots.llama_cpp_chunked_llm import LlamaCppChunkedLLMService
from pipecat_bots.model.handshake import CHUNKED, Strategy, streamed

SYSTEM = "You are a helpful voice assistant. " * 12
QUESTIONS = ("Tell me a story", "hi", "what is your name", "and coffee")
STRATEGIES: dict[str, Strategy] = {"chunked": CHUNKED, "streamed": streamed()}
HYBRID_STEP = 4
"""Tokens before the end of a prompt that the last checkpoint of a recurrent state lies."""


class Voice(FrameProcessor):
    """Speaks every chunk in no time, or never: `mute` leaves an answer where its first chunk ended."""

    def __init__(self) -> None:
        super().__init__()
        self.mute = False
        self.text = ""
        self.first_at = 0.0
        self.over = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMChunkFrame):
            self.first_at = self.first_at or time.perf_counter()
            self.text += frame.text
            if not self.mute:
                await self.push_frame(ChunkedLLMContinueGenerationFrame(frame.id), FrameDirection.UPSTREAM)
        elif isinstance(frame, LLMFullResponseEndFrame):
            self.over.set()
        await self.push_frame(frame, direction)


class Counted(LlamaCppChunkedLLMService):
    """Keeps what each answer cost."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.evaluated: list[int] = []

    async def start_llm_usage_metrics(self, tokens: Any) -> None:
        self.evaluated.append(tokens.prompt_tokens - (tokens.cache_read_input_tokens or 0))


@dataclass
class Talk:
    """A conversation whose other side is this benchmark."""

    url: str
    llm: Counted
    voice: Voice
    worker: PipelineWorker
    context: Conversation
    http: aiohttp.ClientSession
    costs: dict[str, list[int]] = field(default_factory=dict)

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
        self.voice.text, self.voice.first_at = "", 0.0
        self.voice.over.clear()
        await self.worker.queue_frame(LLMContextFrame(self.context))
        async with asyncio.timeout(60):
            await self.voice.over.wait()
        return self.voice.text

    async def begin(self, after_s: float) -> str:
        """Let an answer begin, interrupt it; return what came of it."""
        self.voice.text, self.voice.first_at = "", 0.0
        await self.worker.queue_frame(LLMContextFrame(self.context))
        await asyncio.sleep(after_s)
        await self.worker.queue_frame(InterruptionFrame())
        await self.quiet()
        return self.voice.text

    async def quiet(self) -> None:
        """Wait until the server works on nothing and a warm-up, if there is one, is over."""
        async with asyncio.timeout(20):
            while await self.busy() or (self.llm._warming is not None and not self.llm._warming.done()):
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
async def talk(url: str, strategy: Strategy, warm: bool) -> AsyncIterator[Talk]:
    settings = Counted.Settings(system_instruction=SYSTEM, temperature=0.0, max_tokens=200)
    llm, voice = Counted(base_url=url, settings=settings, strategy=strategy), Voice()
    context = Conversation()
    if warm:
        llm.keep_warm(context)
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


# ---------------------------------------------------------------------------------------- the cases


async def turns(one: Talk, count: int, hybrid: bool, warm: bool) -> tuple[list[int], list[int]]:
    """Ask `count` questions; return what each cost, and the least it could."""
    costs, least = [], []
    for n in range(count):
        known = await _known(one, hybrid, warm, heard_all=True)
        question = f"{QUESTIONS[n % len(QUESTIONS)]}, number {n}"
        await one.ask(question)
        await one.quiet()
        costs.append(one.llm.evaluated[-1])
        spoken = one.context.get_messages()[: 2 * n + 1]
        least.append(max(1, await one.tokens(spoken) - known))
    return costs, least


async def after_interruption(one: Talk, hybrid: bool, warm: bool) -> tuple[int, int]:
    """Hear a third of a story, then ask something else."""
    await one.ask("Tell me a story", heard=1 / 3)
    await one.quiet()
    known = await _known(one, hybrid, warm, heard_all=False)
    await one.ask("what is your name")
    await one.quiet()
    return one.llm.evaluated[-1], max(1, await one.tokens(one.context.get_messages()[:-1]) - known)


async def longer_turn(one: Talk, hybrid: bool) -> tuple[int, int]:
    """Say something, be answered at once, go on before anything is heard."""
    await one.ask("hi")
    await one.quiet()
    before = await one.ended(one.context.get_messages())
    one.context.add_message({"role": "user", "content": "Tell me a story about boats"})
    one.voice.mute = True
    await one.begin(after_s=0.1)
    one.voice.mute = False
    first = one.context.get_messages()
    known = before if hybrid else await _common(one, first)
    longer: Any = {"role": "user", "content": "Tell me a story about boats and the sea"}
    one.context.set_messages([*first[:-1], longer])
    await one.answer()
    now = await one.tokens(one.context.get_messages())
    return one.llm.evaluated[-1], max(1, now - known)


async def _known(one: Talk, hybrid: bool, warm: bool, heard_all: bool) -> int:
    """How many tokens of the next prompt the server has, at best."""
    messages = one.context.get_messages()
    if warm:
        return await one.tokens(messages, open_end=False)
    if not messages:
        return 0
    prompt = await one.tokens(messages[:-1])
    if hybrid and not heard_all:
        return prompt - HYBRID_STEP
    return prompt + await one.text_tokens(str(messages[-1]["content"]))  # type: ignore[index]


async def _common(one: Talk, messages: Sequence[Any]) -> int:
    """Tokens up to the end of the last message's text."""
    head = await one.ended(messages[:-1])
    last: Any = messages[-1]
    return head + await one.text_tokens(f"<|im_start|>user\n{last['content']}")


# ----------------------------------------------------------------------------------------- the times


async def times(url: str, strategy: Strategy, rounds: int) -> dict[str, float | None]:
    """First chunk after an interruption against one without, and how soon the server is idle.

    The model of these times never ends an answer by itself, so an interruption always finds it at work.
    """
    alone, after, idle, token = [], [], [], []
    async with talk(url, strategy, warm=True) as one:
        one.voice.mute = strategy.read_ahead_s == 0
        for n in range(rounds):
            for sink, interrupted in ((alone, False), (after, True)):
                one.context.set_messages([])
                await one.quiet()
                one.context.add_message({"role": "user", "content": f"Tell me a story, number {n}"})
                if interrupted:
                    idle.append(await interrupt(one, token))
                one.note("Once upon an evening")
                await one.quiet()
                one.context.add_message({"role": "user", "content": "what is your name"})
                started = time.perf_counter()
                await one.begin(after_s=1.0)
                sink.append((one.voice.first_at - started) * 1000)
    return {
        "first_chunk_ms": round(quantile(alone, 0.5), 1),
        "first_chunk_after_interruption_ms": round(quantile(after, 0.5), 1),
        "ratio": round(quantile(after, 0.5) / quantile(alone, 0.5), 2),
        # a request that is closed after each chunk makes no tokens while it is waited
        "token_ms": round(quantile(token, 0.5), 1) if strategy.read_ahead_s else None,
        "idle_after_ms": round(quantile(idle, 0.5), 1),
    }


async def interrupt(one: Talk, token: list[float]) -> float:
    """Interrupt an answer; return after how many milliseconds the server was idle."""
    one.voice.text, one.voice.first_at = "", 0.0
    await one.worker.queue_frame(LLMContextFrame(one.context))
    while not one.voice.first_at:
        await asyncio.sleep(0.005)
    began, before = time.perf_counter(), await one.decoded()
    await asyncio.sleep(0.2)
    token.append((time.perf_counter() - began) * 1000 / max(1, await one.decoded() - before))
    stopped = time.perf_counter()
    await one.worker.queue_frame(InterruptionFrame())
    while await one.busy():
        await asyncio.sleep(0)
    return (time.perf_counter() - stopped) * 1000


# ---------------------------------------------------------------------------------------- the report


async def measure(count: int, rounds: int) -> list[dict[str, Any]]:
    from tests.llama.server import running_llama_server
    from tests.llama.tiny_gguf import Shape, build

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, Progress(transient=True) as bar:
        task = bar.add_task("conversations", total=2 * len(STRATEGIES) * 2)
        for architecture in ("llama", "nemotron_h_moe"):
            hybrid = architecture != "llama"
            model = build(Path(folder) / f"{architecture}.gguf", architecture)  # type: ignore[arg-type]
            with running_llama_server(model, "--ctx", "16384") as url:
                for name, strategy in STRATEGIES.items():
                    for warm in (False, True):
                        rows.append(await row(url, architecture, name, strategy, warm, count, hybrid))
                        bar.advance(task)
        model = build(
            Path(folder) / "mid.gguf", kind="random", shape=Shape(dim=512, ff=1024, layers=10, heads=8)
        )
        with running_llama_server(model, "--ctx", "16384") as url:
            for name, strategy in STRATEGIES.items():
                figures = await times(url, strategy, rounds)
                for one in rows:
                    if one["strategy"] == name and one["model"] == "llama" and one["warm_up"]:
                        one["times"] = figures
    return rows


async def row(
    url: str, architecture: str, name: str, strategy: Strategy, warm: bool, count: int, hybrid: bool
) -> dict[str, Any]:
    async with talk(url, strategy, warm) as one:
        costs, least = await turns(one, count, hybrid, warm)
    async with talk(url, strategy, warm) as one:
        interrupted = await after_interruption(one, hybrid, warm)
    async with talk(url, strategy, warm) as one:
        longer = await longer_turn(one, hybrid)
        warmed = one.llm.warmed_tokens
    above = [cost - lowest for cost, lowest in zip(costs[1:], least[1:], strict=True)]
    return {
        "model": architecture,
        "strategy": name,
        "warm_up": warm,
        "turns": {"evaluated": costs, "least": least, "above_least_max": max(above)},
        "after_interruption": {"evaluated": interrupted[0], "least": interrupted[1]},
        "longer_turn": {"evaluated": longer[0], "least": longer[1]},
        "warmed_tokens_of_the_last": warmed,
    }


def report(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="Prompt tokens evaluated for an answer (the least possible)")
    for name in (
        "model",
        "strategy",
        "warm-up",
        "a turn",
        "above the least",
        "after interruption",
        "longer turn",
    ):
        table.add_column(name)
    for one in rows:
        costs, least = one["turns"]["evaluated"][1:], one["turns"]["least"][1:]
        table.add_row(
            one["model"],
            one["strategy"],
            "yes" if one["warm_up"] else "no",
            f"{quantile(costs, 0.5)} ({quantile(least, 0.5)})",
            f"{one['turns']['above_least_max']} at most",
            "{evaluated} ({least})".format(**one["after_interruption"]),
            "{evaluated} ({least})".format(**one["longer_turn"]),
        )
    return table


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw what each turn of a long conversation cost."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
    for axis, model in zip(axes, ("llama", "nemotron_h_moe"), strict=True):
        for one in (one for one in rows if one["model"] == model):
            label = f"{one['strategy']}, {'warm' if one['warm_up'] else 'cold'}"
            axis.plot(one["turns"]["evaluated"][1:], label=label)
        axis.set(title=model, xlabel="turn", ylabel="prompt tokens evaluated", ylim=(0, None))
        axis.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=15, help="repetitions of the times")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    logger.remove()
    rows = asyncio.run(measure(arguments.turns, arguments.rounds))
    console = Console()
    console.print(report(rows))
    for one in rows:
        if "times" in one:
            console.print(f"{one['strategy']}: {json.dumps(one['times'])}")
    if arguments.json:
        save({**circumstances(), "conversations": rows}, arguments.json)
        plot(rows, arguments.json.with_suffix(".png"))


if __name__ == "__main__":
    main()
