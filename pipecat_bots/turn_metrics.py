"""How long each answer took to come, stage by stage: for the log, the page and a file of JSON lines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from loguru import logger
from pipecat.frames.frames import BotStartedSpeakingFrame, BotStoppedSpeakingFrame, InterruptionFrame
from pipecat.observers.base_observer import FramePushed
from pipecat.observers.user_bot_latency_observer import (
    LatencyBreakdown,
    MeasuredFrom,
    UserBotLatencyObserver,
)

_STAGES = {
    "endpointing_wait": "endpointing",
    "transcription": "transcription",
    "turn_detection": "turn detection",
    "llm_inference": "llm",
    "llm_tool_call": "llm",
    "function_handler": "tools",
    "sentence_aggregation": "llm",
    "awaiting_speakable_text": "llm",
    "speech_synthesis": "tts",
    "output_transport": "output",
}
ORDER = ("endpointing", "transcription", "turn detection", "llm", "tools", "tts", "output")


@dataclass(frozen=True, slots=True)
class TurnMetrics:
    """One answered turn: the last sound of the user to the first of the bot, in milliseconds."""

    turn: int
    voice_to_voice_ms: int
    stages: tuple[tuple[str, int], ...]
    interrupted: bool = False

    def message(self) -> dict[str, Any]:
        """The turn as the page receives it."""
        return {
            "type": "turn-metrics",
            "turn": self.turn,
            "voice_to_voice_ms": self.voice_to_voice_ms,
            "interrupted": self.interrupted,
            "stages": [{"name": name, "ms": ms} for name, ms in self.stages],
        }

    def line(self) -> str:
        """The turn as the log has it."""
        stages = ", ".join(f"{name} {ms}" for name, ms in self.stages)
        end = "; interrupted" if self.interrupted else ""
        return f"turn {self.turn}: voice to voice {self.voice_to_voice_ms} ms ({stages}){end}"


def turn_metrics(turn: int, breakdown: LatencyBreakdown) -> TurnMetrics:
    """Sum Pipecat's breakdown up by stage; what it cannot name before the first audio is the model's.

    The voice's share is its own measure, text to first audio, because Pipecat only knows text as single
    tokens, which a chunked answer does not have.
    """
    seconds: dict[str, float] = dict.fromkeys(ORDER, 0.0)
    total = unnamed = 0.0
    for part in breakdown.contributions:
        total += part.duration_secs
        if stage := _STAGES.get(part.key):
            seconds[stage] += part.duration_secs
        else:
            unnamed += part.duration_secs
    tts = next((t.duration_secs for t in breakdown.ttfb if "TTSService" in t.processor), 0.0)
    if not seconds["tts"] and tts:
        seconds["tts"] = min(tts, unnamed + seconds["llm"])
        unnamed -= seconds["tts"]
    seconds["llm"] = max(0.0, seconds["llm"] + unnamed)
    ms = {name: round(seconds[name] * 1000) for name in ORDER}
    stages = tuple((name, ms[name]) for name in ORDER if ms[name] or name != "tools")
    return TurnMetrics(turn, round(total * 1000), stages)


def _is_answer(breakdown: LatencyBreakdown) -> bool:
    """Whether a language model was asked: what the bot says on its own account is no answer."""
    return any(
        part.key in ("transcription", "turn_detection", "llm_inference") for part in breakdown.contributions
    )


class TurnMetricsObserver(UserBotLatencyObserver):
    """Report each answered turn when the bot begins to speak, and again if it is interrupted.

    Args:
        report: Takes a turn's metrics as they become known.
        finished: Takes them once, when the answer is over.
    """

    def __init__(
        self,
        report: Callable[[TurnMetrics], Awaitable[None]],
        finished: Callable[[TurnMetrics], Awaitable[None]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._report = report
        self._finished = finished
        self._turn = 0
        self._speaking = False
        self._current: TurnMetrics | None = None
        self.add_event_handler("on_latency_breakdown", self._on_breakdown)

    async def on_push_frame(self, data: FramePushed) -> None:
        await super().on_push_frame(data)
        if isinstance(data.frame, InterruptionFrame):
            await self._end(interrupted=self._speaking)
        elif isinstance(data.frame, BotStartedSpeakingFrame):
            self._speaking = True
        elif isinstance(data.frame, BotStoppedSpeakingFrame):
            self._speaking = False

    async def close(self) -> None:
        """Finish the last turn."""
        await self._end(interrupted=False)

    async def _on_breakdown(self, _: UserBotLatencyObserver, breakdown: LatencyBreakdown) -> None:
        if breakdown.measured_from is not MeasuredFrom.USER_SILENCE or not _is_answer(breakdown):
            return
        await self._end(interrupted=False)
        self._turn += 1
        self._current = turn_metrics(self._turn, breakdown)
        logger.info(self._current.line())
        await self._report(self._current)

    async def _end(self, interrupted: bool) -> None:
        current, self._current = self._current, None
        if current is None:
            return
        if interrupted:
            current = replace(current, interrupted=True)
            await self._report(current)
        if self._finished is not None:
            await self._finished(current)


class JsonLines:
    """Append each turn to a file."""

    def __init__(self, path: Path, session_id: str | None) -> None:
        self._path = path
        self._session_id = session_id

    async def __call__(self, metrics: TurnMetrics) -> None:
        await asyncio.to_thread(self._append, {"session": self._session_id, **metrics.message()})

    def _append(self, record: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
