"""Cost of reading the audio of many callers at once with Whisper (`-m benchmarks.whisper_batching --help`).

    .venv-nemo/bin/python -m benchmarks.whisper_batching                       # a minute on a CPU
    .venv-nemo/bin/python -m benchmarks.whisper_batching --size small --device cuda --batch 1 8 16 32

The models are random, in the sizes of the real ones: weights do not change the cost of a reading. Each
reading holds as many tokens as speech of its length has. Every caller in a batch waits for all of it: a batch
pays where the share of one caller falls.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import PropertyMock, patch

import numpy as np

from benchmarks.machine import circumstances, save
from nemotron_speech.engines.whisper_asr.model import RATE, Reading, WhisperModel

SIZES = {"tiny": (384, 4, 6), "base": (512, 6, 8), "small": (768, 12, 12), "medium": (1024, 24, 16)}
"""Width, layers and attention heads."""
TOKENS_PER_SECOND = 4


@dataclass(frozen=True, slots=True)
class Point:
    """One batch size."""

    batch: int
    reading_ms: float
    """Median time of the whole batch: how long each of its callers waits."""
    caller_ms: float
    """Share of one caller."""


def measure(model: WhisperModel, batches: Sequence[int], seconds: float, rounds: int) -> Iterator[Point]:
    """Yield a point for each batch size."""
    tokens = PropertyMock(return_value=round(seconds * TOKENS_PER_SECOND))
    with patch.object(Reading, "most_tokens", tokens):
        for batch in batches:
            noise = np.random.default_rng(batch).normal(0, 0.1, (batch, round(seconds * RATE)))
            readings = [Reading(audio, "en") for audio in noise.astype(np.float32)]
            times = []
            for _ in range(rounds + 1):
                began = time.perf_counter()
                model.read(readings)
                times.append((time.perf_counter() - began) * 1000)
            median = statistics.median(times[1:])
            yield Point(batch, round(median, 1), round(median / batch, 1))


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    with tempfile.TemporaryDirectory() as folder:
        model = _random_model(options.size, Path(folder), options.device, options.threads)
        print(f"{options.size} on {model.device}, {options.seconds:g} s of audio for each caller\n")
        print("| callers | all read after | share of one |\n|---|---|---|")
        points = []
        for point in measure(model, options.batch, options.seconds, options.rounds):
            points.append(asdict(point))
            print(f"| {point.batch} | {point.reading_ms:.0f} ms | {point.caller_ms:.0f} ms |", flush=True)
    if options.json:
        save({**circumstances(), "size": options.size, "points": points}, options.json)


def _random_model(size: str, folder: Path, device: str, threads: int) -> WhisperModel:
    from tests.engines.whisper_asr.tiny_whisper import save_whisper

    width, layers, heads = SIZES[size]
    save_whisper(folder, width=width, layers=layers, heads=heads, multilingual=True)
    model = WhisperModel(str(folder), device, "auto", threads, beam_size=1, vad=False)
    end = model._model.hf_tokenizer.token_to_id("<|endoftext|>")
    model._unspeakable = (*model._unspeakable, end)  # every reading says all it may
    model._repeats_itself = lambda tokens: False  # and is decoded once
    return model


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5.0, help="audio of each caller")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
