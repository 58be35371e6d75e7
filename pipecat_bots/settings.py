"""Settings of the bots, read from the environment, each with its default and its meaning."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from nemotron_speech.errors import ConfigurationError
from nemotron_speech.protocol.llama.answer_words import NOTHING_TO_SAY
from nemotron_speech.settings import Settings, read

SYSTEM_PROMPT = (
    "You are a helpful voice assistant. Your answers are spoken aloud: keep them short and natural, one to "
    "three sentences, in plain words, without lists, markup, emoji or special characters. If you did not "
    "understand the user, say so and ask."
)


def _nothing(value: Any) -> Any:
    return "" if isinstance(value, str) and value.strip().lower() == "none" else value


Words = Annotated[str, BeforeValidator(_nothing)]
"""Text that may be nothing at all: `none`, since an empty variable counts as not set."""
Address = Annotated[str, Field(pattern=r"^(ws|http)s?://[^\s/]+\S*$")]
Level = Annotated[
    Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"],
    BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
]


class BotSettings(Settings):
    """The bots (each variable is the field's name in capitals)."""

    nvidia_asr_url: Address = Field(
        default="ws://localhost:8080", description="Streaming speech recognition server."
    )
    nvidia_tts_url: Address = Field(
        default="http://localhost:8001", description="Streaming speech synthesis server."
    )
    nvidia_llama_cpp_url: Address = Field(
        default="http://localhost:8000",
        description="llama.cpp server (bot_interleaved_streaming, bot_simple_vad).",
    )
    nvidia_llm_url: Address = Field(
        default="http://localhost:8000/v1",
        description="OpenAI-compatible server, vLLM for example (bot_vllm).",
    )
    nvidia_llm_model: str = Field(
        default="nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", description="Its model's name (bot_vllm)."
    )
    nvidia_llm_api_key: str = Field(
        default="not-needed", description="Its API key, if it wants one (bot_vllm)."
    )

    bot_system_prompt: str = Field(
        default=SYSTEM_PROMPT, description="What the language model is told it is."
    )
    bot_greeting: Words = Field(
        default="Hello! How can I help you?",
        description="What the bot says when a caller is there; `none` for nothing.",
    )
    bot_language: str = Field(
        default="en", description="Language of the voice, and of the user if BOT_ASR_LANGUAGE names no other."
    )
    bot_tts_voice: str | None = Field(default=None, description="Voice; the server's first one if not set.")
    bot_tts_preset: Literal["aggressive", "balanced", "conservative"] | None = Field(
        default=None, description="Speed against quality of streamed speech; the server's default if not set."
    )
    bot_asr_language: str | None = Field(
        default=None, description="Language of the recogniser; its default if not set."
    )
    bot_max_tokens: int = Field(default=1024, ge=1, description="Tokens an answer may have.")
    bot_temperature: float | None = Field(
        default=None, ge=0, description="Sampling temperature; the server's default if not set."
    )
    bot_llm_strategy: Literal["streamed", "chunked"] = Field(
        default="streamed",
        description="streamed: one request for a whole answer, on one llama.cpp slot; chunked: one for each "
        "chunk the voice takes, on two slots in turn (--parallel 2) that rest two seconds each "
        "(docs/decisions/llm-strategy.md).",
    )
    bot_read_ahead_secs: float = Field(
        default=60.0,
        ge=0,
        description="Seconds of speech a streamed answer may be ahead of the voice before it is stopped, "
        "to go on when the voice has caught up; not where the server would read everything again for that.",
    )
    bot_thinking_tokens: int = Field(
        default=0,
        ge=0,
        description="Tokens a reasoning model may think before it answers, never spoken; 0 for none.",
    )
    bot_warm_up: bool = Field(
        default=True,
        description="Have the language model read the conversation while nobody waits for an answer.",
    )
    bot_tools: list[Literal["time", "units"]] = Field(
        default=["time", "units"],
        description="Built-in tools of the language model, as a JSON list: time, units.",
    )
    bot_mcp_servers: dict[str, dict[str, Any]] = Field(
        default={},
        description="Further tools, from MCP servers: a JSON object of names to "
        '{"command": …, "args": […]} or {"url": …}.',
    )
    bot_tool_filler: Words = Field(
        default="Let me look that up.",
        description="What is said while a tool takes longer than a moment; `none` for nothing.",
    )
    bot_llm_notice_secs: float = Field(
        default=8.0,
        gt=0,
        description="Seconds without a word of the language model after which the bot says BOT_LLM_NOTICE.",
    )
    bot_llm_notice: Words = Field(
        default="One moment please, I am still thinking about that.",
        description="What is said while the language model takes long; `none` for nothing.",
    )
    bot_llm_timeout_secs: float = Field(
        default=20.0,
        gt=0,
        description="Seconds without a sign of the language model's server after which an answer is given "
        "up and apologised for.",
    )
    bot_nothing_to_say: Words = Field(
        default=NOTHING_TO_SAY,
        description="What is said where the language model answers without words; `none` for nothing.",
    )
    bot_run_ahead: int = Field(
        default=1,
        ge=1,
        description="Chunks of an answer that may wait for the voice before the generation does.",
    )
    bot_first_tokens: int = Field(
        default=24,
        ge=4,
        description="Tokens of the first chunk of an answer at most.",
    )
    bot_first_text_secs: float = Field(
        default=0.03,
        ge=0,
        description="How long the text of a streamed answer is gathered before its beginning is spoken; with "
        "more the first segment is longer.",
    )
    bot_overlap: bool = Field(
        default=True,
        description="Speak the beginning of an answer while the rest is made; off, each stage waits for the "
        "whole of the one before (for comparison).",
    )
    bot_vad_stop_secs: float = Field(
        default=0.2, gt=0, description="Silence after which the voice activity detector reports a pause."
    )
    bot_simple_vad_secs: float = Field(
        default=0.8,
        gt=0,
        description="Silence that ends a turn where no turn detector is used (bot_simple_vad).",
    )
    bot_turn_model: Path | None = Field(
        default=None,
        description="ONNX model that hears whether a turn is complete, with the input of Smart Turn v3; "
        "Smart Turn if not set.",
    )
    bot_turn_wait_secs: float = Field(
        default=2.4, ge=0.4, description="Silence that ends a turn however unfinished it sounds and reads."
    )
    bot_speculation: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Begin answers before the turn is certainly over, unless more than this share of that "
        "work was for nothing lately; 0 never begins one (docs/decisions/speculation.md).",
    )
    bot_backchannels: Words | None = Field(
        default=None,
        description="What a listener may say without interrupting the bot, between commas; a list for "
        "the user's language if not set, `none` for nothing (docs/decisions/interruptions.md).",
    )
    bot_stop_words: Words | None = Field(
        default=None,
        description="What silences the bot and wants no answer, between commas; a list for the user's "
        "language if not set, `none` for nothing.",
    )
    bot_playout_lead_secs: float = Field(
        default=0.1,
        ge=0.06,
        le=0.5,
        description="How long before it is heard speech is given to the transport at least: with less the "
        "bot falls silent sooner. It grows to 0.15 on a machine that is late, so that no gaps come into it.",
    )
    bot_mute_greeting: bool = Field(
        default=False,
        description="Whether the greeting is spoken to its end, whatever the user says meanwhile.",
    )
    bot_user_idle_secs: float = Field(
        default=0,
        ge=0,
        description="Silence after which the bot asks if the user is there; 0 never.",
    )
    bot_user_idle_question: str = Field(default="Are you still there?", description="How it asks.")
    bot_user_leave_secs: float = Field(
        default=15, gt=0, description="Further silence after which it says goodbye and ends the session."
    )
    bot_user_goodbye: str = Field(default="Goodbye, then.", description="How it says goodbye.")
    bot_idle_timeout_secs: float | None = Field(
        default=None,
        gt=0,
        description="Silence of both sides after which the session ends; not set for Pipecat's default.",
    )

    enable_recording: bool = Field(
        default=False, description="Record each session as a stereo WAV: caller left, bot right."
    )
    recording_dir: Path = Field(default=Path("recordings"), description="Where recordings go.")
    metrics_jsonl: Path | None = Field(
        default=None, description="File that each turn's latency breakdown is appended to, as JSON lines."
    )
    log_level: Level = Field(default="INFO", description="Least severe messages a session logs.")

    @property
    def user_language(self) -> str:
        """Language that the user is taken to speak, as long as nothing is heard of them."""
        named = self.bot_asr_language
        return self.bot_language if named in (None, "", "auto") else str(named)


class TransportSettings(Settings):
    """Accounts of the transports' providers (needed for calls by Daily; by telephone, to hang up)."""

    daily_api_key: str | None = Field(
        default=None, repr=False, description="Key of a Daily account, which makes rooms (`-t daily`)."
    )
    daily_room_url: str | None = Field(
        default=None, description="Daily room to meet in; one is made for each caller if not set."
    )
    twilio_account_sid: str | None = Field(
        default=None, description="Twilio account whose calls are answered (`-t twilio`)."
    )
    twilio_auth_token: str | None = Field(
        default=None, repr=False, description="Its token; or TWILIO_API_KEY and TWILIO_API_SECRET."
    )
    twilio_api_key: str | None = Field(
        default=None,
        repr=False,
        description="Name of an API key (SK…) of that account, in place of the token.",
    )
    twilio_api_secret: str | None = Field(default=None, repr=False, description="The secret of that API key.")
    twilio_region: str | None = Field(
        default=None,
        description="Twilio region, with TWILIO_EDGE, where the account's calls are not in the US.",
    )
    twilio_edge: str | None = Field(default=None, description="Twilio edge location of that region.")
    telnyx_api_key: str | None = Field(
        default=None,
        repr=False,
        description="Key of the Telnyx account whose calls are answered (`-t telnyx`).",
    )
    plivo_auth_id: str | None = Field(
        default=None, description="Plivo account whose calls are answered (`-t plivo`)."
    )
    plivo_auth_token: str | None = Field(default=None, repr=False, description="Its token.")


def read_settings() -> BotSettings:
    """Read `.env` and the environment.

    Raises ConfigurationError that names each wrong variable and what it accepts, and a file that cannot be
    written.
    """
    settings = read(BotSettings)
    if settings.metrics_jsonl is not None:
        _check_file("METRICS_JSONL", settings.metrics_jsonl)
    if settings.enable_recording:
        _check_folder("RECORDING_DIR", settings.recording_dir)
    return settings


def _check_file(variable: str, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{variable}: {path} cannot be written: {error.strerror}") from None
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigurationError(f"{variable}: {path} cannot be written to; choose another file")


def _check_folder(variable: str, path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{variable}: {path} cannot be made: {error.strerror}") from None
    if not os.access(path, os.W_OK):
        raise ConfigurationError(f"{variable}: {path} cannot be written to; choose another folder")
