"""Conversation with a llama.cpp server (or another OpenAI-compatible one): requests, events, answers.

Requests are values with a `body()` (`request.py`). A streamed answer is bytes fed to `ChatAnswer` or
`CompletionAnswer` (`answer.py`), which give events (`events.py`); the last one is a `Finish` or a
`ServerError`. To stop an answer, close its connection.

No event carries U+FFFD: when a token limit cuts an answer inside a character, the incomplete tail is
dropped, and a continuation makes the server generate that character again.
"""

from nemotron_speech.protocol.llama.answer import ChatAnswer, CompletionAnswer
from nemotron_speech.protocol.llama.events import (
    Event,
    Finish,
    FinishReason,
    Progress,
    ServerError,
    TextDelta,
    ThoughtDelta,
    ToolCallDelta,
)
from nemotron_speech.protocol.llama.facts import Props, parse_context_tokens, parse_error, parse_props
from nemotron_speech.protocol.llama.request import ChatRequest, CompletionRequest, Message

CHAT_PATH = "/v1/chat/completions"
COMPLETION_PATH = "/completion"
HEALTH_PATH = "/health"
PROPS_PATH = "/props"
MODELS_PATH = "/v1/models"

__all__ = [
    "CHAT_PATH",
    "COMPLETION_PATH",
    "HEALTH_PATH",
    "MODELS_PATH",
    "PROPS_PATH",
    "ChatAnswer",
    "ChatRequest",
    "CompletionAnswer",
    "CompletionRequest",
    "Event",
    "Finish",
    "FinishReason",
    "Message",
    "Progress",
    "Props",
    "ServerError",
    "TextDelta",
    "ThoughtDelta",
    "ToolCallDelta",
    "parse_context_tokens",
    "parse_error",
    "parse_props",
]
