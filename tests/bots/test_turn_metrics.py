from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipecat.frames.frames import BotStartedSpeakingFrame, BotStoppedSpeakingFrame, Frame, InterruptionFrame
from pipecat.observers.base_observer import FramePushed
from pipecat.observers.user_bot_latency_observer import (
    LatencyBreakdown,
    LatencyContribution,
    LatencyOwnerKind,
    MeasuredFrom,
    TTFBBreakdownMetrics,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from pipecat_bots.turn_metrics import JsonLines, TurnMetrics, TurnMetricsObserver, turn_metrics


def breakdown(tts_ttfb_s: float | None = None, **parts_s: float) -> LatencyBreakdown:
    contributions = [
        LatencyContribution(
            key=key,
            label=key,
            owner="x",
            owner_kind=LatencyOwnerKind.SERVICE,
            start_time=0.0,
            duration_secs=secs,
        )
        for key, secs in parts_s.items()
    ]
    ttfb = (
        []
        if tts_ttfb_s is None
        else [
            TTFBBreakdownMetrics(processor=processor, start_time=0.0, duration_secs=secs)
            for processor, secs in (
                ("NVidiaWebSocketSTTService#0", 0.23),  # "TTS" is in its name too
                ("MagpieWebSocketTTSService#0", tts_ttfb_s),
            )
        ]
    )
    return LatencyBreakdown(ttfb=ttfb, contributions=contributions, measured_from=MeasuredFrom.USER_SILENCE)


PARTS = {"endpointing_wait": 0.2, "transcription": 0.025, "turn_detection": 0.04, "llm_inference": 0.1}


def test_the_page_gets_every_stage_and_they_add_up() -> None:
    metrics = turn_metrics(3, breakdown(0.06, **PARTS, pipeline=0.14, output_transport=0.007))
    assert metrics.message() == {
        "type": "turn-metrics",
        "turn": 3,
        "voice_to_voice_ms": 512,
        "interrupted": False,
        "stages": [
            {"name": "endpointing", "ms": 200},
            {"name": "transcription", "ms": 25},
            {"name": "turn detection", "ms": 40},
            {"name": "llm", "ms": 180},
            {"name": "tts", "ms": 60},
            {"name": "output", "ms": 7},
        ],
    }


def test_a_named_synthesis_is_taken_as_it_is() -> None:
    stages = dict(turn_metrics(1, breakdown(0.5, **PARTS, speech_synthesis=0.06)).stages)
    assert (stages["llm"], stages["tts"]) == (100, 60)


class Reports:
    def __init__(self) -> None:
        self.told: list[tuple[int, bool]] = []
        self.finished: list[tuple[int, bool]] = []
        self.observer = TurnMetricsObserver(self.report, self.finish)

    async def report(self, metrics: TurnMetrics) -> None:
        self.told.append((metrics.turn, metrics.interrupted))

    async def finish(self, metrics: TurnMetrics) -> None:
        self.finished.append((metrics.turn, metrics.interrupted))

    async def see(self, *frames: Frame) -> None:
        for frame in frames:
            node = FrameProcessor()
            pushed = FramePushed(
                source=node, destination=node, frame=frame, direction=FrameDirection.DOWNSTREAM, timestamp=0
            )
            await self.observer.on_push_frame(pushed)


async def test_a_turn_is_reported_at_once_and_again_when_it_is_interrupted() -> None:
    reports = Reports()
    await reports.observer._on_breakdown(reports.observer, breakdown(0.06, **PARTS))
    await reports.see(BotStartedSpeakingFrame(), InterruptionFrame())
    assert reports.told == [(1, False), (1, True)]
    assert reports.finished == [(1, True)]


async def test_a_turn_heard_to_its_end_was_not_interrupted() -> None:
    reports = Reports()
    await reports.observer._on_breakdown(reports.observer, breakdown(0.06, **PARTS))
    await reports.see(BotStartedSpeakingFrame(), BotStoppedSpeakingFrame(), InterruptionFrame())
    await reports.observer._on_breakdown(reports.observer, breakdown(0.06, **PARTS))
    await reports.observer.close()
    assert reports.told == [(1, False), (2, False)]
    assert reports.finished == [(1, False), (2, False)]


async def test_a_greeting_is_no_turn() -> None:
    reports = Reports()
    greeting = breakdown(0.06, **PARTS).model_copy(update={"measured_from": MeasuredFrom.CLIENT_CONNECTED})
    await reports.observer._on_breakdown(reports.observer, greeting)
    await reports.observer.close()
    assert reports.told == reports.finished == []


async def test_an_announcement_is_no_turn() -> None:
    reports = Reports()
    await reports.observer._on_breakdown(
        reports.observer, breakdown(0.06, endpointing_wait=0.2, pipeline=2.0)
    )
    await reports.observer.close()
    assert reports.told == reports.finished == []


async def test_turns_are_appended_as_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "turns.jsonl"
    lines = JsonLines(path, "s1")
    for turn in (1, 2):
        await lines(turn_metrics(turn, breakdown(0.06, **PARTS)))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(r["session"], r["turn"], r["voice_to_voice_ms"]) for r in records] == [
        ("s1", 1, pytest.approx(365)),
        ("s1", 2, pytest.approx(365)),
    ]
