"""Judgement of a call from what was said, what was heard, and what the model was asked.

Nothing of the bot's own figures is believed; they are only set beside what was heard.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from benchmarks.outside.lessons import GREETING, MS_PER_CHARACTER, Lesson, Reply
from benchmarks.outside.plan import Answer, Asked, Begun, Call, Said, Say
from benchmarks.outside.sound import Sound, gaps_ms

ABSENT_S = 0.1
"""Seconds without the old answer, after an interruption, from which the bot counts as silent."""
HEARD_IN_PART = 1
"""Words at the place of an interruption that may count as heard or as not."""


UNHEARD = 3
"""Characters that may make no sound: the space between two segments, and the end of a word in the codec."""
NOTICED_S = 0.1
"""Seconds of a voice after which it cannot be missed."""
SILENT_S = 0.3
"""Seconds without a sound after which the next sound is a beginning."""
_CUT = " .,\N{EM DASH}"
"""Characters that may stand behind the last word that was heard."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Utterances before an answer is waited for, and the moment at which the next turn begins."""

    said: tuple[Said, ...]
    until: float

    @property
    def kind(self) -> str:
        return self.said[-1].name


@dataclass
class Findings:
    """Results of the turns judged: counts, times in milliseconds, and the faults in words."""

    calls: int = 0
    greeted: int = 0
    turns: int = 0
    answered: int = 0
    responses: int = 0
    """Answers of which something was heard."""
    spoke_over: int = 0
    """Times the bot began to speak while the user did."""
    stale: int = 0
    """Times the old answer was heard again after the bot had fallen silent."""
    contexts: int = 0
    contexts_right: int = 0
    requests: int = 0
    voice_to_voice_ms: list[float] = field(default_factory=list)
    outside_minus_inside_ms: list[float] = field(default_factory=list)
    silent_after_ms: list[float] = field(default_factory=list)
    greeting_ms: list[float] = field(default_factory=list)
    gaps_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    """The latest frame of each call."""
    faults: list[str] = field(default_factory=list)

    def add(self, other: Findings) -> None:
        """Take in what another call came to."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class Judge:
    """One call, judged."""

    def __init__(self, lesson: Lesson, call: Call, asked: Sequence[Asked]) -> None:
        self._lesson = lesson
        self._record, self._heard = call.record, call.heard
        self._asked = [request for request in asked if request.wants_answer]
        self.findings = Findings(calls=1)

    @cached_property
    def turns(self) -> list[Turn]:
        """Utterances, grouped by the answers that were waited for."""
        said = iter(self._record.said)
        groups: list[list[Said]] = [[]]
        for step in self._lesson.steps:
            if isinstance(step, Say) and (one := next(said, None)) is not None:
                groups[-1].append(one)
            elif isinstance(step, Answer | Begun) and groups[-1]:
                groups.append([])
        whole = [group for group in groups if group]
        ends = [*(group[0].began for group in whole[1:]), self._record.ended]
        return [Turn(tuple(group), until) for group, until in zip(whole, ends, strict=True)]

    def judge(self) -> Findings:
        """Judge everything."""
        self._greeting()
        for turn in self.turns:
            self._turn(turn)
        self.findings.requests = len(self._asked)
        self.findings.gaps_ms = gaps_ms(self._heard.heard(0.0))
        self.findings.late_ms = [round(max(self._heard.late_ms(), default=0.0), 1)]
        return self.findings

    # ------------------------------------------------------------------------------------- turns

    def _greeting(self) -> None:
        first = self._record.said[0].began if self._record.said else self._record.ended
        greeting = _of(self._heard.heard(0.0, first), GREETING.tones)
        if greeting:
            self.findings.greeted += 1
            begun = (self._heard.when(greeting[0].first) - self._record.began) * 1000
            self.findings.greeting_ms.append(begun)
        else:
            self._fault(first, "no greeting was heard")

    def _turn(self, turn: Turn) -> None:
        found = self.findings
        found.turns += 1
        old = self._old_tones(turn)
        for said in turn.said:
            self._spoken_over(said)
        if turn.kind in ("barge-in", "short"):
            self._interrupted(turn, old)
        answer = self._answer(turn)
        found.responses += self._responses(turn)
        if answer:
            found.answered += 1
            self._timed(turn, answer[0])
        else:
            self._fault(turn.said[-1].ended, f"no right answer to {_text(turn)!r}: {self._instead(turn)}")
        if (request := self._last_request(turn.until)) is not None:
            self._context(request, turn)

    def _answer(self, turn: Turn) -> list[Sound]:
        """Return the sounds of an answer to everything that was said so far."""
        ended = turn.said[-1].ended
        expected = self._words_said(ended)
        right = [
            request
            for request in self._asked
            if request.at < turn.until and _words_of_user(request) == expected
        ]
        tones = [hz for request in right for hz in self._reply(request).tones]
        return _of(self._heard.heard(ended, turn.until), tones)

    def _timed(self, turn: Turn, first: Sound) -> None:
        if turn.kind != "ordinary":
            return
        ended = turn.said[-1].ended
        outside = (self._heard.when(first.first) - ended) * 1000
        self.findings.voice_to_voice_ms.append(round(outside, 1))
        inside = next((ms for at, ms in self._inside() if ended < at < turn.until), None)
        if inside is not None:
            self.findings.outside_minus_inside_ms.append(round(outside - inside, 1))

    def _interrupted(self, turn: Turn, old: Sequence[float]) -> None:
        """See when the old answer ended, and whether it came back."""
        began = turn.said[0].began
        stretch = self._heard.heard(began, turn.until)
        anew = [hz for request in self._asked if request.at > began for hz in self._reply(request).tones]
        sounds = _of(stretch, [hz for hz in old if hz not in anew])
        if not sounds:
            return
        absent = round(ABSENT_S * 24000)
        end = next(
            (n for n, (a, b) in enumerate(pairwise(sounds)) if b.first - a.end > absent), len(sounds) - 1
        )
        self.findings.silent_after_ms.append(round((self._heard.when(sounds[end].end - 1) - began) * 1000, 1))
        if sounds[end + 1 :]:
            self.findings.stale += 1
            back = self._heard.when(sounds[end + 1].first)
            self._fault(back, f"the old answer came back {back - began:.2f} s after the interruption began")

    def _spoken_over(self, said: Said) -> None:
        """Note where the bot began to speak although it could have heard the user do so."""
        for began, ended in said.voiced:
            before = self._heard.heard(began - SILENT_S, began + NOTICED_S)
            sounds = self._heard.heard(began + NOTICED_S, ended)
            if sounds and not before:
                self.findings.spoke_over += 1
                at = self._heard.when(sounds[0].first)
                self._fault(at, f"the bot began to speak {at - began:.2f} s into {_joined(said)!r}")

    def _responses(self, turn: Turn) -> int:
        """Count the replies that were heard from the begin of a turn's speech to the next turn's."""
        sounds = self._heard.heard(turn.said[0].began, turn.until)
        old = self._old_tones(turn)
        indices = {self._index(request) for request in self._asked if request.at < turn.until}
        replies = [self._lesson.replies[index] for index in indices]
        return sum(bool(_of(sounds, [hz for hz in reply.tones if hz not in old])) for reply in replies)

    # ------------------------------------------------------------------------------------- context

    def _context(self, request: Asked, turn: Turn) -> None:
        """Compare what the model was told with what was said and heard."""
        self.findings.contexts += 1
        wrong = [*self._wrong_of_user(request, turn), *self._wrong_of_bot(request)]
        if wrong:
            self._fault(request.at, "; ".join(wrong))
        else:
            self.findings.contexts_right += 1

    def _wrong_of_user(self, request: Asked, turn: Turn) -> list[str]:
        expected, told = self._words_said(turn.said[-1].ended), _words_of_user(request)
        return [] if told == expected else [f"the user said {expected}, the model was told {told}"]

    def _wrong_of_bot(self, request: Asked) -> list[str]:
        texts = [_content(message) for message in request.messages if message["role"] == "assistant"]
        if texts and request.messages[-1]["role"] == "assistant":
            texts.pop()  # an answer that is gone on with
        claims = [text for text in texts if text.strip(_CUT)]  # a mark without words claims none
        return [wrong for text in claims if (wrong := self._wrong_reply(text, request.at)) is not None]

    def _wrong_reply(self, text: str, at: float) -> str | None:
        replies = (GREETING, *self._lesson.replies)
        reply = next((reply for reply in replies if reply.text.startswith(text.rstrip(_CUT))), None)
        if reply is None:
            return f"the bot never said {text!r}"
        heard = self._words_heard(reply, at)
        claimed = len(text.rstrip(_CUT).split())
        if abs(claimed - heard) <= (HEARD_IN_PART if heard < len(reply.words) else 0):
            return None
        return f"{heard} words of {reply.text!r} were heard, {claimed} are claimed"

    def _words_heard(self, reply: Reply, until: float) -> int:
        """Count the words of a reply that were heard to their end; a segment may hold several sentences."""
        heard_s = self._heard.seconds(_of(self._heard.heard(0.0, until), reply.tones))
        words = reply.text.split()
        ends = [len(" ".join(words[: count + 1])) for count in range(len(words))]
        return bisect_left(ends, heard_s * 1000 / MS_PER_CHARACTER + UNHEARD)

    # ---------------------------------------------------------------------------------- particulars

    def _reply(self, request: Asked) -> Reply:
        return self._lesson.replies[self._index(request)]

    def _index(self, request: Asked) -> int:
        spoken = sum(message["role"] == "user" for message in request.messages)
        return (spoken - 1) % len(self._lesson.replies)

    def _old_tones(self, turn: Turn) -> list[float]:
        """Return the tones of what was asked for before anybody spoke in this turn."""
        began = turn.said[0].began
        return [hz for request in self._asked if request.at < began for hz in self._reply(request).tones]

    def _last_request(self, until: float) -> Asked | None:
        before = [request for request in self._asked if request.at < until]
        return before[-1] if before else None

    def _words_said(self, until: float) -> list[str]:
        said = [said for said in self._record.said if said.ended <= until]
        return [word for one in said for word in _joined(one).lower().split()]

    def _inside(self) -> list[tuple[float, float]]:
        """Return the bot's own figures: when each came, and voice to voice in ms."""
        return [
            (at, float(data["voice_to_voice_ms"]))
            for at, kind, data in self._record.events
            if kind == "server-message" and isinstance(data, dict) and data.get("type") == "turn-metrics"
        ]

    def _instead(self, turn: Turn) -> str:
        sounds = self._heard.heard(turn.said[-1].ended, turn.until)
        requests = [r for r in self._asked if turn.said[0].began < r.at < turn.until]
        asked = [" ".join(_words_of_user(request)[-8:]) for request in requests]
        tones = sorted({round(sound.hz) for sound in sounds})
        return f"the model was asked {asked}, tones heard: {tones} Hz"

    def _fault(self, at: float, what: str) -> None:
        self.findings.faults.append(f"{self._lesson.name}, {at - self._record.began:.1f} s: {what}")


def lost(lesson: Lesson, why: str) -> Findings:
    """Return what a call came to that could not be made, or not to its end."""
    turns = sum(isinstance(step, Answer | Begun) for step in lesson.steps)
    return Findings(calls=1, turns=turns, faults=[f"{lesson.name}: {why}"])


def speculated(call: Call) -> Mapping[str, int]:
    """Return the bot's own count of what came of its speculations."""
    reports: list[Any] = [
        data["speculated"]
        for _, kind, data in call.record.events
        if kind == "server-message" and isinstance(data, dict) and data.get("type") == "turn-metrics"
    ]
    return reports[-1] if reports else {}


def _of(sounds: Sequence[Sound], tones: Sequence[float]) -> list[Sound]:
    return [sound for sound in sounds if any(sound.is_tone(hz) for hz in tones)]


def _text(turn: Turn) -> str:
    return ", ".join(map(_joined, turn.said))


def _joined(said: Said) -> str:
    return " ".join(part for part in said.parts if isinstance(part, str))


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


def _words_of_user(request: Asked) -> list[str]:
    texts = (_content(message) for message in request.messages if message["role"] == "user")
    return [word for text in texts for word in text.lower().split()]
