"""An OpenAI-compatible server (vLLM) as a bot's language model: the same service, other endpoints."""

from __future__ import annotations

from typing import Any

from pipecat_bots.llama_cpp_chunked_llm import LlamaCppChunkedLLMService
from pipecat_bots.llm.backpressure import ReadAheadPolicy, streamed
from pipecat_bots.llm.client import Endpoints
from pipecat_bots.llm.settings import LlamaCppLLMSettings


class NvidiaOpenAILLMService(LlamaCppChunkedLLMService):
    """Answer through `/v1/chat/completions` of a server that is not llama.cpp, in one stream.

    It is sent OpenAI's fields, and vLLM's to switch reasoning off and to go on with an answer. Text
    that the server leaves between `<think>` and `</think>` is not spoken.

    Args:
        base_url: The server's `/v1`.
        model: The model's name.
        api_key: Its key, if it wants one.
        settings: Runtime settings.
        strategy: Treatment of a request while the voice is behind.
        kwargs: Passed to the base class.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        settings: LlamaCppLLMSettings | None = None,
        strategy: ReadAheadPolicy | None = None,
        **kwargs: Any,
    ) -> None:
        root = base_url.rstrip("/").removesuffix("/v1")
        super().__init__(
            endpoints=Endpoints(root, plain=True, api_key=api_key),
            model=model,
            settings=settings,
            strategy=strategy or streamed(),
            **kwargs,
        )
