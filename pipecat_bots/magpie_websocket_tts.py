"""Streaming synthesis for a bot: text in, audio and the words heard out, on one lasting connection.

The first segment of an answer is asked for as a stream, because someone waits for it; a later one in one
piece, which sounds better, where what is queued to play lasts until it is there
(docs/decisions/adaptive-voice.md). Between two segments a sentence end is followed by a short silence.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from urllib.parse import urlsplit, urlunsplit

from loguru import logger
from pipecat.frames.frames import (
    AggregatedTextProgressFrame,
    Frame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import WebsocketTTSService
from pipecat.utils.context.word_timestamp_tracker import WordTimestamp
from pipecat.utils.errors import ErrorCategory
from pipecat.utils.text.base_text_aggregator import TextType
from pipecat.utils.tracing.service_decorators import traced_tts
from pipecat.utils.types import NOT_GIVEN, NotGiven
from websockets.asyncio.client import ClientConnection

from nemotron_speech.protocol.tts import (
    AudioReceived,
    Mode,
    SegmentSpoken,
    ServerError,
    StreamStarted,
    TtsClient,
    UtteranceDone,
)
from nemotron_speech.protocol.tts_pace import Pace
from nemotron_speech.text import ends_sentence, speakable
from pipecat_bots.conversation.heard import Heard, cut
from pipecat_bots.frames import ChunkedLLMContinueGenerationFrame, LLMChunkFrame
from pipecat_bots.peers.connection import KeepConnected
from pipecat_bots.peers.dependence import Server
from pipecat_bots.speculation.speculative_tts import SpeculativeTTS

PAUSE_S = 0.25
CONNECT_PATIENCE_S = 1.0
"""How long text waits for a lost server before it goes unspoken."""
QUIET_CONTEXT_S = 60.0
"""An utterance without news for this long is over; a lost connection is seen sooner."""
MAGPIE_RATE = 22050
"""Assumed where the server does not state its rate."""

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


@dataclass(eq=False)
class _Segment:
    """One text asked of the server."""

    text: str
    mode: Mode
    chunk_id: int | None
    asked_at: float
    """On the loop's clock."""
    frame: TTSTextFrame | None = None
    """The text as it enters the conversation."""
    heard: Heard | None = None
    held: bytearray = field(default_factory=bytearray)
    """Audio of a segment that comes in one piece, until its words are known."""
    audio_ms: float = 0.0
    failed: bool = False


@dataclass(eq=False)
class _Utterance:
    """The segments of one audio context."""

    segments: deque[_Segment] = field(default_factory=deque)
    """Asked for and not complete."""
    sample_rate: int = MAGPIE_RATE
    plays_until: float = 0.0
    pause_due: bool = False

    def waiting_s(self, pace: Pace) -> float:
        """Return how much audio is expected of what was asked for, beyond that which plays."""
        return sum(max(0.0, pace.audio_s(len(s.text)) - s.audio_ms / 1000) for s in self.segments)


class MagpieWebSocketTTSService(SpeculativeTTS, KeepConnected, WebsocketTTSService):
    """Speak with the streaming server of docs/protocols.md, section 3.

    Every segment asked for is followed by one `ChunkedLLMContinueGenerationFrame` upstream, whatever became
    of it. What enters the conversation is what was played, word by word.

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
        self._client = TtsClient()
        self._pace = Pace()
        self._server_free_at = 0.0
        """When the server had spoken all it was asked for before what it speaks now."""
        self._utterances: dict[str, _Utterance] = {}
        self._chunk_id: int | None = None
        self._asked_last: _Segment | None = None

    @property
    def _options(self) -> MagpieTTSSettings:
        return cast(MagpieTTSSettings, self._settings)

    def can_generate_metrics(self) -> bool:
        return True

    async def setup(self, setup: FrameProcessorSetup) -> None:
        await super().setup(setup)
        await self._connect()

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
        if not self._is_pending(frame.id):
            await self._release(frame.id)

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
        frame = _text_frame(text, TTSTextFrame(text, text_type))
        if utterance is not None and utterance.segments and (heard := utterance.segments[-1].heard):
            heard.extend(text)
        elif self.audio_context_available(context_id):
            await super().append_to_audio_context(context_id, frame)
        else:
            await self._audio_context_manager.put_frame(frame)

    @traced_tts
    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """Ask for one segment. Without a server the text stays on the screen."""
        if await self._connected_soon(CONNECT_PATIENCE_S):
            await self._ask(text, context_id)
            await self.start_tts_usage_metrics(text)
        else:
            logger.warning(f"{self}: not spoken, {self._server.address} is away: [{text}]")
        yield None

    async def _ask(self, text: str, context_id: str) -> None:
        utterance = self._utterances.setdefault(context_id, _Utterance())
        now = asyncio.get_running_loop().time()
        segment = _Segment(text, self._mode(text, utterance, now), self._chunk_id, now)
        utterance.segments.append(segment)
        self._asked_last = segment
        await self._pause_before_next(context_id, utterance)
        preset = self._options.preset if segment.mode == "stream" else None
        message = self._client.speak(
            context_id, text, segment.mode, preset if isinstance(preset, str) else None
        )
        if not await self._send(message) and segment in utterance.segments:
            utterance.segments.remove(segment)
            self._asked_last = None

    def _mode(self, text: str, utterance: _Utterance, now: float) -> Mode:
        match self._options.mode:
            case "stream":
                return "stream"
            case "batch":
                return "batch"
        queued_s = max(0.0, utterance.plays_until - now)
        return self._pace.mode(len(text), queued_s, utterance.waiting_s(self._pace))

    async def append_to_audio_context(
        self, context_id: str | None, frame: Frame | WordTimestamp | None
    ) -> None:
        """Keep back the text that the base class queues before its audio; it follows word by word."""
        segment = self._asked_last
        if isinstance(frame, TTSTextFrame) and segment is not None:
            self._asked_last = None
            segment.frame, segment.heard = frame, Heard(frame.text)
            return
        await super().append_to_audio_context(context_id, frame)

    async def flush_audio(self, context_id: str | None = None) -> None:
        """Say that the utterance is complete; end one that nothing is to come for."""
        context_id = context_id or self.get_active_audio_context_id()
        if context_id is None:
            return
        if message := self._client.finish(context_id):
            await self._send(message)
        elif context_id not in self._client.wanted:
            await self._end(context_id)

    async def on_audio_context_interrupted(self, context_id: str) -> None:
        """Cancel everything once, on the same connection."""
        self._utterances.pop(context_id, None)
        await self.stop_all_metrics()
        if self._client.wanted:
            await self._send(self._client.cancel())

    async def _update_settings(self, delta: TTSSettings) -> dict[str, Any]:
        changed = await super()._update_settings(delta)
        if changed.keys() & {"voice", "language"}:
            await self._send(self._init())
        return changed

    async def push_error(self, error_msg: str, *args: Any, **kwargs: Any) -> None:
        """Report an error, unless it is only that of an outage already reported."""
        if self.outage is None:
            await super().push_error(error_msg, *args, **kwargs)

    # -------------------------------------------------------------------------------- the connection

    def _init(self) -> str:
        voice, language = self._options.voice, self._options.language
        return self._client.init(
            voice if isinstance(voice, str) else None, str(language) if isinstance(language, str) else None
        )

    async def _greet(self, websocket: ClientConnection) -> None:
        self._client = TtsClient()
        await websocket.send(self._init())
        await (await websocket.ping())

    async def _on_connected(self) -> None:
        logger.debug(f"{self}: connected to {self._server.address}")

    async def _on_lost(self) -> None:
        """What was asked for will not be spoken; what was received still plays."""
        utterances, self._utterances = self._utterances, {}
        self._client = TtsClient()
        for context_id in self.get_audio_contexts():
            await super().append_to_audio_context(context_id, TTSStoppedFrame(context_id=context_id))
        await self._close_connection_contexts()
        for utterance in utterances.values():
            for segment in utterance.segments:
                await self._release(segment.chunk_id)

    # ------------------------------------------------------------------------------- from the server

    async def _on_message(self, message: str | bytes) -> None:
        match self._client.receive(message):
            case StreamStarted(utterance=name, sample_rate=rate) if name in self._utterances:
                self._utterances[name].sample_rate = rate or MAGPIE_RATE
            case AudioReceived(utterance=name, pcm=pcm) if name in self._utterances:
                await self._on_audio(name, self._utterances[name], pcm)
            case SegmentSpoken() as spoken if spoken.utterance in self._utterances:
                await self._on_segment(spoken, self._utterances[spoken.utterance])
            case UtteranceDone(utterance=name):
                await self._end(name)
            case ServerError() as error:
                await self._on_error(error)

    async def _on_audio(self, context_id: str, utterance: _Utterance, pcm: bytes) -> None:
        if utterance.segments and utterance.segments[0].failed:
            # Not every server reports a failed segment as complete: this audio is the next one's.
            utterance.segments.popleft()
        if not utterance.segments:
            return
        segment = utterance.segments[0]
        if segment.mode == "batch":
            segment.held += pcm
            return
        await self._play(context_id, utterance, segment, pcm)
        if segment.heard is not None:
            for _ in range(segment.heard.due(segment.audio_ms)):
                await self._say(context_id, segment, segment.heard)

    async def _on_segment(self, spoken: SegmentSpoken, utterance: _Utterance) -> None:
        if not utterance.segments:
            return
        segment = utterance.segments[0]
        await self._play_rest(spoken.utterance, utterance, segment, spoken.words)
        if utterance.segments and utterance.segments[0] is segment:
            utterance.segments.popleft()
        self._learn_pace(segment)
        if segment.audio_ms:
            utterance.pause_due = ends_sentence(segment.text)
        await self._pause_before_next(spoken.utterance, utterance)
        await self._release(segment.chunk_id)

    def _learn_pace(self, segment: _Segment) -> None:
        now = asyncio.get_running_loop().time()
        if not segment.failed:
            work_s = now - max(segment.asked_at, self._server_free_at)
            self._pace.saw(len(segment.text), segment.audio_ms / 1000, work_s)
        self._server_free_at = now

    async def _play_rest(
        self,
        context_id: str,
        utterance: _Utterance,
        segment: _Segment,
        words: Sequence[tuple[str, int, int]],
    ) -> None:
        """Play what was held back, each word's text after its sound."""
        heard, start_ms = segment.heard, segment.audio_ms
        pcm, segment.held = bytes(segment.held), bytearray()
        if heard is None:
            await self._play(context_id, utterance, segment, pcm)
            return
        total_ms = start_ms + len(pcm) / 2 / utterance.sample_rate * 1000
        parts = cut(pcm, heard.timeline(total_ms, words), start_ms, utterance.sample_rate)
        for part in parts[:-1]:
            await self._play(context_id, utterance, segment, part)
            await self._say(context_id, segment, heard)
        await self._play(context_id, utterance, segment, parts[-1])

    async def _play(self, context_id: str, utterance: _Utterance, segment: _Segment, pcm: bytes) -> None:
        if not pcm:
            return
        segment.audio_ms += len(pcm) / 2 / utterance.sample_rate * 1000
        await self._append_audio(context_id, utterance, pcm)

    async def _append_audio(self, context_id: str, utterance: _Utterance, pcm: bytes) -> None:
        now = asyncio.get_running_loop().time()
        utterance.plays_until = max(now, utterance.plays_until) + len(pcm) / 2 / utterance.sample_rate
        frame = TTSAudioRawFrame(pcm, utterance.sample_rate, 1, context_id=context_id)
        await super().append_to_audio_context(context_id, frame)

    async def _say(self, context_id: str, segment: _Segment, heard: Heard) -> None:
        """Queue the next piece of text behind its sound: for the conversation, and for the page."""
        if segment.frame is None:
            return
        piece = heard.take()
        await super().append_to_audio_context(context_id, _text_frame(piece, segment.frame))
        if segment.frame.segment_id is not None:
            progress = AggregatedTextProgressFrame(
                segment_id=segment.frame.segment_id,
                context_id=context_id,
                text=heard.text,
                text_type=segment.frame.text_type,
                accumulated_text=heard.said,
                remaining_text=heard.unsaid,
            )
            await super().append_to_audio_context(context_id, progress)

    async def _pause_before_next(self, context_id: str, utterance: _Utterance) -> None:
        """Let a sentence end be heard, where another segment follows, unless it is silent already."""
        if not utterance.pause_due or not utterance.segments:
            return
        utterance.pause_due = False
        silent_s = max(0.0, asyncio.get_running_loop().time() - utterance.plays_until)
        samples = round(max(0.0, PAUSE_S - silent_s) * utterance.sample_rate)
        if samples:
            await self._append_audio(context_id, utterance, bytes(2 * samples))

    async def _on_error(self, error: ServerError) -> None:
        names = [error.utterance] if error.utterance else list(self._utterances)
        await self.push_error(f"The voice reports: {error.message}", category=ErrorCategory.SERVER)
        for name in names:
            if (utterance := self._utterances.get(name)) and utterance.segments:
                utterance.segments[0].failed = True
                await self._release(utterance.segments[0].chunk_id)
                return

    async def _end(self, context_id: str) -> None:
        """Close the audio context behind what it still plays."""
        utterance = self._utterances.pop(context_id, None) or _Utterance()
        for segment in utterance.segments:
            await self._play_rest(context_id, utterance, segment, ())
        if self.audio_context_available(context_id):
            await super().append_to_audio_context(context_id, TTSStoppedFrame(context_id=context_id))
            await self.remove_audio_context(context_id)
        for segment in utterance.segments:
            await self._release(segment.chunk_id)

    # ---------------------------------------------------------------------------------- the handshake

    def _is_pending(self, chunk_id: int) -> bool:
        return any(s.chunk_id == chunk_id for u in self._utterances.values() for s in u.segments)

    async def _release(self, chunk_id: int | None) -> None:
        await self.tell_model(ChunkedLLMContinueGenerationFrame(chunk_id))


def stream_url(url: str) -> str:
    """Return the WebSocket address of a server given as `http(s)://` or `ws(s)://`."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/")
    return urlunsplit(
        (scheme, parts.netloc, path if path.endswith("/stream") else path + "/ws/tts/stream", "", "")
    )


def _text_frame(text: str, source: TTSTextFrame) -> TTSTextFrame:
    """Return `text`, a piece of `source`, with its own spaces and everything else as in `source`."""
    frame = TTSTextFrame(text, TextType.WORD, context_id=source.context_id, segment_id=source.segment_id)
    frame.includes_inter_frame_spaces = True
    frame.append_to_context = source.append_to_context
    frame.will_be_spoken = source.will_be_spoken
    return frame
