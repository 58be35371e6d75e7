"""Cost of a turn in the language model's prefix cache: `uv run python -m benchmarks.kv_reuse`.

A genuine llama.cpp server with tiny models (attention, and the hybrid of Nemotron 3 Nano), the bots' own
language model service, both strategies, with and without a warm-up between turns where there can be one.
Prompt tokens evaluated for an answer are exact. The least a turn can cost is what the server has never seen;
a hybrid model's state cannot go back to any token, only to where the server kept a copy of it.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.llm_talk import Talk, talk
from benchmarks.machine import circumstances, panels, quantile, save
from pipecat_bots.llm.backpressure import CHUNKED, ReadAheadPolicy, streamed
from pipecat_bots.llm.cache.slots import AlternatingSlots, OwnSlot, SlotPolicy

if TYPE_CHECKING:
    from tests.llama.tiny_gguf import Architecture

MODELS: tuple[Architecture, ...] = ("llama", "nemotron_h_moe")
LAYERS = (22, 60)
"""Layers of the models whose times count.

On two cores they make about 150 and 60 tokens a second, as a small and a large model do on a GPU.
"""
QUESTIONS = ("Tell me a story", "hi", "what is your name", "and coffee")
DESIGNS: dict[str, tuple[ReadAheadPolicy, Callable[[], SlotPolicy]]] = {
    "chunked": (CHUNKED, AlternatingSlots),
    "chunked, one slot": (CHUNKED, OwnSlot),
    "streamed": (streamed(), OwnSlot),
}
"""Strategies with their slots; the second is what chunks cost without the alternation."""
HYBRID_STEP = 4
"""Tokens before the end of a prompt that the last checkpoint of a recurrent state lies."""


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
    """Return how many tokens of the next prompt the server has, at best."""
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
    """Return the number of tokens up to the end of the last message's text."""
    head = await one.ended(messages[:-1])
    last: Any = messages[-1]
    return head + await one.text_tokens(f"<|im_start|>user\n{last['content']}")


# ----------------------------------------------------------------------------------------- the times


@dataclass(frozen=True, slots=True)
class Interruption:
    """Interruption of an answer, in milliseconds since the bot was told."""

    token: float
    """Milliseconds of each of the answer's tokens."""
    closed: float
    """Time at which the request was closed."""
    idle: float
    """Time at which the server was found idle."""


async def times(url: str, design: str, rounds: int) -> dict[str, float | None]:
    """First word after an interruption against one without, and how soon the server is idle.

    The model of these times never ends an answer by itself, so an interruption always finds it at work.
    """
    alone, after, ends = [], [], []
    strategy, slots = DESIGNS[design]
    async with talk(url, strategy, warm=True, slots=slots()) as one:
        one.voice.mute = strategy.read_ahead_s == 0
        asking = await asked(one)
        for n in range(rounds):
            for sink, interrupted in ((alone, False), (after, True)):
                one.context.set_messages([])
                await one.quiet()
                one.context.add_message({"role": "user", "content": f"Tell me a story, number {n}"})
                if interrupted:
                    ends.append(await interrupt(one))
                one.note("Once upon an evening")
                await one.quiet()
                one.context.add_message({"role": "user", "content": "what is your name"})
                started = time.perf_counter()
                sink.append((await one.hear() - started) * 1000)
                await one.interrupt()
                await one.quiet()
    first, first_after = quantile(alone, 0.5), quantile(after, 0.5)
    figures: dict[str, float | None] = {
        "first_token_ms": round(first, 1),
        "first_token_after_interruption_ms": round(first_after, 1),
        "ratio": round(first_after / first, 2),
        "asking_ms": round(asking, 2),
    }
    # a request that is closed after each chunk makes no tokens while it is waited
    return figures | (idleness(ends, asking) if strategy.read_ahead_s else {})


def idleness(ends: list[Interruption], asking: float) -> dict[str, float | None]:
    """Return the delay until the server was idle, the cost of finding that out excluded."""
    token = quantile([end.token for end in ends], 0.5)
    idle = [end.idle - asking for end in ends]
    return {
        "token_ms": round(token, 2),
        "closed_after_ms": round(quantile([end.closed for end in ends], 0.5), 2),
        "idle_after_ms": round(quantile(idle, 0.5), 2),
        "idle_after_p90_ms": round(quantile(idle, 0.9), 2),
        "idle_after_token_times": round(quantile(idle, 0.5) / token, 2),
        "idle_after_p90_token_times": round(quantile(idle, 0.9) / token, 2),
    }


async def asked(one: Talk, count: int = 50) -> float:
    """Return what it takes to ask an idle server whether it is idle, in milliseconds."""
    spans = []
    for _ in range(count):
        began = time.perf_counter()
        assert not await one.busy()
        spans.append((time.perf_counter() - began) * 1000)
    return quantile(spans, 0.5)


async def interrupt(one: Talk) -> Interruption:
    """Interrupt an answer that is being generated."""
    await one.hear()
    before, began = await one.decoded(), time.perf_counter()
    await asyncio.sleep(0.2)
    decoded = await one.decoded() - before
    token = (time.perf_counter() - began) * 1000 / max(1, decoded)
    stopped = time.perf_counter()
    await one.interrupt()
    while await one.busy():
        await asyncio.sleep(0)
    idle = time.perf_counter()
    return Interruption(token, (one.llm.closed_at - stopped) * 1000, (idle - stopped) * 1000)


# ---------------------------------------------------------------------------------------- the report


async def measure(count: int, rounds: int) -> dict[str, list[dict[str, Any]]]:
    with tempfile.TemporaryDirectory() as folder, Progress(transient=True) as bar:
        return {
            "conversations": await conversations(Path(folder), count, bar),
            "times": await all_times(Path(folder), rounds, bar),
        }


async def conversations(folder: Path, count: int, bar: Progress) -> list[dict[str, Any]]:
    """Measure the tokens that turns cost: each model, strategy, with and without a warm-up."""
    from tests.llama.server import running_llama_server
    from tests.llama.tiny_gguf import build

    rows: list[dict[str, Any]] = []
    for architecture in bar.track(MODELS, description="tokens"):
        model = build(folder / f"{architecture}.gguf", architecture)
        with running_llama_server(model, "--ctx", "16384") as url:
            for name, (_, slots) in DESIGNS.items():
                for warm in (False, True) if slots().keeps_one_cache else (False,):
                    hybrid = architecture != "llama"
                    rows.append(await row(url, architecture, name, warm, count, hybrid))
    return rows


async def all_times(folder: Path, rounds: int, bar: Progress) -> list[dict[str, Any]]:
    """Measure the time of an interruption: each model in two sizes, each strategy."""
    from tests.llama.server import running_llama_server
    from tests.llama.tiny_gguf import Shape, build

    rows: list[dict[str, Any]] = []
    for layers, architecture in bar.track(list(product(LAYERS, MODELS)), description="times"):
        shape = Shape(dim=512, ff=1024, layers=layers, heads=8)
        model = build(folder / f"{architecture}-{layers}.gguf", architecture, kind="random", shape=shape)
        with running_llama_server(model, "--ctx", "16384") as url:
            for name in DESIGNS:
                figures = await times(url, name, rounds)
                rows.append({"model": architecture, "layers": layers, "strategy": name, **figures})
    return rows


async def row(url: str, architecture: str, name: str, warm: bool, count: int, hybrid: bool) -> dict[str, Any]:
    strategy, slots = DESIGNS[name]
    async with talk(url, strategy, warm, slots()) as one:
        costs, least = await turns(one, count, hybrid, warm)
    async with talk(url, strategy, warm, slots()) as one:
        interrupted = await after_interruption(one, hybrid, warm)
    async with talk(url, strategy, warm, slots()) as one:
        longer = await longer_turn(one, hybrid)
        warmed = one.llm.warmer.tokens
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


def report_times(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="Interruptions, ms (token times)")
    columns = {
        "a token": "token_ms",
        "closed": "closed_after_ms",
        "idle p50": "idle_after_ms",
        "idle p90": "idle_after_p90_ms",
        "first token": "first_token_ms",
        "after an interruption": "first_token_after_interruption_ms",
        "ratio": "ratio",
        "asking": "asking_ms",
    }
    for name in ("model", "layers", "strategy", *columns):
        table.add_column(name)
    for one in rows:
        cells = {name: str(one.get(key, "-")) for name, key in columns.items()}
        for name, key in (("idle p50", "idle_after"), ("idle p90", "idle_after_p90")):
            if f"{key}_token_times" in one:
                cells[name] += f" ({one[f'{key}_token_times']})"
        table.add_row(one["model"], str(one["layers"]), one["strategy"], *cells.values())
    return table


def plot(rows: list[dict[str, Any]], times: list[dict[str, Any]], path: Path) -> None:
    """Draw what each turn of a long conversation cost, and how soon an interrupted server is idle."""
    with panels(path, 3, width=15) as (*axes, idle):
        for axis, model in zip(axes, MODELS, strict=True):
            for one in (one for one in rows if one["model"] == model):
                label = f"{one['strategy']}, {'warm' if one['warm_up'] else 'cold'}"
                axis.plot(one["turns"]["evaluated"][1:], label=label)
            axis.set(title=model, xlabel="turn", ylabel="prompt tokens evaluated", ylim=(0, None))
            axis.legend()
        measured = [one for one in times if "token_ms" in one]
        labels = [f"{one['model']}\n{one['token_ms']} ms a token" for one in measured]
        idle.bar(labels, [one["idle_after_p90_token_times"] for one in measured], label="p90")
        idle.bar(labels, [one["idle_after_token_times"] for one in measured], label="p50")
        idle.axhline(2, color="black", linewidth=0.8)
        idle.set(title="idle after an interruption", ylabel="token times")
        idle.tick_params(axis="x", labelsize=7)
        idle.legend()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=15, help="repetitions of the times")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    logger.remove()
    result = asyncio.run(measure(arguments.turns, arguments.rounds))
    console = Console()
    console.print(report(result["conversations"]))
    console.print(report_times(result["times"]))
    if arguments.json:
        save({**circumstances(), **result}, arguments.json)
        plot(result["conversations"], result["times"], arguments.json.with_suffix(".png"))


if __name__ == "__main__":
    main()
