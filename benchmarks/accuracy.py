"""Measure the embedded recogniser: word errors and intents understood, with and without biasing.

Speaks two lists of sentences with several voices (flite's where installed, the embedded synthesiser),
clean and as over a telephone, recognises them as streams, and prints a table. A recording of a person
joins in with `--audio FILE --text "what is said"`.

    python -m benchmarks.accuracy --json accuracy.json --plot accuracy.png
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jiwer
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy_sentences import IN_DOMAIN, OPEN
from benchmarks.machine import panels
from nemotron_speech import audio, sound_files
from nemotron_speech.engines.base import AsrEngine, AsrResult, AsrWork, Flush, Segment, SynthesisMode
from nemotron_speech.engines.espeak_tts.engine import EspeakEngine
from nemotron_speech.engines.pocketsphinx_asr.engine import PocketsphinxEngine
from nemotron_speech.errors import EngineError
from nemotron_speech.responder.talk.understanding import understand

RATE = 16000
FLITE_VOICES = ("kal16", "awb", "rms", "slt")
LINES = ("clean", "telephone")
TELEPHONE_SNR_DB = 30


@dataclass(frozen=True, slots=True)
class Spoken:
    """One utterance to recognise."""

    text: str
    pcm: bytes
    """PCM16LE, 16 kHz, with 0.3 s of near silence at both ends."""
    group: str
    voice: str
    line: str
    intent: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """Result of the recogniser for one clip."""

    spoken: Spoken
    text: str
    final_ms: float
    """Milliseconds that the step of the hard flush took."""


# ------------------------------------------------------------------------------------ speaking


def flite_voices() -> tuple[str, ...]:
    """Return flite's voices, none where it is not installed."""
    return FLITE_VOICES if shutil.which("flite") else ()


def speak_flite(text: str, voice: str) -> audio.Samples:
    """Return what flite says, at 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True, timeout=30)
        return sound_files.read(path).at(RATE).samples


def speak_espeak(text: str, voice: str) -> audio.Samples:
    """Return what the embedded synthesiser says, at 16 kHz."""
    engine = EspeakEngine()
    stream = engine.open(Segment(text, voice, mode=SynthesisMode.BATCH))
    while True:
        result = engine.step([stream])[0]
        if isinstance(result, EngineError):
            raise result
        if result.done:
            return audio.resample(audio.from_pcm(result.pcm), engine.info.sample_rate, RATE)


def on_line(samples: audio.Samples, line: str) -> bytes:
    """Put the speech on a quiet line, or on a telephone: noise 30 dB below it, 8 kHz, 8-bit mu-law."""
    pause = np.zeros(int(0.3 * RATE))
    speech = np.concatenate([pause, samples / 32768, pause])
    noise = np.random.default_rng(1).normal(0, 1, len(speech))
    if line == "clean":
        return audio.to_int16(speech + 3e-4 * noise).tobytes()
    level = np.sqrt(np.mean((samples / 32768) ** 2)) * 10 ** (-TELEPHONE_SNR_DB / 20)
    narrow = audio.resample(audio.to_int16(speech + level * noise), RATE, 8000)
    return audio.resample(_mu_law(narrow), 8000, RATE).tobytes()


def _mu_law(samples: audio.Samples) -> audio.Samples:
    """Return the audio after coding by G.711's mu-law companding."""
    signal = samples / 32768
    code = np.round(127 * np.sign(signal) * np.log1p(255 * np.abs(signal)) / np.log(256)) / 127
    return audio.to_int16(np.sign(code) * (256 ** np.abs(code) - 1) / 255)


def sentences(limit: int | None) -> Iterator[tuple[str, str, str]]:
    """Yield group, text and intent."""
    yield from (("in-domain", text, intent) for text, intent in IN_DOMAIN[:limit])
    yield from (("open", text, "") for text in OPEN[:limit])


def spoken_set(voices: Sequence[str], lines: Sequence[str], limit: int | None = None) -> list[Spoken]:
    """Speak every sentence with every voice on every line; `espeak` is the embedded synthesiser."""
    found: list[Spoken] = []
    for voice in voices:
        for group, text, intent in sentences(limit):
            samples = speak_espeak(text, "john") if voice == "espeak" else speak_flite(text, voice)
            found += [Spoken(text, on_line(samples, line), group, voice, line, intent) for line in lines]
    return found


# ---------------------------------------------------------------------------------- recognising


def recognise(engine: AsrEngine, spoken: Sequence[Spoken]) -> list[Heard]:
    """Recognise each utterance on a stream of its own, as many at once as the engine holds."""
    width = engine.info.max_batch
    heard: list[Heard] = []
    for start in range(0, len(spoken), width):
        heard += _together(engine, spoken[start : start + width])
    return heard


def _together(engine: AsrEngine, spoken: Sequence[Spoken]) -> list[Heard]:
    streams = [engine.open("en") for _ in spoken]
    size = 2 * streams[0].wanted_samples
    for position in range(0, max(len(one.pcm) for one in spoken), size):
        work = [
            AsrWork(stream, one.pcm[position : position + size])
            for stream, one in zip(streams, spoken, strict=True)
            if len(one.pcm) - position >= size
        ]
        for result in engine.step(work):
            _checked(result)
    heard = [
        _final(engine, AsrWork(stream, one.pcm[len(one.pcm) // size * size :], Flush.HARD), one)
        for stream, one in zip(streams, spoken, strict=True)
    ]
    for stream in streams:
        engine.close(stream)
    return heard


def _final(engine: AsrEngine, work: AsrWork, spoken: Spoken) -> Heard:
    began = time.perf_counter()
    result = _checked(engine.step([work])[0])
    return Heard(spoken, result.text, 1000 * (time.perf_counter() - began))


def _checked(result: AsrResult | EngineError) -> AsrResult:
    if isinstance(result, EngineError):
        raise result
    return result


# -------------------------------------------------------------------------------------- scoring


@dataclass(frozen=True, slots=True)
class Score:
    """Figures of one group of utterances."""

    model: str
    group: str
    voice: str
    line: str
    utterances: int
    word_error_rate: float
    exact: float
    """Share of utterances without any error."""
    understood: float | None
    """Share of requests whose intent the responder found; None for open speech."""
    final_ms_p50: float


def score(model: str, heard: Sequence[Heard]) -> Score:
    """Score utterances of one group, voice and line."""
    first = heard[0].spoken
    requests = [one for one in heard if one.spoken.intent]
    right = [understand(one.text).name == one.spoken.intent for one in requests]
    return Score(
        model=model,
        group=first.group,
        voice=first.voice,
        line=first.line,
        utterances=len(heard),
        word_error_rate=word_error_rate(heard),
        exact=float(np.mean([one.text == one.spoken.text for one in heard])),
        understood=float(np.mean(right)) if right else None,
        final_ms_p50=float(np.median([one.final_ms for one in heard])),
    )


def word_error_rate(heard: Sequence[Heard]) -> float:
    """Return the number of substitutions, insertions and deletions per word said."""
    return float(jiwer.wer([one.spoken.text for one in heard], [one.text for one in heard]))


def scores(model: str, heard: Sequence[Heard]) -> list[Score]:
    """Score by group, voice and line."""
    groups: dict[tuple[str, str, str], list[Heard]] = {}
    for one in heard:
        groups.setdefault((one.spoken.group, one.spoken.voice, one.spoken.line), []).append(one)
    return [score(model, group) for group in groups.values()]


# ------------------------------------------------------------------------------------ reporting


def table(found: Sequence[Score]) -> Table:
    """Lay the open and the biased model side by side."""
    shown = Table(title="Embedded recogniser: open language model -> biased")
    for heading in ("sentences", "voice", "line", "n", "word errors", "exact", "understood"):
        shown.add_column(heading, no_wrap=True)
    pairs: dict[tuple[str, str, str], dict[str, Score]] = {}
    for one in found:
        pairs.setdefault((one.group, one.voice, one.line), {})[one.model] = one
    for labels, pair in sorted(pairs.items()):
        plain, biased = pair["open"], pair["biased"]
        shown.add_row(
            *labels,
            str(plain.utterances),
            _change(plain.word_error_rate, biased.word_error_rate, 1),
            _change(plain.exact, biased.exact, 0),
            _change(plain.understood, biased.understood, 0),
        )
    return shown


def _change(before: float | None, after: float | None, digits: int) -> str:
    if before is None or after is None:
        return ""
    return f"{100 * before:.{digits}f} -> {100 * after:.{digits}f} %"


def plot(found: Sequence[Score], path: Path) -> None:
    """Draw word error rates of the open and the biased model as bars."""
    with panels(path, len({one.group for one in found}), width=13, height=4.5) as drawn:
        for panel, group in zip(drawn, sorted({one.group for one in found}), strict=True):
            _bars(panel, [one for one in found if one.group == group])
            panel.set_title(f"{group} speech")
            panel.set_ylabel("word error rate, %")
        drawn[0].legend()


def _bars(panel: Any, found: Sequence[Score]) -> None:
    for offset, model in ((-0.2, "open"), (0.2, "biased")):
        rows = sorted((one for one in found if one.model == model), key=lambda one: (one.line, one.voice))
        places = np.arange(len(rows)) + offset
        panel.bar(places, [100 * one.word_error_rate for one in rows], 0.4, label=f"{model} model")
        panel.set_xticks(np.arange(len(rows)), [f"{one.voice}\n{one.line}" for one in rows], fontsize=7)


def machine() -> dict[str, Any]:
    """Say where and of what this was measured."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "commit": git.stdout.strip(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voices", nargs="+", default=[*flite_voices(), "espeak"])
    parser.add_argument("--lines", nargs="+", choices=LINES, default=list(LINES))
    parser.add_argument("--limit", type=int, help="only so many sentences of each list")
    parser.add_argument("--audio", type=Path, default=os.environ.get("NEMOTRON_TEST_AUDIO"))
    parser.add_argument("--text", help="what is said in --audio")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--show-errors", action="store_true")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    spoken = spoken_set(options.voices, options.lines, options.limit)
    if options.audio and options.text:
        person = sound_files.read(options.audio).at(RATE).samples
        words = " ".join(options.text.lower().replace(".", " ").replace(",", " ").split())
        spoken.append(Spoken(words, on_line(person, "clean"), "open", "person", "clean"))
    console, found = Console(), list[Score]()
    for model, biased in (("open", False), ("biased", True)):
        engine = PocketsphinxEngine(biased=biased)
        engine.load()
        began = time.perf_counter()
        heard = recognise(engine, spoken)
        engine.unload()
        seconds = sum(len(one.pcm) for one in spoken) / 2 / RATE
        console.print(f"{model}: {seconds:.0f} s of audio in {time.perf_counter() - began:.0f} s")
        found += scores(model, heard)
        if options.show_errors:
            for one in heard:
                if one.text != one.spoken.text:
                    console.print(f"  {one.spoken.voice} {one.spoken.line}: {one.spoken.text} -> {one.text}")
    console.print(table(found))
    if options.json:
        report = {**machine(), "scores": [asdict(one) for one in found]}
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    if options.plot:
        plot(found, options.plot)


if __name__ == "__main__":
    main()
