from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EagerEndOfTurnCancelFrame,
    Frame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    InterruptionFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import LLMTokenUsage, LLMUsageMetricsData
from pipecat.observers.base_observer import FramePushed
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from pipecat_bots.frames import SoundLeftFrame
from pipecat_bots.observability.turn_metrics import (
    JsonLines,
    Moments,
    Speculated,
    TurnMetrics,
    TurnMetricsObserver,
)
from pipecat_bots.speculation.speculation import Speculation, mark

At = tuple[float, Frame]


def start(speculation: Speculation | None = None) -> LLMFullResponseStartFrame:
    frame = LLMFullResponseStartFrame()
    mark(frame, speculation)
    return frame


def audio(ms: int = 100) -> TTSAudioRawFrame:
    return TTSAudioRawFrame(bytes(32 * ms), 16000, 1)


def spent(tokens: int) -> MetricsFrame:
    usage = LLMTokenUsage(prompt_tokens=1, completion_tokens=tokens, total_tokens=tokens + 1)
    return MetricsFrame(data=[LLMUsageMetricsData(processor="llm", model="m", value=usage)])


def pause(at: float = 100.2) -> list[At]:
    """The user's last sound was at 100.0."""
    stopped = VADUserStoppedSpeakingFrame(stop_secs=0.2, timestamp=at)
    return [
        (at, stopped),
        (at + 0.03, TranscriptionFrame("hello", "", "")),
        (at + 0.03, UserStoppedSpeakingFrame()),
    ]


def heard(at: float) -> list[At]:
    """The bot begins to speak, and is heard."""
    return [(at, BotStartedSpeakingFrame()), (at, SoundLeftFrame(at))]


ORDINARY: list[At] = [
    *pause(),
    (100.24, start()),
    (100.42, LLMTextFrame("Hi.")),
    (100.55, audio()),
    *heard(100.56),
]


class Reports:
    def __init__(self) -> None:
        self.told: list[TurnMetrics] = []
        self.done: list[TurnMetrics] = []
        self.now = 0.0
        self.observer = TurnMetricsObserver(self.report, self.finish, clock=lambda: self.now)

    async def report(self, metrics: TurnMetrics) -> None:
        self.told.append(metrics)

    async def finish(self, metrics: TurnMetrics) -> None:
        self.done.append(metrics)

    async def see(self, events: Iterable[At]) -> None:
        for self.now, frame in events:
            node = FrameProcessor()
            pushed = FramePushed(
                source=node, destination=node, frame=frame, direction=FrameDirection.DOWNSTREAM, timestamp=0
            )
            await self.observer.on_push_frame(pushed)

    @property
    def turns(self) -> list[tuple[int, bool]]:
        return [(metrics.turn, metrics.interrupted) for metrics in self.told]


async def test_the_page_gets_every_stage_and_they_add_up() -> None:
    reports = Reports()
    await reports.see(ORDINARY)
    message = reports.told[0].message()
    assert {key: message[key] for key in ("type", "turn", "voice_to_voice_ms", "interrupted", "stages")} == {
        "type": "turn-metrics",
        "turn": 1,
        "voice_to_voice_ms": 560,
        "interrupted": False,
        "stages": [
            {"name": "endpointing", "ms": 200},
            {"name": "transcription", "ms": 30},
            {"name": "turn detection", "ms": 0},
            {"name": "llm", "ms": 190},
            {"name": "tts", "ms": 130},
            {"name": "output", "ms": 10},
        ],
    }


async def test_what_was_done_before_the_turn_was_over_is_waited_for_by_nobody() -> None:
    reports, guess = Reports(), Speculation("hello", began=0)
    events: list[At] = [(100.05, start(guess)), (100.21, LLMTextFrame("Hi."))]
    first, *rest = pause()
    await reports.see([events[0], first, events[1], *rest[:1]])
    guess.confirm()
    await reports.see([*rest[1:], (100.32, audio()), *heard(100.33)])
    (metrics,) = reports.told
    assert metrics.voice_to_voice_ms == 330
    assert dict(metrics.stages) == {
        **{"endpointing": 200, "transcription": 30, "turn detection": 0},
        **{"llm": 0, "tts": 90, "output": 10},
    }
    assert metrics.ahead_ms == 180


async def test_tools_have_a_stage_of_their_own() -> None:
    reports = Reports()
    call: dict[str, Any] = {"function_name": "f", "tool_call_id": "1", "arguments": {}}
    events: list[At] = [
        *pause(),
        (100.24, start()),
        (100.34, FunctionCallInProgressFrame(**call)),
        (100.84, FunctionCallResultFrame(**call, result="x")),
        (100.85, start()),
        (100.94, LLMTextFrame("Hi.")),
        (101.04, audio()),
        *heard(101.05),
    ]
    await reports.see(events)
    assert dict(reports.told[0].stages)["tools"] == 500
    assert reports.told[0].voice_to_voice_ms == 1050


async def test_work_for_nothing_is_counted() -> None:
    reports = Reports()
    wanted, unwanted = Speculation("hello", began=0), Speculation("hel", began=0)
    await reports.see([(99.0, start(unwanted)), (99.1, LLMTextFrame("No.")), (99.2, audio(300))])
    unwanted.withdraw()
    await reports.see([(99.3, EagerEndOfTurnCancelFrame()), (99.3, spent(7))])
    await reports.see(
        [(100.05, start(wanted)), (100.15, LLMTextFrame("Hi.")), (100.2, audio(200)), *pause()[:2]]
    )
    wanted.confirm()
    await reports.see([*pause()[2:], (100.25, audio()), *heard(100.26), (101, spent(20))])
    await reports.observer.close()
    assert reports.told[0].speculated == Speculated(1, 1, 0, 7, 200, 300, 180, 300)
    assert reports.observer.speculated == Speculated(1, 1, 20, 7, 200, 300, 180, 300)


async def test_a_turn_is_reported_at_once_and_again_when_it_is_interrupted() -> None:
    reports = Reports()
    await reports.see([*ORDINARY, (101, InterruptionFrame())])
    assert reports.turns == [(1, False), (1, True)]
    assert [metrics.interrupted for metrics in reports.done] == [True]


async def test_a_turn_heard_to_its_end_was_not_interrupted() -> None:
    reports = Reports()
    await reports.see([*ORDINARY, (101, BotStoppedSpeakingFrame()), (102, InterruptionFrame()), *ORDINARY])
    await reports.observer.close()
    assert reports.turns == [(1, False), (2, False)]
    assert [metrics.interrupted for metrics in reports.done] == [False, False]


async def test_a_greeting_and_an_announcement_are_no_turns() -> None:
    reports = Reports()
    await reports.see([(99, audio()), *heard(99)])
    await reports.see([*pause(), (100.3, audio()), *heard(100.3)])
    await reports.observer.close()
    assert reports.told == reports.done == []


async def test_an_answer_that_the_user_forestalled_is_no_turn() -> None:
    reports = Reports()
    await reports.see(
        [*ORDINARY[:-2], (100.56, VADUserStartedSpeakingFrame()), (100.57, InterruptionFrame())]
    )
    await reports.see(ORDINARY)
    assert reports.turns == [(1, False)]


async def test_a_turn_ends_with_its_last_sample_and_the_answer_begins_with_its_first_audible_one() -> None:
    told: list[TurnMetrics] = []

    async def report(metrics: TurnMetrics) -> None:
        told.append(metrics)

    reports = Reports()
    reports.observer = TurnMetricsObserver(report, clock=lambda: reports.now, silence_s=lambda: 0.25)
    await reports.see([*ORDINARY[:-1], (100.6, SoundLeftFrame(100.64))])
    assert told[0].voice_to_voice_ms == 690
    assert dict(told[0].stages)["endpointing"] == 250
    assert dict(told[0].stages)["output"] == 90


@given(
    st.lists(st.floats(min_value=0, max_value=30), min_size=8, max_size=8),
    st.floats(min_value=0, max_value=3),
)
def test_the_stages_add_up_whatever_happened_when(times: list[float], tools: float) -> None:
    silence, *rest = times
    speaking = silence + max(times)
    moments = Moments(silence, *rest[:5], tools, rest[5], speaking)
    metrics = moments.metrics(1, Speculated())
    assert sum(ms for _, ms in metrics.stages) == metrics.voice_to_voice_ms
    assert abs(metrics.voice_to_voice_ms - round((max(*times, speaking) - silence) * 1000)) <= 1
    assert all(ms >= 0 for _, ms in metrics.stages)


async def test_turns_are_appended_as_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "turns.jsonl"
    lines = JsonLines(path, "s1")
    for turn in (1, 2):
        await lines(TurnMetrics(turn, 365, (("llm", 365),)))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(r["session"], r["turn"], r["voice_to_voice_ms"]) for r in records] == [
        ("s1", 1, 365),
        ("s1", 2, 365),
    ]
