"""Time to put a text into words for an engine to speak: `python -m benchmarks.text_for_speech`.

The first sentence of an answer waits for this, so it should be far below a millisecond; a hostile text should
take time in proportion to its length.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import circumstances, quantile, save
from nemotron_speech.text import say, speakable, warm_up

SENTENCES = {
    "one word": "Yes.",
    "plain, 118 characters": "Plain text that is about as long as a typical sentence, "
    "twenty-five words of it, or so, to be spoken aloud by a voice.",
    "markup": "You can use **bold** or `code`, see [the page](https://example.org/a).",
    "amounts": "It costs $3.50 a month, or €40 a year, which is 5% less.",
    "date, time, units": "On March 5, 2024 at 10:30 am it was 20 °C with wind of 15 km/h.",
    "a fact": "Sure! The Eiffel Tower was built in 1889 and is about 330 m tall, so it's **quite** a sight.",
}
HOSTILE = (
    "1",
    "1,",
    "1 ",
    "a.",
    "a@",
    "½",
    "+1",
    "(555) ",
    "**a ",
    "*a_ ",
    "[a](",
    "<a ",
    "- ",
    "5 km/h ",
    "привет ",
)
LENGTH = 4000


def times_us(text: str, repeats: int) -> list[float]:
    """Time `say`, in microseconds."""
    taken: list[float] = []
    for _ in range(repeats):
        before = time.perf_counter()
        say(text, "en")
        taken.append((time.perf_counter() - before) * 1e6)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    before = circumstances()
    started = time.perf_counter()
    warm_up(["en"])
    result = {
        **before,
        "load_ms": round((time.perf_counter() - started) * 1000, 1),
        "sentences_us": {},
        "hostile_ms": {},
    }
    shown = Table("text", "p50 µs", "p99 µs", "with its word times p50")
    for name, text in SENTENCES.items():
        taken = times_us(text, args.repeats)
        aligned: list[float] = []
        for _ in range(args.repeats):
            spoken = say(text, "en")
            since = time.perf_counter()
            spoken.times([], 2000.0)
            aligned.append((time.perf_counter() - since) * 1e6)
        row = {"p50": quantile(taken, 0.5), "p99": quantile(taken, 0.99), "times_p50": quantile(aligned, 0.5)}
        result["sentences_us"][name] = {key: round(value, 1) for key, value in row.items()}
        shown.add_row(name, *(f"{value:.0f}" for value in row.values()))
    for piece in HOSTILE:
        text = (piece * LENGTH)[:LENGTH]
        result["hostile_ms"][piece] = round(quantile(times_us(text, 5), 0.5) / 1000, 2)
    worst = max(result["hostile_ms"].values())
    out = Console(highlight=False)
    out.print(shown)
    out.print(
        f"{LENGTH} hostile characters: at most {worst} ms; "
        f"`speakable` alone on plain text: {_speakable_us():.0f} µs"
    )
    if args.json:
        save(result, args.json)


def _speakable_us() -> float:
    before = time.perf_counter()
    for _ in range(200):
        speakable(SENTENCES["plain, 118 characters"])
    return (time.perf_counter() - before) / 200 * 1e6


if __name__ == "__main__":
    main()
