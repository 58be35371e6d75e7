"""Cost of a NeMo recogniser's step as its batch grows (`-m benchmarks.asr_batching --help`).

    .venv-nemo/bin/python -m benchmarks.asr_batching                               # a minute on a CPU
    .venv-nemo/bin/python -m benchmarks.asr_batching --size large --chunk-ms 160 560
    .venv-nemo/bin/python -m benchmarks.asr_batching --size 0.6b --device cuda --precision bf16 \\
        --chunk-ms 80 160 560 1120 --batch 1 8 32 64 128 256 512 --json curve.json --plot curve.png

The models are random: weights do not change the cost of a step. Each is saved as a `.nemo` file and stepped
through the engine, with audio, decoding and text as in the server, at about three tokens a second. A stream
is held in real time while its share of the step is shorter than the audio of the step.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import circumstances, panels, quantile, save
from nemotron_speech.engines.base import AsrWork
from nemotron_speech.engines.nemo_asr.engine import NemoAsrEngine

SIZES = {
    "tiny": {"width": 64, "layers": 2, "heads": 4, "subsampling_conv_channels": 16},
    "small": {"width": 256, "layers": 4, "heads": 4, "subsampling_conv_channels": 64},
    "large": {"width": 512, "layers": 17, "heads": 8, "subsampling_conv_channels": 256},
    "0.6b": {"width": 1024, "layers": 24, "heads": 8, "subsampling_conv_channels": 256},
}
LOOK_AHEAD_OF_CHUNK = {80: 0, 160: 1, 560: 6, 1120: 13}
TOKENS_PER_SECOND = 3.0


@dataclass(frozen=True, slots=True)
class Point:
    """One batch size at one chunk length."""

    chunk_ms: int
    batch: int
    step_ms: float
    """Median time of a step."""
    p95_ms: float
    stream_ms: float
    """Share of one stream."""
    held: float
    """Streams held in real time: how many such shares fit into the audio of a step."""


def measure(engine: NemoAsrEngine, batches: Sequence[int], steps: int) -> Iterator[Point]:
    """Yield a point for each batch size."""
    for batch in batches:
        times = _step_times(engine, batch, steps)
        median = statistics.median(times)
        yield Point(
            engine.step_ms,
            batch,
            round(median, 2),
            round(quantile(times, 0.95), 2),
            round(median / batch, 3),
            round(batch * engine.step_ms / median, 1),
        )


def _step_times(engine: NemoAsrEngine, batch: int, steps: int) -> list[float]:
    """Return the times in ms of steps of `batch` streams past their first chunks, at different positions."""
    from tests.engines.nemo_asr.tiny_models import babble

    audio = babble(30, seed=1).tobytes()
    streams = [engine.open(None) for _ in range(batch)]
    at = {id(stream): 2 * 320 * i for i, stream in enumerate(streams)}

    def work() -> list[AsrWork]:
        items = []
        for stream in streams:
            size, start = 2 * stream.wanted_samples, at[id(stream)] % (len(audio) // 2)
            items.append(AsrWork(stream, audio[start : start + size]))
            at[id(stream)] = start + size
        return items

    times = []
    for i in range(steps + 3):
        items, started = work(), time.perf_counter()
        outcomes = engine.step(items)
        if i >= 3:
            times.append((time.perf_counter() - started) * 1000)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
    for stream in streams:
        engine.close(stream)
    return times


def make_file(size: str, kind: str, folder: Path) -> tuple[Path, float]:
    """Save a random model; return its file and its parameters in millions."""
    from nemo.utils import logging as nemo_logging  # pyright: ignore[reportMissingImports]

    from tests.engines.nemo_asr.tiny_models import make_model, make_tokenizer

    nemo_logging.setLevel(nemo_logging.ERROR)
    tokenizer = make_tokenizer(folder / "tokenizer", pieces=64)
    model = make_model(tokenizer, kind, **SIZES[size])
    if kind == "rnnt":
        quieten(model)
    path = folder / f"{size}.nemo"
    model.save_to(str(path))
    return path, sum(p.numel() for p in model.parameters()) / 1e6


def quieten(model: Any) -> None:
    """Make blank so likely that the model says about as many tokens a second as speech has."""
    import numpy as np
    import torch  # pyright: ignore[reportMissingImports]

    from tests.engines.nemo_asr.tiny_models import RATE, babble

    heard = babble(10, seed=5)
    blank = model.joint.joint_net[-1].bias
    with torch.inference_mode():
        signal = torch.from_numpy(heard.astype(np.float32) / 32768)[None]
        mel, length = model.preprocessor(input_signal=signal, length=torch.tensor([len(heard)]))
        encoded, lengths = model.encoder(audio_signal=mel, length=length)

    def tokens_at(bias: float) -> int:
        with torch.no_grad():
            blank[-1] = bias
        decode = model.decoding.rnnt_decoder_predictions_tensor
        return len(
            decode(encoder_output=encoded, encoded_lengths=lengths, return_hypotheses=True)[0].y_sequence
        )

    low, high = 0.0, 60.0
    for _ in range(12):
        middle = (low + high) / 2
        if tokens_at(middle) > TOKENS_PER_SECOND * len(heard) / RATE:
            low = middle
        else:
            high = middle


def table(points: Sequence[Point]) -> str:
    rows = [
        "| chunk ms | B | ms/step | p95 | ms per stream | held in real time |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {p.chunk_ms} | {p.batch} | {p.step_ms:.1f} | {p.p95_ms:.1f} | {p.stream_ms:.2f} | {p.held:.1f} |"
        for p in points
    ]
    return "\n".join(rows)


def plot(points: Sequence[Point], title: str, path: Path) -> None:
    with panels(path, 1, width=7, height=4.5) as (axes,):
        for chunk in sorted({p.chunk_ms for p in points}):
            line = [p for p in points if p.chunk_ms == chunk]
            axes.plot(
                [p.batch for p in line], [p.stream_ms for p in line], marker="o", label=f"{chunk} ms chunks"
            )
        axes.set(xscale="log", yscale="log", xlabel="streams in a step", ylabel="ms per stream", title=title)
        axes.set_xticks(
            sorted({p.batch for p in points}), [str(b) for b in sorted({p.batch for p in points})]
        )
        axes.grid(visible=True, which="both", alpha=0.3)
        axes.legend()


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every chunk length and return the report."""
    points: list[Point] = []
    state = 0
    with tempfile.TemporaryDirectory() as folder:
        path, millions = make_file(options.size, options.decoder, Path(folder))
        for chunk in options.chunk_ms:
            engine = NemoAsrEngine(
                str(path),
                right_context=LOOK_AHEAD_OF_CHUNK[chunk],
                decoder=options.decoder,
                precision=options.precision,
                device=options.device,
                capacity=max(options.batch),
                max_batch=max(options.batch),
                cuda_graphs=options.cuda_graphs,
                threads=options.threads,
            )
            engine.load()
            state = engine.state_bytes
            for point in measure(engine, options.batch, options.steps):
                points.append(point)
                print(table([point]).splitlines()[-1], file=sys.stderr, flush=True)
            engine.unload()
    return {
        **circumstances(),
        "size": options.size,
        "parameters_millions": round(millions, 1),
        "decoder": options.decoder,
        "precision": options.precision,
        "device": options.device,
        "threads": options.threads,
        "state_bytes_per_stream": state,
        "points": [asdict(point) for point in points],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--decoder", choices=("rnnt", "ctc"), default="rnnt")
    parser.add_argument("--chunk-ms", type=int, nargs="+", choices=LOOK_AHEAD_OF_CHUNK, default=[160])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--steps", type=int, default=15, help="steps measured at each batch size")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; 0 leaves it to PyTorch")
    parser.add_argument(
        "--cuda-graphs", action="store_true", help="replay the transducer search as a CUDA graph"
    )
    parser.add_argument("--json", type=Path, help="write the report here")
    parser.add_argument("--plot", type=Path, help="write the curve here")
    options = parser.parse_args(arguments)
    report = run(options)
    points = [Point(**point) for point in report["points"]]
    title = f"{report['parameters_millions']} M parameters, {options.decoder}, {options.precision}"
    print(f"{title}, {report['state_bytes_per_stream'] / 1e6:.2f} MB per stream\n\n{table(points)}")
    if options.json:
        save(report, options.json)
    if options.plot:
        plot(points, title, options.plot)


if __name__ == "__main__":
    main()
