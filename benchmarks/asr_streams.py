"""Number of callers that the NeMo recogniser holds in real time, and the delay of a final (`--help`).

    .venv-nemo/bin/python -m benchmarks.asr_streams --size 0.6b --device cuda --precision bf16 \\
        --chunk-ms 80 160 560 1120 --most 4096 --confirm-s 180 --json benchmarks/results/asr_streams.json

The engine alone, without sockets: each stream speaks in real time, and a step takes whoever has a chunk
ready. A number of streams is held when the 95th percentile of the lag (from the end of a chunk's audio to its
text) is within the bound and the lag does not grow over the run. The largest number is searched for in
short runs and confirmed in a long one. Random models: weights do not change the cost of a step.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.asr_batching import LOOK_AHEAD_OF_CHUNK, SIZES, make_file
from benchmarks.machine import circumstances, quantile, save
from nemotron_speech.engines.base import AsrResult, AsrStream, AsrWork, Flush
from nemotron_speech.engines.nemo_asr.engine import NemoAsrEngine
from nemotron_speech.errors import EngineError
from nemotron_speech.protocol.asr import SAMPLE_RATE

PROBE_S = 0.25
"""Time between two requests for a final."""


@dataclass(eq=False)
class Speaker:
    """One stream that speaks without a pause."""

    stream: AsrStream
    began: float
    """Time of the caller's first sample, in seconds of the run."""
    taken: int = 0
    """Samples given to the engine."""

    def due(self) -> float:
        """Return the time at which the audio of the caller's next step will have been spoken."""
        return self.began + (self.taken + self.stream.wanted_samples) / SAMPLE_RATE

    def spoken(self, now: float) -> int:
        """Return how many samples are spoken by `now` and not given yet; at most a step's."""
        return max(min(int((now - self.began) * SAMPLE_RATE) - self.taken, self.stream.wanted_samples), 0)


@dataclass(slots=True)
class Run:
    """Measurements of one run, in seconds."""

    lags: list[tuple[float, float]] = field(default_factory=list)
    """End of each chunk's audio, and the delay of its text after it."""
    finals: list[float] = field(default_factory=list)

    @property
    def p95_ms(self) -> float:
        return quantile([lag for _, lag in self.lags], 0.95) * 1000

    @property
    def drift_ms(self) -> float:
        """Median lag of the last third less that of the first."""
        ordered = [lag for _, lag in sorted(self.lags)]
        third = max(len(ordered) // 3, 1)
        return (median(ordered[-third:]) - median(ordered[:third])) * 1000


def speak(
    engine: NemoAsrEngine,
    streams: int,
    seconds: float,
    *,
    finals: bool = False,
    now: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], object] = time.sleep,
) -> Run:
    """Let `streams` speak for `seconds`; with `finals`, one after the other is asked for its final."""
    from tests.engines.nemo_asr.tiny_models import babble

    audio = babble(20, seed=1).tobytes()
    chunk_s = engine.step_ms / 1000
    speakers = [Speaker(engine.open(None), chunk_s * i / streams) for i in range(streams)]
    order, start, run = count(), now(), Run()
    waiting = [(speaker.due(), next(order), speaker) for speaker in speakers]
    heapify(waiting)
    probe = 2 * chunk_s if finals else float("inf")
    probed = 0
    while (clock := now() - start) < seconds:
        asked = speakers[probed % streams] if clock >= probe else None
        ready = _ready(waiting, clock, engine.info.max_batch - 1)
        if not ready and not asked:
            sleep(max(min(waiting[0][0], probe) - clock, 0))
            continue
        chosen = [speaker for _, speaker in ready if speaker is not asked]
        work = [_work(speaker, audio, speaker.stream.wanted_samples) for speaker in chosen]
        if asked:
            work.append(_work(asked, audio, asked.spoken(clock), Flush.HARD))
            waiting = [item for item in waiting if item[2] is not asked]
            heapify(waiting)
        _step(engine, work)
        done = now() - start
        run.lags += [(due, done - due) for due, _ in ready]
        if asked:
            run.finals.append(done - probe)
            probe, probed = max(probe + PROBE_S, done), probed + 1
        for speaker in [*chosen, asked] if asked else chosen:
            heappush(waiting, (speaker.due(), next(order), speaker))
    for speaker in speakers:
        engine.close(speaker.stream)
    return run


def _ready(waiting: list[tuple[float, int, Speaker]], clock: float, most: int) -> list[tuple[float, Speaker]]:
    """Take those whose chunk has been spoken from the heap, the longest waiting first."""
    ready: list[tuple[float, Speaker]] = []
    while waiting and waiting[0][0] <= clock and len(ready) < max(most, 1):
        due, _, speaker = heappop(waiting)
        ready.append((due, speaker))
    return ready


def _work(speaker: Speaker, audio: bytes, samples: int, flush: Flush = Flush.NONE) -> AsrWork:
    """Give the next `samples` of the audio everyone says, round and round."""
    at = 2 * (speaker.taken % (len(audio) // 4))
    speaker.taken += samples
    return AsrWork(speaker.stream, audio[at : at + 2 * samples], flush)


def _step(engine: NemoAsrEngine, work: Sequence[AsrWork]) -> None:
    outcomes: Sequence[AsrResult | EngineError] = engine.step(work)
    for outcome in outcomes:
        if isinstance(outcome, EngineError):
            raise outcome


# ---------------------------------------------------------------------------------- how many


@dataclass(frozen=True, slots=True)
class Capacity:
    """Result at one chunk length."""

    chunk_ms: int
    held: int
    """Streams held; 0 when not even one is."""
    p95_ms: float
    drift_ms: float
    final_alone_p50_ms: float
    final_alone_most_ms: float
    final_half_p50_ms: float
    """Median delay of a final with half as many speaking streams as are held."""
    final_half_most_ms: float


def most_held(holds: Callable[[int], bool], most: int) -> int:
    """Return the largest number up to `most` that is held: doubled until one is not, then narrowed to 5 %."""
    low, high = 0, 1
    while high <= most and holds(high):
        low, high = high, high * 2
    high = min(high, most + 1)
    while high - low > max(low // 20, 1):
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def measure(engine: NemoAsrEngine, options: argparse.Namespace) -> Capacity:
    """Search, confirm, and time the finals."""
    bound = options.bound * engine.step_ms

    def within(run: Run) -> bool:
        return run.p95_ms <= bound and run.drift_ms <= max(0.05 * engine.step_ms, 5)

    def holds(streams: int) -> bool:
        run = speak(engine, streams, options.search_s)
        print(f"  {streams} streams: p95 {run.p95_ms:.1f} ms, drift {run.drift_ms:.1f} ms", file=sys.stderr)
        return within(run)

    held = most_held(holds, options.most)
    confirmed = speak(engine, max(held, 1), options.confirm_s)
    while held > 1 and not within(confirmed):
        held = held * 9 // 10
        confirmed = speak(engine, held, options.confirm_s)
    alone, half = (
        [s * 1000 for s in speak(engine, n, options.finals_s, finals=True).finals]
        for n in (1, max(held // 2, 1))
    )
    return Capacity(
        engine.step_ms,
        held if within(confirmed) else 0,
        round(confirmed.p95_ms, 1),
        round(confirmed.drift_ms, 1),
        *(round(f, 1) for part in (alone, half) for f in (median(part), max(part))),
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every chunk length and return the report."""
    found: list[Capacity] = []
    with tempfile.TemporaryDirectory() as folder:
        path, millions = make_file(options.size, options.decoder, Path(folder))
        for chunk in options.chunk_ms:
            engine = NemoAsrEngine(
                str(path),
                right_context=LOOK_AHEAD_OF_CHUNK[chunk],
                decoder=options.decoder,
                precision=options.precision,
                device=options.device,
                capacity=options.most,
                max_batch=min(options.max_batch, options.most),
                cuda_graphs=options.cuda_graphs,
                threads=options.threads,
            )
            engine.load()
            found.append(measure(engine, options))
            engine.unload()
            print(table(found).splitlines()[-1], file=sys.stderr, flush=True)
    wanted = ("size", "decoder", "precision", "device", "max_batch", "bound", "confirm_s", "cuda_graphs")
    return {
        **circumstances(),
        "accelerator": _accelerator(),
        "parameters_millions": round(millions, 1),
        **{name: getattr(options, name) for name in wanted},
        "points": [asdict(point) for point in found],
    }


def _accelerator() -> str | None:
    import torch  # pyright: ignore[reportMissingImports]

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def table(found: Sequence[Capacity]) -> str:
    rows = [
        "| chunk ms | streams held | p95 lag ms | drift ms | final alone p50, most | at half p50, most |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {c.chunk_ms} | {c.held} | {c.p95_ms} | {c.drift_ms} "
        f"| {c.final_alone_p50_ms}, {c.final_alone_most_ms} | {c.final_half_p50_ms}, {c.final_half_most_ms} |"
        for c in found
    ]
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="large", help="large is the shape of 114 M")
    parser.add_argument("--decoder", choices=("rnnt", "ctc"), default="rnnt")
    parser.add_argument(
        "--chunk-ms", type=int, nargs="+", choices=LOOK_AHEAD_OF_CHUNK, default=[80, 160, 560, 1120]
    )
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves it to PyTorch")
    parser.add_argument("--cuda-graphs", action="store_true", help="replay the search as a CUDA graph")
    parser.add_argument("--most", type=int, default=2048, help="streams tried at most: sets the memory taken")
    parser.add_argument("--max-batch", type=int, default=512, help="streams in one step")
    parser.add_argument("--bound", type=float, default=1.0, help="p95 lag allowed, in chunks")
    parser.add_argument("--search-s", type=float, default=10.0, help="seconds of a run of the search")
    parser.add_argument("--confirm-s", type=float, default=180.0, help="seconds of the run that counts")
    parser.add_argument("--finals-s", type=float, default=15.0, help="seconds of a run that times finals")
    parser.add_argument("--json", type=Path, help="write the report here")
    options = parser.parse_args(arguments)
    report = run(options)
    print(
        f"{report['parameters_millions']} M parameters, {options.decoder}, {options.precision}, "
        f"{report['accelerator'] or 'CPU'}\n\n{table([Capacity(**p) for p in report['points']])}"
    )
    if options.json:
        save(report, options.json)


if __name__ == "__main__":
    main()
