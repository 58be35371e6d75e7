"""The three services of a bot, made from its settings, and their order in the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pipecat.processors.frame_processor import FrameProcessor

from nemotron_speech.text import Budget
from pipecat_bots.connections.outage import Dependent
from pipecat_bots.context.assistant import AssistantAggregator
from pipecat_bots.context.user import UserAggregator
from pipecat_bots.llama_cpp_chunked_llm import FIRST_CHUNK, LlamaCppChunkedLLMService
from pipecat_bots.llm.backpressure import CHUNKED, streamed
from pipecat_bots.llm.cache.slots import AlternatingSlots, OwnSlot, SharedSlots, SlotPolicy
from pipecat_bots.llm.waiting import ModelPatience
from pipecat_bots.magpie_websocket_tts import MagpieWebSocketTTSService, SpeakMode
from pipecat_bots.nvidia_stt import NVidiaWebSocketSTTService
from pipecat_bots.playout import Playout
from pipecat_bots.settings import BotSettings
from pipecat_bots.speculation.gate import AnswerGate

WHOLE_ANSWER = Budget(10**6, 10**6)


@dataclass(frozen=True, slots=True)
class Services:
    """The three services of a bot."""

    stt: NVidiaWebSocketSTTService
    llm: LlamaCppChunkedLLMService
    tts: MagpieWebSocketTTSService

    @property
    def dependents(self) -> tuple[Dependent, ...]:
        return self.stt, self.llm, self.tts


def recogniser(settings: BotSettings, *, speculative: bool = True) -> NVidiaWebSocketSTTService:
    """Return the recogniser's service; a bot whose turns are never speculated on asks for nothing ahead."""
    options = NVidiaWebSocketSTTService.Settings(language=settings.bot_asr_language)
    eager = speculative and settings.bot_speculation > 0
    return NVidiaWebSocketSTTService(url=settings.nvidia_asr_url, settings=options, eager=eager)


def voice(settings: BotSettings, mode: SpeakMode) -> MagpieWebSocketTTSService:
    options = MagpieWebSocketTTSService.Settings(
        voice=settings.bot_tts_voice,
        language=settings.bot_language,
        mode=mode if settings.bot_overlap else "batch",
        preset=settings.bot_tts_preset,
    )
    return MagpieWebSocketTTSService(url=settings.nvidia_tts_url, settings=options)


def chunked_llm(settings: BotSettings) -> LlamaCppChunkedLLMService:
    return LlamaCppChunkedLLMService(
        base_url=settings.nvidia_llama_cpp_url,
        slots=_slots(settings),
        **llm_options(settings),
    )


def _slots(settings: BotSettings) -> SlotPolicy:
    if settings.bot_llm_strategy == "chunked":
        return AlternatingSlots()
    return OwnSlot(_shared_slots(settings.nvidia_llama_cpp_url))


@cache
def _shared_slots(server: str) -> SharedSlots:
    """Return the slots of a server, for all conversations of this process."""
    return SharedSlots()


def llm_options(settings: BotSettings) -> dict[str, Any]:
    """Return what the language model services of all bots are told."""
    options = LlamaCppChunkedLLMService.Settings(
        system_instruction=settings.bot_system_prompt,
        max_tokens=settings.bot_max_tokens,
        temperature=settings.bot_temperature,
        thinking_tokens=settings.bot_thinking_tokens,
    )
    overlap = settings.bot_overlap
    strategy = CHUNKED
    if settings.bot_llm_strategy == "streamed":
        strategy = streamed(settings.bot_read_ahead_secs, settings.bot_first_text_secs if overlap else None)
    return {
        "settings": options,
        "strategy": strategy,
        "first_chunk": _first_chunk(settings.bot_first_tokens) if overlap else WHOLE_ANSWER,
        "run_ahead": settings.bot_run_ahead,
        "while_tools_run": settings.bot_tool_filler,
        "patience": ModelPatience(
            settings.bot_llm_notice_secs, settings.bot_llm_timeout_secs, settings.bot_llm_notice
        ),
        "nothing_to_say": settings.bot_nothing_to_say,
    }


def _first_chunk(most: int) -> Budget:
    return Budget(min(FIRST_CHUNK.min_tokens, most // 2), most)


def assemble(
    services: Services,
    user: UserAggregator,
    assistant: AssistantAggregator,
    playout: Playout,
    source: Sequence[FrameProcessor] = (),
    sink: Sequence[FrameProcessor] = (),
) -> list[FrameProcessor]:
    """Return the processors of a bot in their order, from the caller's audio to the words that were heard.

    Args:
        source: Processors that bring the caller's audio.
        sink: Processors behind the playout: the transport's end, the recording.
    """
    gate = AnswerGate()
    return [*source, services.stt, user, services.llm, services.tts, gate, playout, *sink, assistant]
