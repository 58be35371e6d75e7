"""A whole conversation on virtual time: a user who speaks and falls silent, and everything that listens.

The recogniser, the model and the voice are fake servers behind the real services; the aggregators, the
strategies and the gate are the real ones; what the listener hears is played at the pace of real time.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, groupby
from typing import Any

import numpy as np
from aiohttp import web
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    SystemFrame,
    TTSAudioRawFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import FunctionCallParams
from pipecat.tests.utils import SleepFrame
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from pipecat_bots.context.assistant import AssistantAggregator
from pipecat_bots.context.user import Conversation, UserAggregator
from pipecat_bots.frames import AnnouncementFrame, SilenceFrame, VoiceActivityFrame
from pipecat_bots.llama_cpp_chunked_llm import LlamaCppChunkedLLMService
from pipecat_bots.llm.backpressure import ReadAheadPolicy, streamed
from pipecat_bots.magpie_websocket_tts import MagpieWebSocketTTSService
from pipecat_bots.nvidia_stt import NVidiaWebSocketSTTService
from pipecat_bots.openai_llm import NvidiaOpenAILLMService
from pipecat_bots.playout import Playout
from pipecat_bots.services import Services, assemble
from pipecat_bots.speculation.speculation import SpeculationBudget
from pipecat_bots.turn_text.phrases import BACKCHANNELS, STOP, Phrases
from pipecat_bots.turns.barge_in import BargeInStrategy, StopWordsStrategy
from pipecat_bots.turns.prosody import TurnAudio
from pipecat_bots.turns.stop import TurnEndStrategy
from pipecat_bots.turns.strategies import NothingSaidStopStrategy
from tests.bots.fakes import FakeAsr, FakeLlm, FakeTts, Step, spoken, through

NAMES = ("", "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india")
"""Words that say nothing about whether the turn is over."""
STOP_WORD = "stop"
VOCABULARY = (*NAMES, STOP_WORD)
TOOL_WORD = "india"
"""Whoever says it wants a tool used."""

Spoken = tuple[str, int]
"""A word, or silence, and its milliseconds; in brackets something that the bot says of its own accord."""


def user(script: Iterable[Spoken]) -> list[Step]:
    """Speak, with the frames a voice activity detector would make of it."""
    steps: list[Step] = []
    voiced = speaking = False
    voice_ms = quiet_ms = 0
    for word, ms in script:
        if word.startswith("("):
            steps.append(AnnouncementFrame(word[1:-1], append_to_context=False))
            continue
        for frame in spoken(word, ms=ms, vocabulary=VOCABULARY):
            steps.append(frame)
            if word:
                voice_ms, quiet_ms = voice_ms + 20, 0
            else:
                voice_ms, quiet_ms = 0, quiet_ms + 20
            if voiced is not bool(word):
                voiced = bool(word)
                steps.append(VoiceActivityFrame(voiced))
            if speaking and quiet_ms == 60:
                steps.append(SilenceFrame())
            if not speaking and voice_ms >= 200:
                speaking = True
                steps.append(VADUserStartedSpeakingFrame(start_secs=0.2))
            elif speaking and quiet_ms >= 180:
                speaking = False
                steps.append(VADUserStoppedSpeakingFrame(stop_secs=0.2))
            steps.append(SleepFrame(0.02))
    return steps


LONGEST_WAIT_S = 3.2
"""Seconds within which something follows, if anything does: longer than any turn waits to be over."""
LONGEST_REST_S = 30.0


def _rest(is_over: Callable[[], bool]) -> Iterator[Step]:
    """Yield silence until everything has been over for so long that nothing can follow any more."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + LONGEST_REST_S
    settled = loop.time()
    while loop.time() < min(settled + LONGEST_WAIT_S, ends):
        yield from (InputAudioRawFrame(bytes(640), 16000, 1), SleepFrame(0.02))
        if not is_over():
            settled = loop.time()


class ScriptedDetector:
    """Gives its verdicts in turn, each after a while."""

    def __init__(self, verdicts: Sequence[float] = (0.9,), delay_s: float = 0.04) -> None:
        self._verdicts, self._delay_s = verdicts, delay_s
        self._asked = 0

    async def probability(self, audio: TurnAudio) -> float:
        verdict = self._verdicts[self._asked % len(self._verdicts)]
        self._asked += 1
        await asyncio.sleep(self._delay_s)
        return verdict


class NumberedLlm(FakeLlm):
    """Answers each request with a number of its own; asked for a tool, it calls one first."""

    def __init__(self, first_token_s: float = 0.09, token_s: float = 0.016) -> None:
        super().__init__(token_s=token_s)
        self.first_token_s = first_token_s
        self.asked: list[list[dict[str, Any]]] = []
        """The conversation each number answers."""
        self.before_tool = ""
        """What it says before it calls a tool."""

    async def _stream(self, response: web.StreamResponse, body: dict[str, Any]) -> None:
        if not body.get("continue_final_message"):
            self.asked.append(body["messages"])
            self.reply = f"Answer {len(self.asked)} is what I have to say."
            await asyncio.sleep(self.first_token_s)
        last = body["messages"][-1]
        if last["role"] == "user" and TOOL_WORD in last["content"]:
            await self._call_tool(response, last["content"])
        else:
            await super()._stream(response, body)

    async def _call_tool(self, response: web.StreamResponse, text: str) -> None:
        if self.before_tool:
            said = {"index": 0, "delta": {"content": self.before_tool}}
            await self._event(response, {"choices": [said]})
        function = {"name": "look", "arguments": json.dumps({"text": text})}
        call = {"index": 0, "id": f"c{len(self.asked)}", "type": "function", "function": function}
        await self._event(response, {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
        finish = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
        await self._event(response, {"choices": [finish]})
        await response.write(b"data: [DONE]\n\n")


class Loudspeaker(FrameProcessor):
    """A listener's loudspeaker: plays in order, at the pace of real time, and is silent when interrupted."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[int] = []
        """The value of each stretch of audio that was audible, in order."""
        self.began: list[float] = []
        self._queue: asyncio.Queue[Frame] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._speaking = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            await self._silence()
        if isinstance(frame, SystemFrame) or direction is FrameDirection.UPSTREAM:
            await self.push_frame(frame, direction)
            return
        self._task = self._task or self.create_task(self._play(), "play")
        self._queue.put_nowait(frame)

    @property
    def is_speaking(self) -> bool:
        return self._speaking

    async def cleanup(self) -> None:
        await super().cleanup()
        if self._task is not None:
            await self.cancel_task(self._task)

    async def _silence(self) -> None:
        task, self._task = self._task, None
        self._queue = asyncio.Queue()
        if task is not None:
            await self.cancel_task(task)
        if self._speaking:
            self._speaking = False
            await self.broadcast_frame(BotStoppedSpeakingFrame)

    async def _play(self) -> None:
        while True:
            try:
                frame = await asyncio.wait_for(self._queue.get(), 0.3 if self._speaking else None)
            except TimeoutError:
                self._speaking = False
                await self.broadcast_frame(BotStoppedSpeakingFrame)
                continue
            if isinstance(frame, TTSAudioRawFrame):
                await self._sound(frame)
            await self.push_frame(frame)

    async def _sound(self, frame: TTSAudioRawFrame) -> None:
        values = np.frombuffer(frame.audio, np.int16)
        value = int(values[0])
        if value and (not self.heard or self.heard[-1] != value):
            self.heard.append(value)
        if not self._speaking:
            self._speaking = True
            self.began.append(asyncio.get_running_loop().time())
            await self.broadcast_frame(BotStartedSpeakingFrame)
        await asyncio.sleep(len(values) / frame.sample_rate)


@dataclass
class Outcome:
    """What a conversation came to."""

    messages: list[dict[str, Any]]
    asked: list[list[dict[str, Any]]]
    heard: list[int]
    """Numbers of the answers that were audible, in order."""
    answered_at: list[float]
    """When each began to be audible."""
    tools: list[str]
    tools_at: list[float]
    """When each was used."""
    waste: SpeculationBudget
    cancels: int
    overlaps: int
    """Requests to the model that came before the one before was closed."""
    done_at: float = 0.0

    @property
    def roles(self) -> str:
        """The roles of the conversation, by their first letters."""
        return "".join(m["role"][0] for m in self.messages)

    @property
    def user_said(self) -> str:
        return " ".join(m["content"] for m in self.messages if m["role"] == "user")

    @property
    def answers(self) -> list[int]:
        """Numbers of the answers in the conversation."""
        contents = [m.get("content") or "" for m in self.messages if m["role"] == "assistant"]
        return [number_of(content) for content in contents if content.startswith("Answer")]


def number_of(text: str) -> int:
    found = re.match(r"Answer (\d+)", text)
    return int(found[1]) if found else 0


def is_valid(messages: Sequence[dict[str, Any]]) -> bool:
    """Whether OpenAI's server takes them: each tool call has its result, right behind it, and no other."""
    due: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in due:
                return False
            due.remove(message["tool_call_id"])
        elif due:
            return False
        else:
            due = [call["id"] for call in message.get("tool_calls") or ()]
    return not due and messages[-1]["role"] in ("user", "tool")


def numbers_of(segments: Iterable[str]) -> list[int]:
    """The answer that each segment is of: only the first one of an answer tells its number."""
    return list(accumulate(map(number_of, segments), lambda before, number: number or before))


@dataclass
class Setting:
    """The circumstances of a conversation."""

    verdicts: Sequence[float] = (0.9,)
    verdict_s: float = 0.04
    final_s: float | Sequence[float] = 0.024
    """Time the recogniser takes for a final, in seconds; several are taken in turn."""
    lag_ms: int | Callable[[], int] | None = None
    """Lag of a plain recogniser (`FakeAsr`), in milliseconds of audio; None for one that is not plain."""
    first_token_s: float = 0.09
    voice_s: float = 0.11
    ms_per_character: int = 10
    tool_s: float = 0.0
    speculation: float = 1.0
    strategy: ReadAheadPolicy = field(default_factory=streamed)
    before_tool: str = ""
    plain: bool = False
    """True if the model's server is not llama.cpp."""
    model_url: str = ""
    """Address of another model server, in place of the numbered one."""
    instructions: str = ""
    extra: list[FrameProcessor] = field(default_factory=list)


async def converse(script: Sequence[Spoken], setting: Setting | None = None) -> Outcome:
    """Hold a conversation, and wait until everything has been said."""
    setting = setting or Setting()
    waste, context = SpeculationBudget(setting.speculation), Conversation()
    tools, tools_at, loop = list[str](), list[float](), asyncio.get_running_loop()

    async def look(params: FunctionCallParams) -> None:
        tools.append(params.arguments["text"])
        tools_at.append(loop.time())
        await asyncio.sleep(setting.tool_s)
        await params.result_callback({"found": "something"})

    schema = FunctionSchema("look", "Look.", {"text": {"type": "string"}}, ["text"])
    context.set_tools(ToolsSchema(standard_tools=[schema]))
    detector = ScriptedDetector(setting.verdicts, setting.verdict_s)
    strategies = UserTurnStrategies(
        start=[BargeInStrategy(Phrases(BACKCHANNELS["en"]))],
        stop=[
            NothingSaidStopStrategy(),
            StopWordsStrategy(Phrases(STOP["en"])),
            TurnEndStrategy(detector, waste=waste),
        ],
    )
    params = LLMUserAggregatorParams(user_turn_strategies=strategies, empty_user_turn=None)
    line = Loudspeaker()
    async with (
        FakeAsr(setting.final_s, VOCABULARY, setting.lag_ms) as asr,
        NumberedLlm(setting.first_token_s) as llm,
        FakeTts(setting.voice_s, ms_per_character=setting.ms_per_character) as tts,
    ):
        llm.before_tool = setting.before_tool
        url = setting.model_url or llm.url
        options = LlamaCppChunkedLLMService.Settings(system_instruction=setting.instructions or None)
        service = (
            NvidiaOpenAILLMService(base_url=url, model="m", strategy=setting.strategy, settings=options)
            if setting.plain
            else LlamaCppChunkedLLMService(base_url=url, strategy=setting.strategy, settings=options)
        )
        if setting.model_url:
            service.warmer.keep(context)
        service.register_function("look", look)
        processors = assemble(
            Services(
                NVidiaWebSocketSTTService(url=asr.url, eager=setting.speculation > 0),
                service,
                MagpieWebSocketTTSService(url=tts.url),
            ),
            UserAggregator(context, params=params),
            AssistantAggregator(context),
            Playout(),
            sink=[line, *setting.extra],
        )
        began = loop.time()

        def is_over() -> bool:
            return asr.is_idle and llm.is_idle and not line.is_speaking

        await through(processors, chain([SleepFrame(0.3)], user([*script, ("", 400)]), _rest(is_over)))
        answers = numbers_of(text for text, _ in tts.segments)
        heard = [answers[value - 1] for value in line.heard]
        messages = [m for m in context.get_messages() if isinstance(m, dict)]
        return Outcome(
            messages=messages,
            asked=[[m for m in asked if m["role"] != "system"] for asked in llm.asked],
            heard=[number for number, _ in groupby(heard)],
            answered_at=[at - began - 0.3 for at in line.began],
            tools=tools,
            tools_at=[at - began - 0.3 for at in tools_at],
            waste=waste,
            cancels=tts.cancels,
            overlaps=llm.overlaps,
        )
