"""Magpie with many callers at once: first audio and real-time factor at 1 to 64 segments.

    python -m benchmarks.tts_batching --json out.json --plot out.png

All segments of a round join in the same step, which is the worst case for first audio. Weights are random (of
the released checkpoint's size on a GPU, tiny on a CPU): they decide what is said, not how long it takes. Give
`--model` and `--codec` to measure a checkpoint.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.machine import circumstances, panels, save
from benchmarks.random_magpie import REAL, TINY, save_codec, save_magpie
from nemotron_speech.engines.base import Segment, TtsResult
from nemotron_speech.engines.magpie_tts.engine import MagpieEngine, MagpieStream

TEXT = (
    "The quick brown fox jumps over the lazy dog while the band plays on, and nobody minds the rain at all."
)


@dataclass(frozen=True, slots=True)
class Round:
    """Measurements with one number of callers."""

    segments: int
    first_audio_ms_p50: float
    first_audio_ms_p99: float
    step_ms_p50: float
    step_ms_p99: float
    real_time_factor: float
    """Seconds of work per second of audio of one caller; below 1 every caller is kept up with."""
    audio_seconds_per_second: float
    """Audio made for all callers together."""
    underruns: int
    """Pieces of audio that came after their caller had heard all before them."""


def measure(engine: MagpieEngine, segments: int, seconds: float, preset: str) -> Round:
    """Speak `seconds` to each of `segments` callers at once."""
    rate = engine.info.sample_rate
    started = time.perf_counter()
    voices = engine.info.voices
    streams = [engine.open(Segment(TEXT, voices[i % len(voices)], preset=preset)) for i in range(segments)]
    arrivals: dict[MagpieStream, list[tuple[float, float]]] = {stream: [] for stream in streams}
    steps: list[float] = []
    speaking = list(streams)
    while speaking:
        before = time.perf_counter()
        results = engine.step(speaking)
        steps.append(time.perf_counter() - before)
        for stream, result in zip(speaking, results, strict=True):
            assert isinstance(result, TtsResult), result
            if result.pcm:
                arrivals[stream].append((time.perf_counter() - started, len(result.pcm) / 2 / rate))
            stream.finished |= result.done
        speaking = [s for s in speaking if not s.finished and heard(arrivals[s]) < seconds]
    wall = time.perf_counter() - started
    for stream in streams:
        engine.close(stream)
    firsts = [1000 * pieces[0][0] for pieces in arrivals.values()]
    total = sum(heard(pieces) for pieces in arrivals.values())
    return Round(
        segments=segments,
        first_audio_ms_p50=percentile(firsts, 50),
        first_audio_ms_p99=percentile(firsts, 99),
        step_ms_p50=percentile([1000 * s for s in steps], 50),
        step_ms_p99=percentile([1000 * s for s in steps], 99),
        real_time_factor=wall * segments / total,
        audio_seconds_per_second=total / wall,
        underruns=sum(map(underruns, arrivals.values())),
    )


def heard(pieces: Sequence[tuple[float, float]]) -> float:
    return sum(seconds for _, seconds in pieces)


def underruns(pieces: Sequence[tuple[float, float]]) -> int:
    """Count the pieces that came late for a listener who plays each as soon as it can."""
    late, plays_until = 0, pieces[0][0]
    for arrived, seconds in pieces:
        late += arrived > plays_until
        plays_until = max(plays_until, arrived) + seconds
    return late


def percentile(values: Sequence[float], share: float) -> float:
    return round(float(np.percentile(values, share)), 2)


def load(arguments: argparse.Namespace, folder: Path) -> MagpieEngine:
    """Load the checkpoint that was asked for, or make one."""
    model, codec = arguments.model, arguments.codec
    if model is None:
        size = {"real": REAL, "tiny": TINY}[arguments.size]
        made = save_codec(folder / "codec.nemo", size=size)
        model = str(save_magpie(folder / "magpie.nemo", made, size=size, stack=arguments.stack))
    capacity = max(arguments.segments)
    engine = MagpieEngine(
        model,
        codec,
        arguments.device,
        arguments.precision,
        capacity=capacity,
        guidance=not arguments.unguided,
    )
    engine.load()
    return engine


def gpu() -> str:
    import torch  # pyright: ignore[reportMissingImports]

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def table(rounds: Sequence[Round]) -> str:
    head = ("segments", "first p50", "first p99", "step p50", "step p99", "RTF", "audio s/s", "underruns")
    lines = ["".join(f"{title:>11}" for title in head)]
    for r in rounds:
        row = (r.first_audio_ms_p50, r.first_audio_ms_p99, r.step_ms_p50, r.step_ms_p99)
        lines.append(
            f"{r.segments:>11}"
            + "".join(f"{value:>11.1f}" for value in row)
            + f"{r.real_time_factor:>11.3f}{r.audio_seconds_per_second:>11.1f}{r.underruns:>11}"
        )
    return "\n".join(lines)


def plot(rounds: Sequence[Round], path: Path, title: str) -> None:
    with panels(path, 2) as (left, right):
        at = [r.segments for r in rounds]
        left.plot(at, [r.first_audio_ms_p50 for r in rounds], marker="o", label="p50")
        left.plot(at, [r.first_audio_ms_p99 for r in rounds], marker="o", label="p99")
        left.set(xlabel="segments at once", ylabel="first audio, ms", xscale="log", ylim=0)
        left.legend()
        right.plot(at, [r.real_time_factor for r in rounds], marker="o")
        right.axhline(1.0, linestyle="--", color="grey")
        right.set(xlabel="segments at once", ylabel="real-time factor", xscale="log", yscale="log")
        left.figure.suptitle(title)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--segments", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--seconds", type=float, default=4.0, help="audio for each segment")
    parser.add_argument("--preset", default="aggressive")
    parser.add_argument("--size", choices=["auto", "real", "tiny"], default="auto")
    parser.add_argument("--stack", type=int, default=1, help="codec frames in a decoder step")
    parser.add_argument("--model", help="a checkpoint instead of random weights")
    parser.add_argument("--codec")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--unguided", action="store_true", help="without classifier-free guidance")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    import torch  # pyright: ignore[reportMissingImports]

    options = parse(arguments)
    torch.set_num_threads(options.threads)
    if options.size == "auto":
        options.size = "real" if torch.cuda.is_available() else "tiny"
    with tempfile.TemporaryDirectory() as folder:
        engine = load(options, Path(folder))
        measure(engine, min(2, engine.info.capacity), 1.0, options.preset)  # kernels are chosen on first use
        rounds = [measure(engine, n, options.seconds, options.preset) for n in options.segments]
    what = options.model or f"random weights, {options.size}"
    print(f"Magpie, {what}, {options.preset}, {gpu()}\n{table(rounds)}")
    if options.json:
        made = {"what": what, "preset": options.preset, "gpu": gpu(), "rounds": [asdict(r) for r in rounds]}
        save({**made, **circumstances()}, options.json)
    if options.plot:
        plot(rounds, options.plot, f"Magpie, {what}")


if __name__ == "__main__":
    main()
