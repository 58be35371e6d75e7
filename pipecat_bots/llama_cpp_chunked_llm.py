"""A llama.cpp server as a bot's language model, answering in chunks as the voice takes them.

The answer is streamed and cut into chunks (`nemotron_speech.text.Chunker`). Two strategies say what becomes
of the request while the voice is behind (`llm/backpressure.py`): `chunked` closes it after each chunk,
`streamed` reads on. The next request goes on after the text so far, which the server has in its cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

from loguru import logger
from pipecat.frames.frames import (
    EagerEndOfTurnCancelFrame,
    Frame,
    FunctionCallResultFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.llm_service import LLMService
from pipecat.utils.text.base_text_aggregator import TextType
from pipecat.utils.tracing.service_decorators import traced_llm

from nemotron_speech.protocol.llama.api import ChatRequest, Message, ServerError, TextDelta
from nemotron_speech.text import Budget
from pipecat_bots.connections.outage import Server
from pipecat_bots.context.window import SHRINK_TO, Verbatim, Window
from pipecat_bots.frames import ChunkedLLMContinueGenerationFrame, LLMChunkFrame
from pipecat_bots.llm.backpressure import CHUNKED, ChunkWindow, EagerChunking, ReadAheadPolicy
from pipecat_bots.llm.cache.slots import OwnSlot, SlotPolicy
from pipecat_bots.llm.cache_warmer import Warmer
from pipecat_bots.llm.calls import ToldCalls, named
from pipecat_bots.llm.chat_adapter import ChatAdapter
from pipecat_bots.llm.client import GONE, Endpoints, ModelServer
from pipecat_bots.llm.excuses import APOLOGY, INSTRUCTIONS_TOO_LONG, TOO_LONG, Excuses
from pipecat_bots.llm.filler import Filler
from pipecat_bots.llm.guesses import Guesses
from pipecat_bots.llm.incoming import Incoming
from pipecat_bots.llm.reply import FIRST_CHUNK, LATER_CHUNKS, Reply, RequestRefused
from pipecat_bots.llm.restarts import OutlivesRestarts, through_restarts
from pipecat_bots.llm.settings import LlamaCppLLMSettings, complete, given
from pipecat_bots.llm.tools import TOOL_TIMEOUT_S
from pipecat_bots.llm.waiting import STALL_S, ModelPatience, WaitNotice, unless_silent
from pipecat_bots.speculation.llm import SpeculativeLLM
from pipecat_bots.speculation.speculation import Speculation, speculation_of

__all__ = ["APOLOGY", "FIRST_CHUNK", "INSTRUCTIONS_TOO_LONG", "TOO_LONG", "LlamaCppChunkedLLMService"]

VOICE_PATIENCE_S = 29.0
"""Seconds above what the voice was given to say; a silent voice gives itself up after 4 to 28 s."""


class LlamaCppChunkedLLMService(SpeculativeLLM, ToldCalls, Excuses, OutlivesRestarts, LLMService):
    """Answer through `/v1/chat/completions` of a llama.cpp server, chunk by chunk.

    Args:
        base_url: The server, `http://host:port`.
        settings: Runtime settings.
        slots: Which of the server's slots a request goes to.
        strategy: What becomes of a request while the voice is behind.
        first_chunk: Tokens of the first chunk of an answer.
        later_chunks: Tokens of every other chunk.
        run_ahead: Chunks that the voice may have and not have spoken.
        voice_patience_s: How long a voice that gives no sign is waited for, above what it was given to say.
        while_tools_run: What is said when a tool takes longer than a moment; empty for nothing.
        patience: How long the model is waited for.
        endpoints: The server, where it is another than `base_url` says.
        model: Its model's name, where that matters.
        kwargs: Passed to Pipecat's base class.
    """

    Settings = LlamaCppLLMSettings
    adapter_class = ChatAdapter

    def __init__(
        self,
        *,
        base_url: str = "http://localhost:8000",
        settings: LlamaCppLLMSettings | None = None,
        slots: SlotPolicy | None = None,
        strategy: ReadAheadPolicy = CHUNKED,
        first_chunk: Budget = FIRST_CHUNK,
        later_chunks: Budget = LATER_CHUNKS,
        run_ahead: int = 1,
        voice_patience_s: float = VOICE_PATIENCE_S,
        while_tools_run: str = "",
        patience: ModelPatience | None = None,
        endpoints: Endpoints | None = None,
        model: str | None = None,
        **kwargs: Any,
    ) -> None:
        endpoints = endpoints or Endpoints(base_url.rstrip("/"))
        super().__init__(
            server=Server("llm", "language model", endpoints.root),
            health_url=endpoints.health,
            settings=complete(settings, model),
            # Tools of MCP servers name no time of their own.
            function_call_timeout_secs=TOOL_TIMEOUT_S,
            **kwargs,
        )
        patience = patience or ModelPatience()
        self._model = ModelServer(endpoints, slots or OwnSlot(), silence_timeout_s=patience.give_up_s)
        self._give_up_s = patience.give_up_s
        self._strategy = strategy
        self._budgets = first_chunk, later_chunks
        self._handshake = ChunkWindow(run_ahead, voice_patience_s)
        self._haste = EagerChunking(strategy.first_s)
        self._notice = WaitNotice(patience, lambda: self._haste.heard_until, self)
        self._saying = asyncio.Lock()
        self._reply: Reply | None = None
        """The answer being given."""
        self._window = Window()
        self._verbatim = Verbatim()
        self._expects_thoughts = False
        """True while the model's answers begin with thoughts that no tag opens."""
        self.warmer = Warmer(self._model, self._request, self, lambda: self._is_idle)
        self._guesses = Guesses(self._model, self, self.warmer.start)
        self._user_speaks = False
        """True while the user speaks: tool results then wait to be answered with the user's words."""
        self._user_pauses = False
        """Within a turn, which may be over in a moment."""
        self._filler = Filler(while_tools_run, self)

    @property
    def _options(self) -> LlamaCppLLMSettings:
        return cast(LlamaCppLLMSettings, self._settings)

    def can_generate_metrics(self) -> bool:
        return True

    @property
    def _may_ask_again(self) -> bool:
        return not (self._model.is_strict and self._has_said_something)

    @property
    def _is_idle(self) -> bool:
        return self._reply is None and not self._guesses.is_reading and not self._user_pauses

    async def setup(self, setup: FrameProcessorSetup) -> None:
        await super().setup(setup)
        self._model.open()
        self.warmer.start()

    async def cleanup(self) -> None:
        await super().cleanup()
        await self.warmer.stop()
        await self._guesses.close()
        await self._filler.stop()
        await self._model.close()

    # -------------------------------------------------------------------------- from the pipeline

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, ChunkedLLMContinueGenerationFrame):
            self._handshake.spoken(frame.chunk_id)
            if self._reply is not None:
                await self._say_ready(self._reply)
        elif isinstance(frame, LLMContextFrame):
            superseded = direction is FrameDirection.UPSTREAM and self._user_speaks
            if not superseded and not self.is_withdrawn(frame):
                await self._respond(frame.context)
        else:
            await self._note(frame)
            await self.push_frame(frame, direction)

    async def _note(self, frame: Frame) -> None:
        match frame:
            case InterruptionFrame():
                await self._filler.stop()
            case EagerEndOfTurnCancelFrame():
                self._guesses.note_settled()
            case UserStartedSpeakingFrame():
                self._user_speaks = True
            case UserStoppedSpeakingFrame():
                self._user_speaks = self._user_pauses = False
                self._guesses.note_settled()
            case VADUserStoppedSpeakingFrame():
                self._user_pauses = self._user_speaks
            case VADUserStartedSpeakingFrame():
                self._user_pauses = False
                self.warmer.start()

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        if isinstance(frame, FunctionCallResultFrame):
            await self._filler.stop()
        await super().push_frame(frame, direction)

    async def _respond(self, context: LLMContext) -> None:
        await self._guesses.wait_if_dear(speculation_of(context))
        await self.push_frame(LLMFullResponseStartFrame())
        await self.start_processing_metrics()
        try:
            await self.warmer.stop()
            await self._process_context(context)
        except GONE as error:
            await self._lost(error or type(error).__name__)
            if not isinstance(error, TimeoutError):  # who hangs once is not asked the same again
                self._owe(context)
            await self._apologise(f"{self._server.name} lost: {error or type(error).__name__}")
        except RequestRefused as refusal:
            await self._refused(refusal, context)
        finally:
            await self.stop_processing_metrics()
            await self.push_frame(LLMFullResponseEndFrame())

    async def _refused(self, refusal: RequestRefused, context: LLMContext) -> None:
        reason = f"the {self._server.name} refused: {refusal}"
        if refusal.error.code == 503:
            await self._lost(refusal)
            self._owe(context)
        if not refusal.error.is_context_overflow:
            await self._apologise(reason)
        elif self._window.is_full_of_instructions((await self._whole(context))[0]):
            await self._apologise(f"{reason}; instructions and tools are most of it", INSTRUCTIONS_TOO_LONG)
        else:
            await self._apologise(reason, TOO_LONG, answers=True)

    @traced_llm
    async def _process_context(self, context: LLMContext) -> None:
        await self.start_ttfb_metrics()
        self._notice.begin()
        reply = await self._reply_to(context)
        try:
            reply = await self._answer_whole(reply, context)
        finally:
            self._verbatim.generated(reply.text, reply.taken_back)
            self._expects_thoughts = reply.had_orphan or (self._expects_thoughts and not reply.begun)
            self._window.counted(reply.request.messages, reply.prompt_tokens)
            self._model.learn_context(reply.ran_out_at)
            await self.start_llm_usage_metrics(reply.usage)
        if reply.tool_calls:
            await self._call_tools(reply, context)
        elif not reply.has_words:
            logger.warning(f"{self}: the model gave an answer without words")
            await self._admit_nothing(reply.text)
        await self._model.learn_context_tokens()

    async def _answer_whole(self, reply: Reply, context: LLMContext) -> Reply:
        """Answer, to a shorter conversation where the whole is too long; return the reply it came to."""
        while True:
            try:
                await self._answer(reply, speculation_of(context))
                return reply
            except RequestRefused as refusal:
                if reply.begun or not refusal.error.is_context_overflow:
                    raise
                self._model.learn_context(refusal.error.context_tokens)
                whole, _ = await self._whole(context)
                if not self._window.shrink(whole, *_too_much(refusal.error, reply)):
                    raise
                logger.info(
                    f"{self}: the conversation is too long for the server; its beginning was left out"
                )
                reply = await self._reply_to(context)

    async def _reply_to(self, context: LLMContext) -> Reply:
        request = await self._request(context)
        return Reply(request, *self._budgets, expects_thoughts=self._expects_thoughts)

    async def _answer(self, reply: Reply, guess: Speculation | None) -> None:
        """Speak the reply chunk by chunk; the request is closed while the voice is too far behind."""
        self._handshake.begin()
        self._haste.begin()
        self._reply = reply
        try:
            while not reply.over:
                if not reply.finished:
                    await self._generate(reply, guess)
                while not reply.over and (reply.finished or not self._is_low(reply)):
                    await self._handshake.news()
                    await self._say_ready(reply)
        finally:
            self._reply = None

    @through_restarts
    async def _generate(self, reply: Reply, guess: Speculation | None) -> None:
        """Receive more of the reply until that is enough, speaking what is complete."""
        incoming = await self._guesses.open(reply.next_request(), guess)
        try:
            async with self._notice.while_waiting():
                await self._receive(incoming, reply)
        except RequestRefused as refusal:
            if not (reply.begun and refusal.error.is_context_overflow):
                raise
            logger.info(f"{self}: the server has no room for the rest of the answer")
            self._model.learn_context(refusal.error.context_tokens)
            reply.cut_short()
        finally:
            if not reply.finished:
                reply.abandon_request()
            await self._guesses.release(incoming)

    async def _receive(self, incoming: Incoming, reply: Reply) -> None:
        tick_s = min(STALL_S, self._give_up_s)
        async for events in unless_silent(incoming.reads(tick_s), self._give_up_s):
            if events:
                await self._report_recovery()
            if any(isinstance(event, TextDelta) and event.generated for event in events):
                await self.stop_ttfb_metrics()
            reply.take(events, in_haste=self._is_in_haste(reply, has_stalled=not events))
            await self._say_ready(reply)
            if not reply.finished and self._has_enough(reply):
                await incoming.close()
                return

    def _is_in_haste(self, reply: Reply, *, has_stalled: bool) -> bool:
        """Return whether the listener waits for the next chunk, and the voice for nothing else."""
        awaited = reply.has_come and not reply.chunks and not self._handshake.must_wait
        return awaited and (has_stalled or self._haste.is_due(asyncio.get_running_loop().time()))

    def _has_enough(self, reply: Reply) -> bool:
        enough = self._strategy.is_enough(reply.waiting_characters, self._handshake.must_wait)
        return enough and self._model.can_go_on(at_any_price=self._strategy.is_in_chunks)

    def _is_low(self, reply: Reply) -> bool:
        behind = self._handshake.must_wait
        return self._strategy.is_low(len(reply.chunks), reply.waiting_characters, behind)

    async def _say_ready(self, reply: Reply) -> None:
        async with self._saying:  # the voice's answers and the model's text come by two ways
            while reply.chunks and not self._handshake.must_wait:
                await self._say(reply.next_chunk())

    async def _say(self, chunk: str) -> None:
        if self.reports_ttfat:
            await self.stop_ttfat_metrics()
        if self._skip_tts:
            await self.push_frame(LLMTextFrame(chunk))
        elif chunk.strip():
            frame = LLMChunkFrame(chunk, TextType.SENTENCE)
            self._handshake.gave(frame.id, chunk)
            self._haste.gave(chunk, asyncio.get_running_loop().time())
            await self.push_frame(frame)

    # ------------------------------------------------------------------------------ the conversation

    async def _whole(
        self, context: LLMContext, system: str | None = None
    ) -> tuple[list[Message], Sequence[Mapping[str, Any]]]:
        """Return all of the conversation, the model's own words as they were, and the tools it may use."""
        params: Any = await self.get_llm_adapter().get_llm_invocation_params(
            context,
            system_instruction=system or given(self._options.system_instruction),
            convert_developer_to_user=True,
        )
        tools = params.get("tools")
        return self._verbatim.restore(params["messages"]), tools if isinstance(tools, list) else ()

    async def _request(self, context: LLMContext, system: str | None = None) -> ChatRequest:
        settings = self._options
        messages, tools = await self._whole(context, system)
        thinking, max_tokens = given(settings.thinking_tokens) or 0, given(settings.max_tokens)
        room = self._model.context_tokens
        if room:
            max_tokens = min(max_tokens or 1024, room // 4)
        return ChatRequest(
            messages=self._window.fit(messages, room, max_tokens if room else 0, tools),
            model=given(settings.model) or "default",
            max_tokens=max_tokens + thinking if max_tokens else None,
            temperature=given(settings.temperature),
            top_p=given(settings.top_p),
            seed=given(settings.seed),
            tools=tools,
            thinking=thinking > 0,
            thinking_tokens=thinking or None,
            extra=given(settings.extra) or {},
        )

    async def run_inference(
        self,
        context: LLMContext,
        max_tokens: int | None = None,
        system_instruction: str | None = None,
        response_schema: dict[str, Any] | None = None,
    ) -> str | None:
        """Answer once, outside the conversation: for summaries and checks. Raises as HTTP does."""
        request = await self._request(context, system_instruction)
        if max_tokens is not None:
            request = replace(request, max_tokens=max_tokens)
        if response_schema is not None:
            schema = {"name": "response", "schema": response_schema, "strict": True}
            form = {"type": "json_schema", "json_schema": schema}
            request = replace(request, extra={**request.extra, "response_format": form})
        reply = Reply(request)
        async with aclosing(self._model.events(request)) as reads:
            async for events in reads:
                reply.take(events)
        return reply.text or None

    # ---------------------------------------------------------------------------------------- tools

    async def _call_tools(self, reply: Reply, context: LLMContext) -> None:
        if not self._skip_tts and not reply.begun:
            self._filler.start()
        await self.run_function_calls(named(reply.tool_calls, context))


def _too_much(error: ServerError, reply: Reply) -> tuple[float, float | None]:
    """Return a too long conversation's size limit and its size; in tokens if known, else in characters."""
    if error.prompt_tokens and error.context_tokens:
        return error.context_tokens * SHRINK_TO, error.prompt_tokens
    characters = sum(len(str(message)) for message in reply.request.messages)
    return characters * SHRINK_TO, characters
