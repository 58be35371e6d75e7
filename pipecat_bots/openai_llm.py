"""An OpenAI-compatible server (vLLM) as a bot's language model, which fails aloud and stays usable."""

from __future__ import annotations

from typing import Any

from openai import APIConnectionError, InternalServerError
from pipecat.frames.frames import Frame, LLMTextFrame, TTSSpeakFrame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.utils.errors import ErrorCategory

from pipecat_bots.dependence import HttpDependent, Server
from pipecat_bots.llama_cpp_chunked_llm import APOLOGY
from pipecat_bots.speculative_llm import SpeculativeLLM


class NvidiaOpenAILLMService(SpeculativeLLM, HttpDependent, OpenAILLMService):
    """Pipecat's OpenAI service for a server of one's own.

    Args:
        base_url: The server's `/v1`.
        settings: Pipecat's settings; reasoning is switched off unless `extra` says otherwise.
        kwargs: Passed to Pipecat's service.
    """

    supports_developer_role = False

    def __init__(
        self, *, base_url: str, settings: OpenAILLMService.Settings | None = None, **kwargs: Any
    ) -> None:
        quiet = {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}
        store = OpenAILLMService.Settings(extra=quiet)
        if settings is not None:
            store.apply_update(settings)
        super().__init__(
            server=Server("llm", "language model", base_url),
            health_url=base_url.rstrip("/") + "/models",
            base_url=base_url,
            settings=store,
            **kwargs,
        )

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if not self.is_withdrawn(frame):
            await super().process_frame(frame, direction)

    async def push_frame(self, frame: Any, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        if isinstance(frame, LLMTextFrame):
            await self._report_recovery()
        await super().push_frame(frame, direction)

    async def push_error(
        self,
        error_msg: str,
        exception: Exception | None = None,
        fatal: bool = False,
        category: ErrorCategory | None = None,
        force_treat_as_permanent: bool = False,
    ) -> None:
        """Report an error of this turn, on the screen and aloud."""
        if isinstance(exception, (APIConnectionError, InternalServerError)):
            await self._lost(exception)
        await super().push_error(error_msg, exception, category=category or ErrorCategory.SERVER)
        if exception is not None and not self._skip_tts:
            await self.push_frame(TTSSpeakFrame(APOLOGY, append_to_context=False))
