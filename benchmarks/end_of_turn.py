"""Endpointing delay and false cut-offs, by detector.

    uv run python -m benchmarks.end_of_turn --json benchmarks/results/end_of_turn.json
    uv run python -m benchmarks.end_of_turn --held-out --json benchmarks/results/end_of_turn_held_out.json

The corpus is synthesised (`end_of_turn_cases`): whole turns, and turns with pauses inside numbers, after
words that nobody ends with, after fillers, in mid-sentence and after clauses that could have been all. The
detectors hear it through the bots' own voice activity detector, faster than real time, on a clock of its own;
transcripts are the true words up to then, 24 ms after a pause is reported, so that the recogniser is not what
is measured.

A false cut-off is a turn that a detector ended before it was over; its delay is counted from the last sound.
It is audible if the user was still silent when the answer's first sound came, 150 ms after the end: an answer
begun ahead, confirmed, and heard at the other end of a local connection. If the user goes
on before that, the bots take the answer back, unheard, whatever the detector.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from loguru import logger
from pipecat.audio.vad.vad_analyzer import VADParams, VADState
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.end_of_turn_cases import RATE, Case, corpus, held_out
from benchmarks.machine import circumstances, panels, quantile, save
from pipecat_bots.turns.endpointing import EndpointingDelays, TurnEnd
from pipecat_bots.turns.prosody import WINDOW_S, Samples, SmartTurnModel
from pipecat_bots.turns.vad import WatchfulVADAnalyzer

FINAL_MS = 24.0
JUDGEMENT_MS = 45.0
"""Milliseconds that the model takes on an idle core, the request to it included."""
ANSWER_MS = 150.0
"""Milliseconds from the end of a turn to the first sound of an answer that was begun ahead of it."""
STOP_S = 0.2
TICK_MS = 8
VAD_WINDOW = 512


class Judge(Protocol):
    """Answers how complete the turn sounds after so many samples of the case."""

    def __call__(self, samples: int) -> float: ...


class Detector(Protocol):
    """One way to know that a turn is over. Told what happens; `over` is the decision."""

    judges_at_onset: bool
    """True if the model is asked with the first quiet window; False if at the pause."""

    @property
    def over(self) -> bool: ...

    def voice(self, voiced: bool) -> None: ...
    def speaks(self) -> None: ...
    def pauses(self) -> None: ...
    def said(self, text: str) -> None: ...
    def judged(self, probability: float) -> None: ...
    def audio(self, ms: float) -> None: ...


class Silence:
    """A turn is over after a fixed silence."""

    judges_at_onset = False

    def __init__(self, wait_ms: float) -> None:
        self._wait_ms = wait_ms
        self._silence_ms: float | None = None
        self._said = False

    def voice(self, voiced: bool) -> None: ...

    def judged(self, probability: float) -> None: ...

    def speaks(self) -> None:
        self._silence_ms, self._said = None, False

    def pauses(self) -> None:
        self._silence_ms = STOP_S * 1000

    def said(self, text: str) -> None:
        self._said = True

    def audio(self, ms: float) -> None:
        if self._silence_ms is not None:
            self._silence_ms += ms

    @property
    def over(self) -> bool:
        return self._said and self._silence_ms is not None and self._silence_ms >= self._wait_ms


class Prosody(Silence):
    """Pipecat's way with Smart Turn: complete at the pause, or three seconds of silence."""

    def __init__(self, fallback_ms: float = 3000.0) -> None:
        super().__init__(fallback_ms)
        self._complete = False

    def speaks(self) -> None:
        super().speaks()
        self._complete = False

    def judged(self, probability: float) -> None:
        self._complete = probability > 0.5

    @property
    def over(self) -> bool:
        return super().over or (self._said and self._complete)


class Together:
    """Endpointing of these bots: silence, prosody and words."""

    judges_at_onset = True

    def __init__(self, language: str, patience: EndpointingDelays | None = None, words: bool = True) -> None:
        self._turn = TurnEnd(patience, language)
        self._words = words

    def voice(self, voiced: bool) -> None:
        self._turn.voice(voiced)

    def speaks(self) -> None:
        self._turn.speaks()

    def pauses(self) -> None:
        self._turn.pauses(STOP_S * 1000)

    def said(self, text: str) -> None:
        if text:
            self._turn.said(text if self._words else "something", is_last=True)
        else:
            self._turn.said_nothing()

    def judged(self, probability: float) -> None:
        self._turn.judged(probability)

    def audio(self, ms: float) -> None:
        self._turn.audio(ms)

    @property
    def over(self) -> bool:
        return self._turn.over


DETECTORS: dict[str, Callable[[str], Detector]] = {
    "silence, 0.2 s": lambda _: Silence(200),
    "silence, 0.8 s": lambda _: Silence(800),
    "Smart Turn, 3 s fallback": lambda _: Prosody(),
    "silence + prosody": lambda language: Together(language, words=False),
    "silence + prosody + words": Together,
}
"""Detectors by name; each is made for the language that is spoken."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Judgement of one turn by a detector."""

    case: Case
    cut_off: bool
    audible: bool
    delay_ms: float
    """Delay of the turn's end, the last one if there were several."""


def _has_pause(case: Case) -> bool:
    return case.pause_s > 0


def _share(of: Iterable[bool]) -> float:
    values = list(of)
    return sum(values) / max(1, len(values))


@dataclass
class Figures:
    """Results of a detector, turn by turn."""

    turns: list[Turn] = field(default_factory=list)

    def add(self, case: Case, ends_ms: Sequence[float], heard: Sequence[Moment]) -> None:
        wrong = [end for end in ends_ms if end < case.end_ms]
        voices = [moment.at_ms for moment in heard if moment.what == "voice"]
        audible = any(not any(end < at <= end + ANSWER_MS for at in voices) for end in wrong)
        self.turns.append(Turn(case, bool(wrong), audible, ends_ms[-1] - case.end_ms))

    @property
    def delays_ms(self) -> list[float]:
        return [turn.delay_ms for turn in self.turns]

    def cut_off_share(self, of: Callable[[Case], bool] = _has_pause) -> float:
        """Return the share of the turns with a pause in them that were cut off, or of others."""
        return _share(turn.cut_off for turn in self.turns if of(turn.case))

    def audible_share(self, of: Callable[[Case], bool] = _has_pause) -> float:
        """Return the share in which the user heard something of a wrong answer."""
        return _share(turn.audible for turn in self.turns if of(turn.case))

    def by_pause(self, of: Callable[[Case], bool] = _has_pause) -> dict[float, float]:
        """Return the share of turns cut off, by the length of their pause in seconds."""
        pauses = sorted({turn.case.pause_s for turn in self.turns if _has_pause(turn.case) and of(turn.case)})
        return {s: self.cut_off_share(lambda case, s=s: of(case) and case.pause_s == s) for s in pauses}

    def report(self) -> dict[str, Any]:
        return {
            "turns": len(self.turns),
            "false_cut_off_share": round(self.cut_off_share(), 4),
            "audible_share": round(self.audible_share(), 4),
            "false_cut_off_share_by_pause": _rounded(self.by_pause()),
            "delay_ms": _spread(self.delays_ms),
            "by_kind": {
                kind: self._of_kind(kind) for kind in dict.fromkeys(turn.case.kind for turn in self.turns)
            },
        }

    def _of_kind(self, kind: str) -> dict[str, Any]:
        def of(case: Case) -> bool:
            return case.kind == kind

        delays = [turn.delay_ms for turn in self.turns if of(turn.case)]
        return {
            "turns": len(delays),
            "false_cut_off_share": round(self.cut_off_share(of), 4),
            "audible_share": round(self.audible_share(of), 4),
            "false_cut_off_share_by_pause": _rounded(self.by_pause(of)),
            "delay_ms": _spread(delays),
        }


def _rounded(by_pause: dict[float, float]) -> dict[str, float]:
    return {f"{s} s": round(share, 4) for s, share in by_pause.items()}


def _spread(values: list[float]) -> dict[str, float]:
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: round(quantile(values, share)) for name, share in shares.items()}


# ------------------------------------------------------------------------------------------ listening


@dataclass(frozen=True, slots=True)
class Moment:
    """Report of the voice activity detector."""

    at_ms: float
    what: str


def moments(case: Case, vad: WatchfulVADAnalyzer) -> list[Moment]:
    """Return what the voice activity detector makes of a case: `voice`, `quiet`, `speaks`, `pauses`."""
    found, before, voiced = list[Moment](), VADState.QUIET, False
    settled = VADState.QUIET
    for end in range(VAD_WINDOW, len(case.samples) + 1, VAD_WINDOW):
        state = vad._run_analyzer(case.samples[end - VAD_WINDOW : end].tobytes())
        at = end / RATE * 1000
        if voiced is not (state in (VADState.STARTING, VADState.SPEAKING)):
            voiced = not voiced
            found.append(Moment(at, "voice" if voiced else "quiet"))
        if state in (VADState.SPEAKING, VADState.QUIET) and state is not settled and state is not before:
            settled = state
            found.append(Moment(at, "speaks" if state is VADState.SPEAKING else "pauses"))
        before = state
    return found


class Hearing:
    """A detector listening to a case, with what it has to wait for."""

    def __init__(self, case: Case, make: Callable[[str], Detector], judge: Judge) -> None:
        self._case, self._make, self._judge = case, make, judge
        self._detector = make(case.language)
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._judgement: tuple[float, Callable[[], None]] | None = None
        self._speaking = False
        self._transcribed_ms = 0.0
        self.ends_ms: list[float] = []

    def listen(self, heard: Sequence[Moment]) -> list[float]:
        """Return when the detector took the turn for over, in milliseconds: once, if it was right."""
        events = deque(heard)
        for tick in range(0, int(len(self._case.samples) / RATE * 1000), TICK_MS):
            self._detector.audio(TICK_MS)
            while events and events[0].at_ms <= tick:
                self._hear(events.popleft(), tick)
            self._settle(tick)
            if self._detector.over:
                self.ends_ms.append(tick)
                self._detector = self._make(self._case.language)
        return self.ends_ms

    def _hear(self, moment: Moment, now: float) -> None:
        onset = self._detector.judges_at_onset
        match moment.what:
            case "voice":
                self._detector.voice(True)
                self._judgement = None
            case "quiet":
                self._detector.voice(False)
                if onset and self._speaking:
                    self._ask(moment, now)
            case "speaks":
                self._speaking, self._judgement = True, None
                self._detector.speaks()
            case "pauses":
                self._speaking = False
                self._detector.pauses()
                self._transcribe(moment, now)
                if not onset:
                    self._ask(moment, now)

    def _transcribe(self, moment: Moment, now: float) -> None:
        text = self._case.heard(self._transcribed_ms, moment.at_ms)
        self._transcribed_ms = moment.at_ms
        self._due.append((now + FINAL_MS, lambda: self._detector.said(text)))

    def _ask(self, moment: Moment, now: float) -> None:
        probability = self._judge(int(moment.at_ms / 1000 * RATE))
        self._judgement = now + JUDGEMENT_MS, lambda: self._detector.judged(probability)

    def _settle(self, now: float) -> None:
        judgement = [self._judgement] if self._judgement else []
        for due in [item for item in (*self._due, *judgement) if item[0] <= now]:
            due[1]()
            if due is self._judgement:
                self._judgement = None
            else:
                self._due.remove(due)


def judge_of(case: Case, model: SmartTurnModel) -> Judge:
    """Return the model's ear for a case, which hears no moment twice."""
    known: dict[int, float] = {}

    def judge(samples: int) -> float:
        if samples not in known:
            start = max(0, samples - int(WINDOW_S * RATE))
            window: Samples = case.samples[start:samples].astype(np.float32) / np.float32(32768)
            known[samples] = model.probability(window)
        return known[samples]

    return judge


def measure(cases: Iterable[Case], model: SmartTurnModel) -> dict[str, Figures]:
    figures = {name: Figures() for name in DETECTORS}
    for case in cases:
        vad = WatchfulVADAnalyzer(params=VADParams(stop_secs=STOP_S))
        vad.set_sample_rate(RATE)
        heard, judge = moments(case, vad), judge_of(case, model)
        vad._executor.shutdown(wait=False)
        for name, make in DETECTORS.items():
            if found := Hearing(case, make, judge).listen(heard):
                figures[name].add(case, found, heard)
    return figures


# -------------------------------------------------------------------------------------------- showing


def show(figures: dict[str, Figures], console: Console) -> None:
    pauses = (f"cut at {s} s" for s in next(iter(figures.values())).by_pause())
    table = Table(
        "detector",
        "turns",
        "p50",
        "p90",
        "p99",
        "max",
        "cut off",
        "audible",
        *pauses,
        title="end of turn, ms",
    )
    for name, found in figures.items():
        delays = (f"{ms:.0f}" for ms in _spread(found.delays_ms).values())
        wrong = (found.cut_off_share(), found.audible_share(), *found.by_pause().values())
        shares = (f"{share:.0%}" for share in wrong)
        table.add_row(name, str(len(found.turns)), *delays, *shares)
    console.print(table)


def plot(figures: dict[str, Figures], path: Path) -> None:
    with panels(path, 2, width=13, height=4.5) as (delays, cuts):
        for name, found in figures.items():
            ordered = sorted(found.delays_ms)
            delays.plot(ordered, np.linspace(0, 1, len(ordered)), label=name)
            cuts.plot(*zip(*found.by_pause().items(), strict=True), "o-", label=name)
        delays.set(
            title="share of turns known to be over within", xlabel="ms from the last sound", xlim=(0, 3500)
        )
        delays.legend(fontsize="small")
        cuts.set(title="share of turns cut off at their pause", xlabel="seconds of pause", ylim=(0, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, help="an ONNX model in Smart Turn's place")
    parser.add_argument("--held-out", action="store_true", help="turns that no rule was made for")
    parser.add_argument("--json", type=Path, help="write the figures here, and the plot beside them")
    arguments = parser.parse_args()
    logger.remove()
    console, before, began = Console(), circumstances(), time.perf_counter()
    cases = list(held_out() if arguments.held_out else corpus())
    figures = measure(track(cases, description="listening"), SmartTurnModel(arguments.model))
    show(figures, console)
    console.print(f"{len(cases)} turns in {time.perf_counter() - began:.0f} s")
    if arguments.json:
        reports = {name: figure.report() for name, figure in figures.items()}
        voices = sorted({case.voice for case in cases})
        save({"circumstances": before, "voices": voices, **reports}, arguments.json)
        plot(figures, arguments.json.with_suffix(".png"))
        console.print(f"written: {arguments.json} and {arguments.json.with_suffix('.png')}")


if __name__ == "__main__":
    main()
