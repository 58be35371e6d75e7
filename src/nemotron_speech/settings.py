"""What the speech servers read from the environment, each with its default and its meaning."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class AsrSettings(BaseSettings):
    """The streaming recognition server (`python -m nemotron_speech.server`)."""

    model_config = SettingsConfigDict(env_prefix="NEMOTRON_ASR_", extra="ignore")

    host: str = Field(default="127.0.0.1", description="Address the recognition server listens on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Its port; 0 takes a free one.")
    engine: str = Field(default="pocketsphinx", description="Which recogniser: an engine's name.")
    options: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Options of that engine, as a JSON object."
    )
    max_backlog_s: float = Field(
        default=30.0,
        gt=0,
        description="Audio a caller may be ahead of the recogniser before it is slowed down.",
    )
    drain_s: float = Field(
        default=10.0, ge=0, description="How long callers may finish when the server stops."
    )


class TtsSettings(BaseSettings):
    """The streaming synthesis server (`python -m nemotron_speech.tts_server`)."""

    model_config = SettingsConfigDict(env_prefix="NEMOTRON_TTS_", extra="ignore")

    host: str = Field(default="127.0.0.1", description="Address the synthesis server listens on.")
    port: int = Field(default=8001, ge=0, le=65535, description="Its port; 0 takes a free one.")
    engine: str = Field(default="espeak", description="Which synthesiser: an engine's name.")
    options: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Options of that engine, as a JSON object."
    )
    max_ahead_s: float = Field(
        default=20.0,
        gt=0,
        description="Audio made ahead for a caller that has not read it before its turn waits.",
    )
    drain_s: float = Field(
        default=10.0, ge=0, description="How long callers may finish when the server stops."
    )
