"""The bots as a caller hears them: real processes, WebRTC, a caller in a process of its own.

    uv run python -m benchmarks.outside --json benchmarks/results/outside.json
    uv run python -m benchmarks.outside --quick

Servers of three kinds: our own; plain ones that keep to the published protocol and add nothing, with a model
that keeps one state; plain ones with a model like vLLM's. Each with the bots that fit, and with the same
questions asked with speculation on and off, in turn.

Voice to voice is the last sample of the user's speech to the first audible sample of the answer, at the
transport's end: the listener's jitter buffer is of no length (a browser's adds 20 to 60 ms). Silent after is
the first sample of an interruption to the last one of the old answer. A recogniser's final takes 30 ms, its
words come 200 ms late; the model takes 15 ms, evaluates 1,000 prompt tokens and makes 60 tokens a second, the
first sound of a text takes 150 ms.

`--quick` fails on counts alone: a greeting that is not heard, a turn without its right answer, an old answer
that comes back, a conversation that the model is told wrongly, more than 1.1 requests a response.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.machine import circumstances, save
from benchmarks.outside.cells import Cell, Measurement, Pair
from benchmarks.outside.report import faults, plot, report, tables
from benchmarks.outside.suites import FULL, QUICK


async def measure(pairs: list[Pair], folder: Path, console: Console) -> list[Cell]:
    """Make the calls of all pairs, one after the other."""
    cells: list[Cell] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("calls", total=sum(pair.calls for pair in pairs))
        for number, pair in enumerate(pairs):
            progress.update(task, description=f"{pair.servers.name}, {pair.bot}")
            measurement = Measurement(pair, folder / str(number), lambda _: progress.advance(task))
            cells += await measurement.run()
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="six minutes; exit status 1 for a wrong count")
    parser.add_argument(
        "--servers", action="append", help="of these alone, by name: ours, plain, vLLM-like, …"
    )
    parser.add_argument("--lesson", action="append", help="these calls alone, by name: ordinary, split, …")
    parser.add_argument("--keep", type=Path, help="keep logs and recordings in this folder")
    parser.add_argument("--json", type=Path, help="write the figures here, and the plot beside them")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=max(120, Console().width))
    before = circumstances()
    pairs = [
        chosen
        for pair in (QUICK if arguments.quick else FULL)
        if arguments.servers is None or pair.servers.name in arguments.servers
        if (chosen := pair.only(arguments.lesson)).calls
    ]
    # told to end, it ends the processes that it started, as with Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        cells = asyncio.run(measure(pairs, arguments.keep or Path(folder), console))
    console.print(*tables(cells), sep="\n")
    for cell in cells:
        for fault in cell.findings.faults:
            console.print(f"{cell.name}: {fault}")
    if arguments.json:
        save({"circumstances": before, **report(cells)}, arguments.json)
        plot(cells, arguments.json.with_suffix(".png"))
        console.print(f"written: {arguments.json} and {arguments.json.with_suffix('.png')}")
    if arguments.quick and (wrong := [fault for cell in cells for fault in faults(cell)]):
        console.print("\n".join(["wrong:", *wrong]))
        sys.exit(1)


if __name__ == "__main__":
    main()
