"""Distance of the NeMo recogniser's precisions and batches from fp32 alone (see `--help`).

    .venv-nemo/bin/python -m benchmarks.asr_parity --size small --json benchmarks/results/asr_parity.json
    .venv-nemo/bin/python -m benchmarks.asr_parity --model MODEL.nemo --device cuda --file speech.wav

Encoder values are compared frame by frame, texts character by character. Random models decide by a hair, so
their texts are a harsh measure; a trained one (`--model`) on speech (`--file`) is the one that counts.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.asr_batching import SIZES, make_file
from benchmarks.machine import circumstances, save
from nemotron_speech import audio, sound_files
from nemotron_speech.engines.base import AsrResult, AsrWork, Flush
from nemotron_speech.engines.nemo_asr.engine import NemoAsrEngine
from nemotron_speech.protocol.asr import SAMPLE_RATE

PRECISIONS = ("fp32", "bf16", "fp16")
Samples = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Heard:
    """Output of an engine for the clips: encoder values `[frames, width]` and text of each."""

    frames: list[npt.NDArray[np.float32]]
    texts: list[str]


@dataclass(frozen=True, slots=True)
class Parity:
    """One way of running against fp32, one stream at a time."""

    precision: str
    together: bool
    largest: float
    """Largest difference of any encoder value."""
    relative: float
    """Root mean square of the differences over that of the values."""
    same_texts: int
    texts: int
    alike: float
    """Share of characters in common, on average."""

    @classmethod
    def of(cls, precision: str, together: bool, reference: Heard, heard: Heard) -> Parity:
        """Compare what was heard."""
        values, other = np.concatenate(reference.frames), np.concatenate(heard.frames)
        pairs = list(zip(reference.texts, heard.texts, strict=True))
        ratios = [SequenceMatcher(None, a, b, autojunk=False).ratio() for a, b in pairs]
        relative = np.sqrt(np.square(values - other).mean() / np.square(values).mean())
        return cls(
            precision,
            together,
            float(f"{np.abs(values - other).max():.2e}"),
            float(f"{relative:.2e}"),
            sum(a == b for a, b in pairs),
            len(pairs),
            round(mean(ratios), 4),
        )


def hear(engine: NemoAsrEngine, clips: Sequence[Samples], together: bool) -> Heard:
    """Recognise the clips, in one batch or one after the other."""
    groups = [list(clips)] if together else [[clip] for clip in clips]
    parts = [_hear_group(engine, group) for group in groups]
    return Heard([f for part in parts for f in part.frames], [t for part in parts for t in part.texts])


def _hear_group(engine: NemoAsrEngine, clips: list[Samples]) -> Heard:
    """Step clips of the same length together; every row of a step is then the same clip's in every step."""
    model = engine._loaded()[0]
    decode, encoded_steps = model._decoder, []

    def listening(encoded: Any, lengths: Any, state: Any) -> Any:
        encoded_steps.append((encoded.float().cpu().numpy(), lengths.tolist()))
        return decode(encoded, lengths, state)

    model._decoder = listening  # type: ignore[assignment]
    streams = [engine.open(None) for _ in clips]
    at, results = 0, []
    try:
        while at < len(clips[0]):
            wanted = streams[0].wanted_samples
            flush = Flush.NONE if at + wanted < len(clips[0]) else Flush.HARD
            work = [
                AsrWork(stream, clip[at : at + wanted].tobytes(), flush)
                for stream, clip in zip(streams, clips, strict=True)
            ]
            results, at = engine.step(work), at + wanted
    finally:
        model._decoder = decode
        for stream in streams:
            engine.close(stream)
    frames = [
        np.concatenate([values[row, :, : lengths[row]].T for values, lengths in encoded_steps])
        for row in range(len(clips))
    ]
    return Heard(frames, [result.text if isinstance(result, AsrResult) else "" for result in results])


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every precision alone and together, and return the report."""
    points: list[Parity] = []
    with tempfile.TemporaryDirectory() as folder:
        path = options.model or str(make_file(options.size, options.decoder, Path(folder))[0])
        clips = _clips(options.file, options.clips)
        reference = None
        for precision in options.precision:
            engine = NemoAsrEngine(
                path,
                right_context=options.right_context,
                decoder=options.decoder,
                precision=precision,
                device=options.device,
                capacity=len(clips),
                max_batch=len(clips),
                threads=options.threads,
            )
            engine.load()
            for together in (False, True):
                heard = hear(engine, clips, together)
                reference = reference or heard
                points.append(Parity.of(precision, together, reference, heard))
            engine.unload()
    described = {"model": options.model or f"random, {options.size}", "decoder": options.decoder}
    return {
        **circumstances(),
        **described,
        "right_context": options.right_context,
        "device": options.device,
        "clips": len(clips),
        "seconds": round(sum(map(len, clips)) / SAMPLE_RATE, 1),
        "points": [asdict(point) for point in points],
    }


def table(points: Sequence[dict[str, Any]]) -> str:
    """Return the result for the eye."""
    rows = [
        "| precision | streams in a step | largest difference | relative | same text | characters alike |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {p['precision']} | {p['texts'] if p['together'] else 1} | {p['largest']:.1e} "
        f"| {p['relative']:.1e} | {p['same_texts']} of {p['texts']} | {p['alike']:.1%} |"
        for p in points
    ]
    return "\n".join(rows)


def _clips(file: Path | None, count: int) -> list[Samples]:
    """Return clips of one length: the recording in pieces, or what changes the way speech does."""
    if file is None:
        from tests.engines.nemo_asr.tiny_models import babble

        return [babble(4.0, seed) for seed in range(count)]
    clip = sound_files.read(file)
    samples = audio.resample(clip.samples, clip.sample_rate, SAMPLE_RATE)
    length = len(samples) // count
    return [samples[i * length : (i + 1) * length] for i in range(count)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="small", help="of a random model")
    parser.add_argument("--model", help="a .nemo file or a name on the hub, instead of a random model")
    parser.add_argument("--file", type=Path, help="a recording, instead of babble")
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--decoder", choices=("rnnt", "ctc"), default="rnnt")
    parser.add_argument("--right-context", type=int, default=1)
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; 0 leaves it to PyTorch")
    parser.add_argument("--json", type=Path, help="write the report here")
    options = parser.parse_args(arguments)
    report = run(options)
    print(table(report["points"]))
    if options.json:
        save(report, options.json)


if __name__ == "__main__":
    main()
