"""Run a voicebench scenario; print what came of each turn: voicebench_turns.py SCENARIO URL."""

import asyncio
import json
import sys

from voicebench.bench import run_benchmark
from voicebench.scenario import load_scenario


async def main(scenario: str, url: str) -> None:
    result = await run_benchmark(load_scenario(scenario), adapter="pipecat", options={"url": url})
    session = result.report["sessions"][0]
    turns = [{name: turn[name] for name in ("id", "trigger", "passed", "notes")} for turn in session["turns"]]
    print(json.dumps({"turns": turns, "agent": session["agent_segments"]}))


asyncio.run(main(*sys.argv[1:]))
