"""The body of `POST /v1/audio/speech`: OpenAI's fields, and what its clients leave unsaid."""

from __future__ import annotations

from typing import Any, Literal

import pydantic
from aiohttp import web

from nemotron_speech.errors import BadRequest
from nemotron_speech.tts import openai_names
from nemotron_speech.tts.encoders import NEVER_STREAMED, STATES_LENGTH, formats

_RATES = (8000, 48000)
_STREAMING_HEADER = "X-Stainless-Raw-Response"
"""Header whose value `stream` says that one of OpenAI's client libraries reads the audio as it comes."""


class VoiceId(pydantic.BaseModel):
    """A voice as OpenAI's newer clients may name it."""

    id: str


class SpeechRequest(pydantic.BaseModel):
    """Body of a speech request; null is as good as left out, and fields without a use here are ignored."""

    input: str = pydantic.Field(min_length=1)
    model: str | None = None
    voice: str | VoiceId | None = None
    language: str | None = None
    response_format: str = ""
    stream_format: Literal["audio", "sse"] | None = None
    stream: bool | None = None
    speed: float = pydantic.Field(default=1.0, ge=0.25, le=4.0)
    sample_rate: int | None = pydantic.Field(default=None, ge=_RATES[0], le=_RATES[1])

    @pydantic.model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        return {name: value for name, value in body.items() if value is not None}

    @pydantic.model_validator(mode="after")
    def _usual_format(self) -> SpeechRequest:
        self.response_format = self.response_format or ("mp3" if "mp3" in formats() else "wav")
        return self

    @property
    def voice_name(self) -> str:
        """The voice asked for; empty where none is."""
        return self.voice.id if isinstance(self.voice, VoiceId) else self.voice or ""

    @property
    def of_openai(self) -> bool:
        """True if a client of OpenAI's sent this: it names a model, or one of OpenAI's voices."""
        return self.model is not None or self.voice_name.lower() in openai_names.VOICES

    @property
    def rate(self) -> int | None:
        """The rate that is wanted, in Hz; None for the engine's own."""
        if self.sample_rate is None and self.response_format == "pcm" and self.of_openai:
            return openai_names.PCM_RATE
        return self.sample_rate

    def is_streamed(self, request: web.Request) -> bool:
        """Return whether the audio is read as it comes, so that its length cannot be stated before it.

        What the client says counts: `stream`, `stream_format`, the header of OpenAI's libraries. Otherwise a
        format that begins with its length comes whole; so does PCM, unless it is OpenAI that is spoken. FLAC
        comes whole whatever is said.
        """
        if self.response_format in NEVER_STREAMED:
            return False
        if self.stream is not None and self.stream_format != "sse":
            return self.stream
        if self.stream_format is not None or request.headers.get(_STREAMING_HEADER) == "stream":
            return True
        if self.response_format == "pcm":
            return self.of_openai
        return self.response_format not in STATES_LENGTH


async def read(request: web.Request) -> SpeechRequest:
    """Read the body of a request. Raises BadRequest that names each wrong field."""
    try:
        return SpeechRequest.model_validate_json(await request.read())
    except pydantic.ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors())
        raise BadRequest(problems) from None
