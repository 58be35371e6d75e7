"""One turn without a transport: recorded speech in, spoken answer out, and how long each stage took."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from nemotron_speech.audio import Clip, from_pcm
from nemotron_speech.errors import BadRequest, EngineError
from nemotron_speech.protocol.llama.answer_filter import AnswerFilter
from nemotron_speech.protocol.llama.answer_words import NOTHING_TO_SAY, AnswerPart, SaidText, Unsaid
from nemotron_speech.text import Chunker, speakable

ASR_RATE = 16000
FRAME_BYTES = ASR_RATE // 10 * 2
"""100 ms: large enough to be cheap, small enough for the recogniser to work while the rest is sent."""
SYSTEM_PROMPT = (
    "You are a helpful voice assistant. Answer in one to three short spoken sentences, "
    "without markdown, lists or emoji."
)


class NoSpeech(BadRequest):
    """Recording without words for the recogniser."""


class Transcription(Protocol):
    @property
    def text(self) -> str: ...


class Recogniser(Protocol):
    """A stream to a recogniser (`client.AsrConnection`)."""

    async def send(self, pcm: bytes) -> None: ...

    async def finish(self) -> Transcription: ...


class ChatModel(Protocol):
    """Language model that answers (`client.LlmClient`)."""

    def chat(self, messages: Sequence[Mapping[str, str]]) -> AsyncIterator[str]: ...


class Speech(Protocol):
    """One utterance being written and spoken (`client.Utterance`)."""

    async def say(self, text: str) -> None: ...

    async def finish(self) -> None: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Synthesiser(Protocol):
    """Synthesiser that speaks the answer (`client.TtsConnection`)."""

    @property
    def sample_rate(self) -> int | None: ...

    def utterance(self) -> Speech: ...

    async def cancel(self) -> None: ...


@dataclass(frozen=True, slots=True)
class TurnTimings:
    """Milliseconds. Stages overlap, so they do not add up to the total."""

    transcribed_ms: int
    """Milliseconds from the first byte sent to the transcript."""
    first_token_ms: int
    """Milliseconds from the transcript to the first text of the answer."""
    answered_ms: int
    """Milliseconds from the transcript to the last text of the answer."""
    first_audio_ms: int
    """Milliseconds from the first segment handed over to its first audio."""
    spoken_ms: int
    """Milliseconds from the first segment handed over to the last audio."""
    total_ms: int

    def __str__(self) -> str:
        return (
            f"ASR {self.transcribed_ms} ms | LLM first token {self.first_token_ms} ms, "
            f"all {self.answered_ms} ms | TTS first audio {self.first_audio_ms} ms, "
            f"all {self.spoken_ms} ms | total {self.total_ms} ms"
        )


@dataclass(frozen=True, slots=True, eq=False)
class SpokenReply:
    """Result of one turn."""

    transcript: str
    text: str
    audio: Clip
    timings: TurnTimings


@dataclass(slots=True)
class _Stopwatch:
    """First and last time of each event, in seconds of `clock`."""

    clock: Callable[[], float]
    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def mark(self, what: str) -> None:
        now = self.clock()
        self.first.setdefault(what, now)
        self.last[what] = now

    def ms(self, begin: str, end: str, *, to_last: bool = False) -> int:
        """Return the time from the first `begin` to the first (or last) `end`; 0 when either is missing."""
        ends = self.last if to_last else self.first
        if begin not in self.first or end not in ends:
            return 0
        return round((ends[end] - self.first[begin]) * 1000)

    def timings(self) -> TurnTimings:
        return TurnTimings(
            transcribed_ms=self.ms("begin", "transcript"),
            first_token_ms=self.ms("transcript", "token"),
            answered_ms=self.ms("transcript", "token", to_last=True),
            first_audio_ms=self.ms("segment", "audio"),
            spoken_ms=self.ms("segment", "audio", to_last=True),
            total_ms=self.ms("begin", "end"),
        )


async def answer(
    audio: Clip,
    asr: Recogniser,
    llm: ChatModel,
    tts: Synthesiser,
    *,
    history: Sequence[Mapping[str, str]] = (),
    system: str = SYSTEM_PROMPT,
    nothing_to_say: str = NOTHING_TO_SAY,
    on_transcript: Callable[[str], None] = lambda text: None,
    on_token: Callable[[str], None] = lambda text: None,
    clock: Callable[[], float] = time.perf_counter,
) -> SpokenReply:
    """Answer one recorded utterance. The answer is spoken while it is still being written.

    Args:
        audio: Any rate; it is sent as fast as the recogniser takes it.
        history: Earlier messages of the conversation, after the system prompt.
        nothing_to_say: What is said where the model answers without words.
        on_transcript: Told what was understood, before the answer begins.
        on_token: Told each piece of the answer's text.

    Raises NoSpeech, PeerError, Full, EngineError.
    """
    watch = _Stopwatch(clock)
    watch.mark("begin")
    transcript = await transcribe(audio, asr)
    watch.mark("transcript")
    if not transcript:
        raise NoSpeech(f"no speech was understood in {audio.seconds:.1f} s of audio")
    on_transcript(transcript)
    messages = [{"role": "system", "content": system}, *history, {"role": "user", "content": transcript}]
    words = _Words(llm.chat(messages), nothing_to_say)
    text, pcm = await _speak_answer(words, tts, watch, on_token, lambda: on_token("\n"))
    clip = _clip(pcm, tts)
    watch.mark("end")
    return SpokenReply(transcript, text, clip, watch.timings())


async def written(
    tokens: AsyncIterator[str],
    on_token: Callable[[str], None],
    on_taken_back: Callable[[], None],
    nothing_to_say: str = NOTHING_TO_SAY,
) -> str:
    """Write an answer without speaking it; thoughts and tool calls are left out. Return its words.

    Args:
        tokens: The model's text; closed at the end.
        on_token: Told each piece of the answer.
        on_taken_back: Told that all words so far were thoughts; the answer begins anew.
    """
    async with aclosing(_Words(tokens, nothing_to_say)) as words:
        while True:
            said = ""
            try:
                async for token in words:
                    on_token(token)
                    said += token
                return said.strip()
            except _TakenBack:
                on_taken_back()


async def spoken(
    tokens: AsyncIterator[str],
    tts: Synthesiser,
    on_token: Callable[[str], None],
    on_taken_back: Callable[[], None],
    nothing_to_say: str = NOTHING_TO_SAY,
) -> tuple[str, Clip]:
    """Write an answer and have it spoken meanwhile, as `written`. Raises EngineError too."""
    words = _Words(tokens, nothing_to_say)
    text, pcm = await _speak_answer(words, tts, _Stopwatch(time.perf_counter), on_token, on_taken_back)
    return text, _clip(pcm, tts)


def _clip(pcm: bytes, tts: Synthesiser) -> Clip:
    if pcm and tts.sample_rate is None:
        raise EngineError("the synthesiser sent audio without saying its sample rate")
    return Clip(from_pcm(pcm), tts.sample_rate or ASR_RATE)


async def transcribe(audio: Clip, asr: Recogniser) -> str:
    """Return what the recogniser understands in a whole clip; empty when nothing."""
    await send(audio.at(ASR_RATE).pcm, asr)
    return (await asr.finish()).text.strip()


async def send(pcm: bytes, asr: Recogniser) -> None:
    """Send audio at `ASR_RATE` as fast as the recogniser takes it."""
    for start in range(0, len(pcm), FRAME_BYTES):
        await asr.send(pcm[start : start + FRAME_BYTES])


async def _speak_answer(
    words: _Words,
    tts: Synthesiser,
    watch: _Stopwatch,
    on_token: Callable[[str], None],
    on_taken_back: Callable[[], None],
) -> tuple[str, bytes]:
    """Write and speak; what turns out to have been thoughts is begun anew, in another utterance."""
    async with aclosing(words):
        while True:
            try:
                return await _speak(words, tts.utterance(), watch, on_token)
            except _TakenBack:
                await tts.cancel()
                on_taken_back()


async def _speak(
    words: _Words, speech: Speech, watch: _Stopwatch, on_token: Callable[[str], None]
) -> tuple[str, bytes]:
    """Write and speak at the same time. The first failure of either ends both."""
    pcm = bytearray()

    async def listen() -> None:
        async for audio in speech:
            watch.mark("audio")
            pcm.extend(audio)

    async def write() -> str:
        chunker = Chunker()
        async for token in words:
            watch.mark("token")
            on_token(token)
            for chunk in chunker.feed(token):
                await _say(speech, chunk, watch)
        await _say(speech, chunker.finish(), watch)
        await speech.finish()
        return chunker.text.strip()

    listening = asyncio.ensure_future(listen())
    writing = asyncio.ensure_future(write())
    try:
        await asyncio.gather(writing, listening)
    finally:
        for task in (writing, listening):
            task.cancel()
        await asyncio.wait((writing, listening))
    return writing.result(), bytes(pcm)


class _TakenBack(Exception):
    """The words so far were thoughts."""


class _Words:
    """Words to be said of a model's text, and what is said where there are none; closes the text with itself.

    Raises _TakenBack, and goes on behind it.
    """

    def __init__(self, tokens: AsyncIterator[str], nothing_to_say: str) -> None:
        self._tokens = tokens
        self._nothing_to_say = nothing_to_say
        self._filter = AnswerFilter()
        self._parts: deque[AnswerPart] = deque()
        self._is_over = False
        self._said = ""

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        while True:
            while self._parts:
                if (text := self._take(self._parts.popleft())) is not None:
                    return text
            if self._is_over:
                raise StopAsyncIteration
            await self._read()

    def _take(self, part: AnswerPart) -> str | None:
        if isinstance(part, Unsaid):
            self._said = ""
            raise _TakenBack
        if isinstance(part, SaidText):
            self._said += part.text
            return part.text
        return None

    async def _read(self) -> None:
        token = await anext(self._tokens, None)
        if token is not None:
            self._parts.extend(self._filter.feed(token))
            return
        self._is_over = True
        self._parts.extend(self._filter.finish())
        left = "".join(part.text for part in self._parts if isinstance(part, SaidText))
        if not speakable(self._said + left):
            gap = "\n\n" if self._said + left else ""
            self._parts.extend(SaidText(text) for text in (gap, self._nothing_to_say) if text)

    async def aclose(self) -> None:
        if isinstance(self._tokens, AsyncGenerator):
            await self._tokens.aclose()


async def _say(speech: Speech, chunk: str, watch: _Stopwatch) -> None:
    text = speakable(chunk)
    if text:
        watch.mark("segment")
        await speech.say(text)
