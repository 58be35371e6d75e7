"""Streaming synthesis for a bot: text in, audio and the words heard out, on one lasting connection.

The first segment of an answer is asked for as a stream, because someone waits for it; a later one in one
piece, which sounds better, where what is queued to play lasts until it is there
(docs/decisions/adaptive-voice.md). Between two segments a sentence end is followed by a short silence.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from loguru import logger
from pipecat.frames.frames import (
    Frame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import WebsocketTTSService
from pipecat.utils.context.word_timestamp_tracker import WordTimestamp
from pipecat.utils.errors import ErrorCategory
from pipecat.utils.text.base_text_aggregator import TextType
from pipecat.utils.tracing.service_decorators import traced_tts
from pipecat.utils.types import NOT_GIVEN, NotGiven

from nemotron_speech.protocol.tts import (
    AudioReceived,
    Event,
    Mode,
    SegmentSpoken,
    StreamStarted,
    SynthesisFailed,
    UtteranceDone,
)
from nemotron_speech.protocol.tts_client import TtsClient
from nemotron_speech.text import ends_sentence, speakable
from pipecat_bots.connections.outage import Server
from pipecat_bots.context.spoken_text import SpokenText
from pipecat_bots.frames import ChunkedLLMContinueGenerationFrame, LLMChunkFrame
from pipecat_bots.speculation.tts import SpeculativeTTS
from pipecat_bots.voice.addresses import stream_url
from pipecat_bots.voice.narration import Narrator
from pipecat_bots.voice.patience import Voice
from pipecat_bots.voice.persistence import PersistentVoice
from pipecat_bots.voice.segments import VoiceSegment, VoiceUtterance, text_frame, unspoken_frame

QUIET_CONTEXT_S = 60.0
"""An utterance without news for this long is over; a lost connection is seen sooner."""

SpeakMode = Literal["adaptive", "stream", "batch"]


@dataclass
class MagpieTTSSettings(TTSSettings):
    """Runtime settings.

    Parameters:
        mode: `adaptive` streams a segment that someone waits for and asks for the others in one piece.
        preset: Quality of streamed segments (aggressive, balanced, conservative); None leaves it the server.
    """

    mode: SpeakMode | NotGiven = field(default_factory=lambda: NOT_GIVEN)
    preset: str | NotGiven | None = field(default_factory=lambda: NOT_GIVEN)


class MagpieWebSocketTTSService(SpeculativeTTS, PersistentVoice, WebsocketTTSService):
    """Speak with the streaming server of docs/protocols.md, section 3.

    Every segment asked for is followed by one `ChunkedLLMContinueGenerationFrame` upstream, whatever became
    of it. The words that were played enter the conversation, one by one. Segments that a server was asked for
    and has not said are asked for again: on the next connection, or once where it gives no sign
    (docs/decisions/silent-voice.md).

    Args:
        url: The server, `http://host:port` or `ws://host:port`.
        settings: Runtime settings.
        kwargs: Passed to Pipecat's base class.
    """

    Settings = MagpieTTSSettings

    def __init__(
        self,
        *,
        url: str = "http://localhost:8001",
        settings: MagpieTTSSettings | None = None,
        **kwargs: Any,
    ) -> None:
        store = MagpieTTSSettings(model="magpie", voice=None, language="en", mode="adaptive", preset=None)
        if settings is not None:
            store.apply_update(settings)
        super().__init__(
            url=stream_url(url),
            server=Server("tts", "voice", url),
            settings=store,
            push_start_frame=True,
            stop_frame_timeout_s=QUIET_CONTEXT_S,
            max_consecutive_zero_audio_contexts=0,
            text_transforms=[("*", self._sanitise)],
            **kwargs,
        )
        self._narrator = Narrator(super().append_to_audio_context, self._pace)
        self._server_free_at = 0.0
        """Moment at which the server finished the segment before this one, on the loop's clock."""
        self._chunk_id: int | None = None
        self._asked_last: VoiceSegment | None = None

    @property
    def _options(self) -> MagpieTTSSettings:
        return cast(MagpieTTSSettings, self._settings)

    def can_generate_metrics(self) -> bool:
        return True

    # ---------------------------------------------------------------------------- from the pipeline

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if not isinstance(frame, LLMChunkFrame) or direction is not FrameDirection.DOWNSTREAM:
            await super().process_frame(frame, direction)
            return
        self._chunk_id = frame.id
        try:
            await super().process_frame(frame, direction)
        finally:
            self._chunk_id = None
        if not any(segment.chunk_id == frame.id for segment in self._pending()):
            await self._go_on(frame.id)

    async def _sanitise(self, text: str, text_type: TextType | str) -> str:
        """Leave out what cannot be said; text with nothing to say still enters the conversation."""
        said = speakable(text)
        if not said:
            await self._pass_on(text, text_type)
        return said

    async def _pass_on(self, text: str, text_type: TextType | str) -> None:
        """Put text without sound behind what is being spoken."""
        context_id = self._turn_context_id or ""
        utterance = self._utterances.get(context_id)
        frame = text_frame(text, TTSTextFrame(text, text_type))
        if utterance is not None and utterance.segments and (heard := utterance.segments[-1].heard):
            heard.extend(text)
        elif self.audio_context_available(context_id):
            await super().append_to_audio_context(context_id, frame)
        else:
            await self._audio_context_manager.put_frame(frame)

    @traced_tts
    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Ask for one segment; without a server it waits for a while."""
        utterance = self._utterances.setdefault(context_id, VoiceUtterance())
        now = asyncio.get_running_loop().time()
        segment = VoiceSegment(text, "stream", self._chunk_id, now)
        if not self.is_awaited:
            self._patience.begin(now)
        utterance.segments.append(segment)
        self._asked_last = segment
        if self._is_linked:
            self._ask(context_id, utterance, segment)
        else:
            self._wanted.set()
        await self._narrator.pause_before_next(context_id, utterance)
        if self._voice is Voice.LOST:
            await self._release(segment)
        self._news.set()
        await self.start_tts_usage_metrics(text)
        yield None

    def _ask(self, context_id: str, utterance: VoiceUtterance, segment: VoiceSegment) -> None:
        segment.asked_at = asyncio.get_running_loop().time()
        segment.mode = self._mode(segment, utterance)
        preset = self._options.preset if segment.mode == "stream" else None
        self._client.speak(
            context_id, segment.text, segment.mode, preset if isinstance(preset, str) else None
        )
        self._to_send.set()

    def _mode(self, segment: VoiceSegment, utterance: VoiceUtterance) -> Mode:
        match self._options.mode:
            case "stream":
                return "stream"
            case "batch":
                return "batch"
        queued_s = max(0.0, utterance.plays_until - segment.asked_at)
        before = VoiceUtterance(deque(itertools.takewhile(lambda s: s is not segment, utterance.segments)))
        return self._pace.mode(len(segment.text), queued_s, before.waiting_s(self._pace))

    def _init(self, client: TtsClient) -> None:
        voice, language = self._options.voice, self._options.language
        client.init(
            voice if isinstance(voice, str) else None, str(language) if isinstance(language, str) else None
        )

    async def append_to_audio_context(
        self, context_id: str | None, frame: Frame | WordTimestamp | None
    ) -> None:
        """Keep back the text that the base class queues before its audio; it follows word by word."""
        segment = self._asked_last
        if isinstance(frame, TTSTextFrame) and segment is not None:
            self._asked_last = None
            segment.frame, segment.heard = frame, SpokenText(frame.text)
            return
        await super().append_to_audio_context(context_id, frame)

    async def flush_audio(self, context_id: str | None = None) -> None:
        """Say that the utterance is complete; end one that nothing is to come for."""
        context_id = context_id or self.get_active_audio_context_id()
        if context_id is None:
            return
        utterance = self._utterances.get(context_id)
        if utterance is not None:
            utterance.is_finished = True
        self._client.finish(context_id)
        self._to_send.set()
        if utterance is None or (not utterance.segments and context_id not in self._client.wanted):
            await self._end(context_id)

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        """Cancel everything once, on the same connection."""
        self._utterances.pop(context_id, None)
        await self.stop_all_metrics()
        if self._client.wanted:
            self._client.cancel()
            self._to_send.set()
        self._news.set()

    async def _update_settings(self, delta: TTSSettings) -> dict[str, Any]:
        changed = await super()._update_settings(delta)
        if changed.keys() & {"voice", "language"}:
            self._init(self._client)
            self._to_send.set()
        return changed

    async def push_error(self, error_msg: str, *args: Any, **kwargs: Any) -> None:
        """Report an error, unless it is only that of an outage already reported."""
        if self.outage is None:
            await super().push_error(error_msg, *args, **kwargs)

    # --------------------------------------------------------------------------- what is not spoken

    async def _keep_the_rest(self) -> None:
        """Give out the words that are over; what is left of their segments begins with the word cut off."""
        for context_id, utterance in list(self._utterances.items()):
            for segment in list(utterance.segments):
                await self._narrator.say_due(context_id, segment)
                if segment.failed or not segment.begin_again():
                    utterance.segments.remove(segment)
                    await self._release(segment)
            if utterance.is_finished and not utterance.segments:
                await self._end(context_id)

    async def _give_up(self) -> None:
        """End what cannot be spoken. It stays on the screen, and is not part of the conversation."""
        utterances, self._utterances = self._utterances, {}
        self._client.cancel()
        self._to_send.set()
        lost = " ".join(segment.text for utterance in utterances.values() for segment in utterance.segments)
        logger.warning(f"{self}: not spoken, {self._server.address} is away or silent: [{lost}]")
        for context_id, utterance in utterances.items():
            for segment in utterance.segments:
                if (frame := unspoken_frame(segment)) is not None:
                    await super().append_to_audio_context(context_id, frame)
        for context_id in self.get_audio_contexts():
            await super().append_to_audio_context(context_id, TTSStoppedFrame(context_id=context_id))
        await self._close_connection_contexts()
        for utterance in utterances.values():
            for segment in utterance.segments:
                await self._release(segment)

    # ------------------------------------------------------------------------------- from the server

    async def _on_event(self, event: Event) -> None:
        match event:
            case StreamStarted(utterance=name, sample_rate=rate) if name in self._utterances:
                self._utterances[name].sample_rate = rate or self._client.sample_rate or self._assumed_rate
                self._patience.announced(asyncio.get_running_loop().time())
                self._news.set()
            case AudioReceived(utterance=name, pcm=pcm) if name in self._utterances:
                await self._sign_of_life()
                await self._on_audio(name, self._utterances[name], pcm)
            case SegmentSpoken() as spoken if spoken.utterance in self._utterances:
                await self._on_segment(spoken, self._utterances[spoken.utterance])
            case UtteranceDone(utterance=name):
                await self._end(name)
            case SynthesisFailed() as error:
                await self._on_error(error)

    async def _on_audio(self, context_id: str, utterance: VoiceUtterance, pcm: bytes) -> None:
        if not utterance.segments:
            return
        segment = utterance.segments[0]
        if segment.mode == "batch":
            segment.held += pcm
            return
        await self._narrator.play(context_id, utterance, segment, pcm)
        await self._narrator.say_due(context_id, segment)

    async def _on_segment(self, spoken: SegmentSpoken, utterance: VoiceUtterance) -> None:
        await self._sign_of_life()
        if not utterance.segments:
            return
        segment = utterance.segments[0]
        await self._narrator.play_rest(spoken.utterance, utterance, segment, spoken.words)
        if utterance.segments and utterance.segments[0] is segment:
            utterance.segments.popleft()
        self._learn_pace(segment)
        if segment.audio_ms:
            utterance.pause_due = ends_sentence(segment.text)
        await self._narrator.pause_before_next(spoken.utterance, utterance)
        await self._release(segment)

    def _learn_pace(self, segment: VoiceSegment) -> None:
        now = asyncio.get_running_loop().time()
        if not segment.failed:
            work_s = now - max(segment.asked_at, self._server_free_at)
            self._pace.saw(len(segment.text), segment.audio_ms / 1000, work_s)
        self._server_free_at = now

    async def _on_error(self, error: SynthesisFailed) -> None:
        names = [error.utterance] if error.utterance else list(self._utterances)
        await self.push_error(f"The voice reports: {error.message}", category=ErrorCategory.SERVER)
        for name in names:
            if (utterance := self._utterances.get(name)) and utterance.segments:
                utterance.segments[0].failed = True
                await self._release(utterance.segments[0])
                return

    async def _end(self, context_id: str) -> None:
        """Close the audio context behind what it still plays."""
        utterance = self._utterances.pop(context_id, None) or VoiceUtterance()
        for segment in utterance.segments:
            await self._narrator.play_rest(context_id, utterance, segment, ())
        if self.audio_context_available(context_id):
            await super().append_to_audio_context(context_id, TTSStoppedFrame(context_id=context_id))
            await self.remove_audio_context(context_id)
        for segment in utterance.segments:
            await self._release(segment)
        self._news.set()

    # ---------------------------------------------------------------------------------- the handshake

    async def _release(self, segment: VoiceSegment) -> None:
        """Tell the model, once, that the voice is done with a segment."""
        if not segment.is_released:
            segment.is_released = True
            await self._go_on(segment.chunk_id)

    async def _go_on(self, chunk_id: int | None) -> None:
        await self.tell_model(ChunkedLLMContinueGenerationFrame(chunk_id))
