"""Voice to voice, and what the conversation adds to its stages: `uv run python -m benchmarks.latency`.

Scripted engines take fixed times, so what is measured above their sum is ours: queues, threads, sockets,
frames, chunking. Two designs are compared in one run: `overlapped` (speech starts with the first chunk of the
answer) and `plain` (each stage waits for the whole of the one before).

Voice to voice is the last sample of the user's speech to the first audible sample of the answer; inside as
the bot sees it, outside from the caller's stereo recording (with both directions of WebRTC in it).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.caller import call
from benchmarks.machine import circumstances, quantile, save
from benchmarks.stack import Stack
from nemotron_speech.audio import Clip, read
from nemotron_speech.engines.base import Segment
from nemotron_speech.engines.registry import tts_engine
from nemotron_speech.errors import EngineError

ASR_FINAL_MS = 24.0
LLM_FIRST_TOKEN_MS = 90.0
LLM_TOKENS_PER_SECOND = 60.0
TTS_FIRST_AUDIO_MS = 110.0
STEP_MS, CHUNK_MS, MS_PER_CHARACTER = 4, 46, 15
VAD_STOP_MS = 200.0
REPLY = (
    "Yes, I have heard you, and here is what I know. "
    "There is a second sentence, which is spoken while you listen to the first. "
    "And a third one ends it."
)
FIRST_CHUNK_TOKENS = 14
"""Of the reply's first sentence; its end is known with the token after it."""
REPLY_TOKENS = 37
STAGES = ("endpointing", "transcription", "turn detection", "llm", "tts", "output")
SCRIPT = {
    "asr": {"transcripts": ["tell me something"], "final_ms": ASR_FINAL_MS, "chunk_ms": 40},
    "tts": {
        "first_audio_ms": TTS_FIRST_AUDIO_MS,
        "step_ms": STEP_MS,
        "chunk_ms": CHUNK_MS,
        "ms_per_character": MS_PER_CHARACTER,
    },
    "llm": {
        "replies": [REPLY],
        "first_token_ms": LLM_FIRST_TOKEN_MS,
        "tokens_per_second": LLM_TOKENS_PER_SECOND,
    },
}
DESIGNS = {"overlapped": {}, "plain": {"BOT_OVERLAP": "false"}}


@dataclass
class Run:
    """What one design came to."""

    design: str
    alone_ms: dict[str, float]
    inside_ms: list[float] = field(default_factory=list)
    outside_ms: list[float] = field(default_factory=list)
    stages_ms: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})

    @property
    def sum_of_stages_ms(self) -> float:
        return sum(self.alone_ms.values())

    @property
    def overhead_ms(self) -> list[float]:
        return [inside - self.sum_of_stages_ms for inside in self.inside_ms]

    @property
    def outliers(self) -> int:
        """Turns above one and a half times the median."""
        return sum(ms > 1.5 * quantile(self.inside_ms, 0.5) for ms in self.inside_ms)

    def report(self) -> dict[str, Any]:
        def spread(values: list[float]) -> dict[str, float]:
            shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
            return {name: round(quantile(values, share), 1) for name, share in shares.items()}

        return {
            "turns": len(self.inside_ms),
            "voice_to_voice_ms": {"inside": spread(self.inside_ms), "outside": spread(self.outside_ms)},
            "sum_of_stages_ms": round(self.sum_of_stages_ms, 1),
            "overhead_ms": spread(self.overhead_ms),
            "turns_above_1.5_medians": self.outliers,
            "stages": {
                stage: {"alone_ms": round(self.alone_ms[stage], 1), **spread(self.stages_ms[stage])}
                for stage in STAGES
            },
            "turns_inside_ms": self.inside_ms,
            "turns_outside_ms": [round(ms, 1) for ms in self.outside_ms],
        }


def detector_ms(clip: Clip) -> float:
    """Return the median time of the turn detector on `clip`, alone in this process."""
    from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3

    detector = LocalSmartTurnAnalyzerV3()
    samples = clip.at(16000).samples.astype(np.float32) / 32768
    times = []
    for _ in range(20):
        started = time.perf_counter()
        detector._predict_endpoint(samples)
        times.append((time.perf_counter() - started) * 1000)
    return quantile(times, 0.5)


def alone_ms(design: str, detector: float) -> dict[str, float]:
    """Return what each stage takes by itself. A plain design waits for all tokens, and for all audio."""
    overlapped = design == "overlapped"
    tokens = FIRST_CHUNK_TOKENS if overlapped else REPLY_TOKENS - 1
    rest_of_audio_ms = len(REPLY) * MS_PER_CHARACTER / CHUNK_MS * STEP_MS
    return {
        "endpointing": VAD_STOP_MS,
        "transcription": ASR_FINAL_MS,
        "turn detection": detector,
        "llm": LLM_FIRST_TOKEN_MS + tokens / LLM_TOKENS_PER_SECOND * 1000,
        "tts": TTS_FIRST_AUDIO_MS + (0.0 if overlapped else rest_of_audio_ms),
        "output": 0.0,
    }


async def measure(design: str, turns: int, clip: Clip, detector: float, folder: Path) -> Run:
    """Hold a conversation of so many turns with one design."""
    run = Run(design, alone_ms(design, detector))
    script = folder / "script.json"
    script.write_text(json.dumps(SCRIPT))
    environment = {"BOT_GREETING": "Hello.", **DESIGNS[design]}
    stack = Stack(folder / design, script, environment=environment)
    async with stack, call(stack.url) as caller:
        await caller.until("bot-stopped-speaking")
        for _ in track(range(turns), description=f"{design:>10}"):
            await asyncio.sleep(0.7)
            said = await caller.say(clip)
            heard = await caller.hears(after=said)
            await caller.until(lambda e, at=heard: e.type == "bot-stopped-speaking" and e.at > at)
            run.outside_ms.append((heard - said) * 1000)
        reports = [e.data for e in caller.events if e.type == "server-message"]
        for data in reports:
            if data.get("type") == "turn-metrics" and not data["interrupted"]:
                run.inside_ms.append(data["voice_to_voice_ms"])
                stages = {stage["name"]: stage["ms"] for stage in data["stages"]}
                for stage in STAGES:
                    run.stages_ms[stage].append(stages.get(stage, 0))
    return run


def speech() -> Clip:
    """Return a spoken request whose last sample is its last sound."""
    engine = tts_engine("espeak")
    engine.load()
    stream, pcm = engine.open(Segment("tell me a long story please", engine.info.voices[0])), b""
    done = False
    while not done:
        (result,) = engine.step([stream])
        assert not isinstance(result, EngineError)
        pcm, done = pcm + result.pcm, result.done
    engine.close(stream)
    samples = np.frombuffer(pcm, "<i2")
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 300)
    return Clip(samples[loud[0] : loud[-1] + 1], engine.info.sample_rate)


def show(run: Run, console: Console) -> None:
    report = run.report()
    table = Table("stage", "alone", "p50", "p90", "p99", "added (p50)", title=f"{run.design}, ms")
    for stage, figures in report["stages"].items():
        added = figures["p50"] - figures["alone_ms"]
        row = (figures["alone_ms"], figures["p50"], figures["p90"], figures["p99"], added)
        table.add_row(stage, *(f"{value:.0f}" for value in row))
    for side, figures in report["voice_to_voice_ms"].items():
        row = (f"{figures[p]:.0f}" for p in ("p50", "p90", "p99"))
        table.add_row(f"voice to voice, {side}", f"{run.sum_of_stages_ms:.0f}", *row, "", style="bold")
    overhead = report["overhead_ms"]
    row = (f"{overhead[p]:.0f}" for p in ("p50", "p90", "p99"))
    table.add_row("overhead above the stages", "", *row, "", style="bold")
    console.print(table)
    console.print(f"{run.outliers} of {len(run.inside_ms)} turns above 1.5 times the median\n")


def plot(runs: list[Run], path: Path) -> None:
    """Draw where each millisecond went, and every turn."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (bars, turns) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for index, run in enumerate(runs):
        left = 0.0
        for number, stage in enumerate(STAGES):
            width = quantile(run.stages_ms[stage], 0.5)
            label = stage if index == 0 else None
            bars.barh(run.design, width, left=left, color=f"C{number}", label=label)
            left += width
        bars.plot([run.sum_of_stages_ms] * 2, [index - 0.4, index + 0.4], "k--", lw=1)
        turns.plot(
            sorted(run.inside_ms), np.linspace(0, 1, len(run.inside_ms)), label=f"{run.design}, inside"
        )
        turns.plot(sorted(run.outside_ms), np.linspace(0, 1, len(run.outside_ms)), "--", label="outside")
    bars.set(title="median turn by stage (dashed: the stages alone)", xlabel="ms")
    bars.legend(ncols=3, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.15))
    turns.set(title="share of turns answered within", xlabel="ms")
    turns.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--design", choices=[*DESIGNS, "both"], default="both")
    parser.add_argument("--speech", type=Path, help="a WAV to say; default: made by the embedded voice")
    parser.add_argument("--json", type=Path, help="write the figures here, and the plot beside them")
    arguments = parser.parse_args()
    console = Console()
    clip = read(arguments.speech) if arguments.speech else speech()
    before = circumstances()
    detector = detector_ms(clip)
    designs = list(DESIGNS) if arguments.design == "both" else [arguments.design]
    with tempfile.TemporaryDirectory() as folder:
        runs = [
            asyncio.run(measure(design, arguments.turns, clip, detector, Path(folder))) for design in designs
        ]
    for run in runs:
        show(run, console)
    if arguments.json:
        save({"circumstances": before, **{run.design: run.report() for run in runs}}, arguments.json)
        plot(runs, arguments.json.with_suffix(".png"))
        console.print(f"written: {arguments.json} and {arguments.json.with_suffix('.png')}")


if __name__ == "__main__":
    main()
