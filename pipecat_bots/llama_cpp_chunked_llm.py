"""A llama.cpp server as a bot's language model, answering in chunks that the voice asks for.

The answer is streamed until a chunk is complete (`nemotron_speech.text.Chunker`); then the request is closed,
the chunk spoken, and the next request goes on after the text so far, which the server has in its cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, cast

import aiohttp
from loguru import logger
from pipecat.frames.frames import (
    Frame,
    FunctionCallFromLLM,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSSpeakFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings
from pipecat.utils.errors import ErrorCategory
from pipecat.utils.text.base_text_aggregator import TextType
from pipecat.utils.tracing.service_decorators import traced_llm
from pipecat.utils.types import NOT_GIVEN, NotGiven

from nemotron_speech.errors import PeerError
from nemotron_speech.protocol.llama import (
    CHAT_PATH,
    HEALTH_PATH,
    ChatAnswer,
    ChatRequest,
    Message,
    TextDelta,
    parse_error,
)
from nemotron_speech.protocol.slots import SingleSlot, SlotPolicy
from nemotron_speech.text import Budget, Chunker
from pipecat_bots.dependence import HttpDependent, Server
from pipecat_bots.frames import ChunkedLLMContinueGenerationFrame, LLMChunkFrame
from pipecat_bots.handshake import Handshake
from pipecat_bots.reply import Refused, Reply
from pipecat_bots.speculative_llm import SpeculativeLLM

FIRST_CHUNK = Budget(10, 24)
LATER_CHUNKS = Budget(1, 96)
VOICE_TIMEOUT_S = 30.0
"""Longer than any segment takes to synthesise."""
CONNECT_TIMEOUT_S = 3.0
SILENCE_TIMEOUT_S = 60.0
"""Between two events of a stream; a prompt being evaluated reports its progress far more often."""
APOLOGY = "Sorry, my language model is not answering. Please try again in a moment."

_GONE = (aiohttp.ClientError, OSError, TimeoutError, PeerError)


@dataclass
class LlamaCppLLMSettings(LLMSettings):
    """Runtime settings.

    Parameters:
        thinking: Whether a reasoning model may think before it answers.
    """

    thinking: bool | NotGiven = field(default_factory=lambda: NOT_GIVEN)


class LlamaCppChunkedLLMService(SpeculativeLLM, HttpDependent, LLMService):
    """Answer through `/v1/chat/completions` of a llama.cpp server, chunk by chunk.

    Args:
        base_url: The server, `http://host:port`.
        settings: Runtime settings.
        slots: Which of the server's slots a request goes to.
        first_chunk: Tokens of the first chunk of an answer.
        later_chunks: Tokens of every other chunk.
        run_ahead: Chunks that may wait for the voice before the generation does.
        voice_timeout_s: When a voice that gives no sign is no longer waited for.
        kwargs: Passed to Pipecat's base class.
    """

    Settings = LlamaCppLLMSettings

    def __init__(
        self,
        *,
        base_url: str = "http://localhost:8000",
        settings: LlamaCppLLMSettings | None = None,
        slots: SlotPolicy | None = None,
        first_chunk: Budget = FIRST_CHUNK,
        later_chunks: Budget = LATER_CHUNKS,
        run_ahead: int = 1,
        voice_timeout_s: float = VOICE_TIMEOUT_S,
        **kwargs: Any,
    ) -> None:
        base_url = base_url.rstrip("/")
        super().__init__(
            server=Server("llm", "language model", base_url),
            health_url=base_url + HEALTH_PATH,
            settings=_complete(settings),
            **kwargs,
        )
        self._chat_url = base_url + CHAT_PATH
        self._slots = slots or SingleSlot()
        self._budgets = first_chunk, later_chunks
        self._handshake = Handshake(run_ahead, voice_timeout_s)
        self._http: aiohttp.ClientSession | None = None

    @property
    def _options(self) -> LlamaCppLLMSettings:
        return cast(LlamaCppLLMSettings, self._settings)

    def can_generate_metrics(self) -> bool:
        return True

    async def setup(self, setup: FrameProcessorSetup) -> None:
        await super().setup(setup)
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_TIMEOUT_S
        )
        self._http = aiohttp.ClientSession(timeout=timeout)

    async def cleanup(self) -> None:
        await super().cleanup()
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    # -------------------------------------------------------------------------- from the pipeline

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, ChunkedLLMContinueGenerationFrame):
            self._handshake.spoken(frame.chunk_id)
        elif isinstance(frame, LLMContextFrame):
            if not self.is_withdrawn(frame):
                await self._respond(frame.context)
        else:
            await self.push_frame(frame, direction)

    async def _respond(self, context: LLMContext) -> None:
        await self.push_frame(LLMFullResponseStartFrame())
        await self.start_processing_metrics()
        try:
            await self._process_context(context)
        except _GONE as error:
            await self._lost(error or type(error).__name__)
            await self._apologise(f"{self._server.name} lost: {error or type(error).__name__}")
        except Refused as refusal:
            if refusal.error.code == 503:
                await self._lost(refusal)
            await self._apologise(f"the {self._server.name} refused: {refusal}")
        finally:
            await self.stop_processing_metrics()
            await self.push_frame(LLMFullResponseEndFrame())

    async def _apologise(self, reason: str) -> None:
        """Fail aloud: the next turn may work, so this is no more than an error of this one."""
        await self.push_error(reason, category=ErrorCategory.SERVER)
        if not self._skip_tts:
            await self.push_frame(TTSSpeakFrame(APOLOGY, append_to_context=False))

    @traced_llm
    async def _process_context(self, context: LLMContext) -> None:
        await self.start_ttfb_metrics()
        reply = await self._reply(context)
        try:
            reply = await self._answer_whole(reply, context)
        finally:
            await self.start_llm_usage_metrics(reply.usage)
        await self._call_tools(reply, context)

    async def _answer_whole(self, reply: Reply, context: LLMContext) -> Reply:
        """Answer, to a shorter conversation where the whole is too long; return the reply it came to."""
        while True:
            try:
                await self._answer(reply)
                return reply
            except Refused as refusal:
                if reply.begun or not refusal.error.is_context_overflow or not _shorten(context):
                    raise
                logger.info(f"{self}: the conversation is too long for the server; its beginning was dropped")
                reply = await self._reply(context)

    async def _reply(self, context: LLMContext) -> Reply:
        return Reply(await self._request(context), Chunker(*self._budgets))

    async def _answer(self, reply: Reply) -> None:
        """Speak the reply chunk by chunk; the request is closed while the voice is behind."""
        self._handshake.begin()
        while not reply.over:
            if not reply.finished:
                await self._generate(reply)
            while reply.chunks:
                await self._handshake.room()
                await self._say_ready(reply)
            if not reply.finished:
                await self._handshake.room()

    async def _generate(self, reply: Reply) -> None:
        """Receive more of the reply until the voice is behind, speaking what is complete."""
        async with aclosing(self._stream(reply)) as reads:
            async for _ in reads:
                await self._say_ready(reply)
                if self._handshake.must_wait:
                    return

    async def _say_ready(self, reply: Reply) -> None:
        while reply.chunks and not self._handshake.must_wait:
            await self._say(reply.chunks.popleft())

    async def _say(self, chunk: str) -> None:
        if self.reports_ttfat:
            await self.stop_ttfat_metrics()
        if self._skip_tts:
            await self.push_frame(LLMTextFrame(chunk))
        elif chunk.strip():
            frame = LLMChunkFrame(chunk, TextType.SENTENCE)
            self._handshake.gave(frame.id)
            await self.push_frame(frame)

    # ------------------------------------------------------------------------------ to the server

    async def _stream(self, reply: Reply) -> AsyncGenerator[None, None]:
        """Receive one request into the reply, read by read; closing the generator closes the request."""
        assert self._http is not None
        slot = await self._slot()
        body = replace(reply.next_request(), id_slot=slot).body()
        ended = False
        try:
            async with self._http.post(self._chat_url, json=body) as response:
                if response.status != 200:
                    raise Refused(parse_error(response.status, await response.read()))
                await self._report_recovery()
                answer = ChatAnswer()
                async for data in response.content.iter_any():
                    events = answer.feed(data)
                    if any(isinstance(event, TextDelta) for event in events):
                        await self.stop_ttfb_metrics()
                    reply.take(events)
                    ended = reply.finished
                    yield
                    if ended:
                        return
                reply.take(answer.end())
                ended = True
                yield
        finally:
            self._slots.release(slot, asyncio.get_running_loop().time())
            if not ended:
                reply.abandon_request()

    async def _slot(self) -> int:
        lease = self._slots.acquire(asyncio.get_running_loop().time())
        if lease.wait_s:
            await asyncio.sleep(lease.wait_s)
        return lease.slot

    async def _request(self, context: LLMContext, system: str | None = None) -> ChatRequest:
        settings = self._options
        params = await self.get_llm_adapter().get_llm_invocation_params(
            context,
            system_instruction=system or _given(settings.system_instruction),
            convert_developer_to_user=True,
        )
        return ChatRequest(
            messages=cast(Sequence[Message], params["messages"]),
            model=_given(settings.model) or "default",
            max_tokens=_given(settings.max_tokens),
            temperature=_given(settings.temperature),
            top_p=_given(settings.top_p),
            seed=_given(settings.seed),
            tools=_tools(params.get("tools")),
            thinking=_given(settings.thinking),
            extra=_given(settings.extra) or {},
        )

    async def run_inference(
        self,
        context: LLMContext,
        max_tokens: int | None = None,
        system_instruction: str | None = None,
        response_schema: dict[str, Any] | None = None,
    ) -> str | None:
        """Answer once, outside the conversation: for summaries and checks. Raises as HTTP does."""
        assert self._http is not None
        request = await self._request(context, system_instruction)
        if max_tokens is not None:
            request = replace(request, max_tokens=max_tokens)
        if response_schema is not None:
            schema = {"name": "response", "schema": response_schema, "strict": True}
            form = {"type": "json_schema", "json_schema": schema}
            request = replace(request, extra={**request.extra, "response_format": form})
        text, answer = "", ChatAnswer()
        async with self._http.post(self._chat_url, json=request.body()) as response:
            if response.status != 200:
                raise Refused(parse_error(response.status, await response.read()))
            async for data in response.content.iter_any():
                text += "".join(e.text for e in answer.feed(data) if isinstance(e, TextDelta))
        return text or None

    async def _call_tools(self, reply: Reply, context: LLMContext) -> None:
        calls = [
            FunctionCallFromLLM(call.name, call.id, arguments, context)
            for call in reply.tool_calls
            if (arguments := call.parsed()) is not None
        ]
        if calls:
            await self.run_function_calls(calls)


def _complete(settings: LlamaCppLLMSettings | None) -> LlamaCppLLMSettings:
    store = LlamaCppLLMSettings(
        model="default",
        system_instruction=None,
        temperature=None,
        max_tokens=1024,
        top_p=None,
        top_k=None,
        frequency_penalty=None,
        presence_penalty=None,
        seed=None,
        filter_incomplete_user_turns=False,
        user_turn_completion_config=None,
        use_provider_thinking_default=False,
        thinking=False,
    )
    if settings is not None:
        store.apply_update(settings)
    return store


def _given(value: Any) -> Any:
    return None if isinstance(value, NotGiven) else value


def _tools(tools: Any) -> Sequence[Mapping[str, Any]]:
    return tools if isinstance(tools, list) else ()


def _shorten(context: LLMContext) -> bool:
    """Drop the older half of the conversation, from one user message to another; whether there was any."""
    messages = context.get_messages()
    users = [i for i, m in enumerate(messages) if isinstance(m, dict) and m.get("role") == "user"]
    if len(users) < 2:
        return False
    kept = [
        m for m in messages[: users[0]] if isinstance(m, dict) and m.get("role") in ("system", "developer")
    ]
    context.set_messages([*kept, *messages[users[len(users) // 2] :]])
    return True
