"""Streaming recognition for a bot: audio frames out, transcripts in, one final per pause of the user.

At every pause that the voice activity detector reports, a hard reset follows the audio to the server, and
its final covers exactly that audio (docs/decisions/turn-finalisation.md). What has not been answered is
said again on a new connection, so a short outage costs no words. A server that stays connected and answers
nothing is left, too, and told everything again on a new connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from loguru import logger
from pipecat.audio.utils import create_stream_resampler
from pipecat.frames.frames import (
    EagerTranscriptionFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameCallback, FrameDirection, FrameProcessorSetup
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import WebsocketSTTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601
from pipecat.utils.tracing.service_decorators import traced_stt
from websockets.asyncio.client import ClientConnection

from nemotron_speech.errors import PeerError
from nemotron_speech.protocol.asr import SAMPLE_RATE, AsrClient, AsrError, Final, Interim, Ready
from pipecat_bots.connections.answers_due import AnswersDue
from pipecat_bots.connections.outage import Server
from pipecat_bots.connections.outage_notice import Owed
from pipecat_bots.connections.replay_buffer import ReplayBuffer, UtteranceEnd
from pipecat_bots.frames import NothingSaidFrame, SilenceFrame, VoiceActivityFrame
from pipecat_bots.runtime.audio_path import hand_on
from pipecat_bots.speculation.foresight import Foresight
from pipecat_bots.turn_text.completeness import same_words

TranscriptT = TypeVar("TranscriptT", EagerTranscriptionFrame, InterimTranscriptionFrame, TranscriptionFrame)

PIECE_BYTES = 2 * SAMPLE_RATE * 40 // 1000
"""Bytes sent at once while somebody speaks: 40 ms. Audio whose words are asked for is sent to its end."""
PATIENCE_S = 5.0
"""Seconds a finished utterance waits for a lost server before the turn goes on without it."""
MEMORY_S = 60.0
"""Seconds an utterance is kept after `PATIENCE_S`, to be answered when the server is back."""
FINAL_P99_S = 3.0
"""Speech end to final transcript. Finals are matched to their reset, so this only bounds the wait of a turn
that has words already and gets none from its last pause."""


@dataclass
class NVidiaSTTSettings(STTSettings):
    """Runtime settings: `language` is passed to the server, None leaves it the choice."""


class NVidiaWebSocketSTTService(AnswersDue, WebsocketSTTService):
    """Recognise speech with the streaming server of docs/protocols.md, section 1.

    Args:
        url: The server, `ws://host:port`.
        settings: Runtime settings.
        patience_s: How long a finished utterance waits for a lost server.
        replay_s: How much unanswered audio is kept for a new connection.
        eager: True to ask what has been heard when the user falls silent, before it is a pause. The worth
            of the answers is learnt (`speculation/foresight.py`).
        kwargs: Passed to Pipecat's base class.
    """

    Settings = NVidiaSTTSettings

    def __init__(
        self,
        *,
        url: str = "ws://localhost:8080",
        settings: NVidiaSTTSettings | None = None,
        patience_s: float = PATIENCE_S,
        replay_s: float = 10.0,
        eager: bool = False,
        **kwargs: Any,
    ) -> None:
        store = NVidiaSTTSettings(model="nemotron-speech", language=None)
        if settings is not None:
            store.apply_update(settings)
        kwargs.setdefault("ttfs_p99_latency", FINAL_P99_S)
        server = Server("asr", "speech recogniser", url)
        super().__init__(url=url, server=server, settings=store, **kwargs)
        if isinstance(language := self._settings.language, str):
            self._url = f"{url}?{urlencode({'language': language})}"
        self._patience_s = patience_s
        self._eager = eager
        self._foresight = Foresight(same_words)
        self._asked: dict[str, float] = {}
        """Ids of the soft resets in the silence that goes on, and how long it had lasted, in milliseconds."""
        self._knows_soft_resets = True
        self._journal = ReplayBuffer(2 * SAMPLE_RATE, replay_s)
        self._piece = b""
        """Newest audio, until there is enough to send."""
        self._client = AsrClient()
        self._resets: dict[str, int] = {}
        """Reset ids of this connection, and the marks they stand for."""
        self._sending = asyncio.Lock()
        self._giving_up: asyncio.Task[None] | None = None
        self._given_up = 0
        """The newest mark that a turn went on without."""
        self._owed = Owed.NOTHING
        self._register_event_handler("on_unheard")
        self._resampler = create_stream_resampler()

    def can_generate_metrics(self) -> bool:
        return True

    async def setup(self, setup: FrameProcessorSetup) -> None:
        await super().setup(setup)
        await self._connect()

    # ---------------------------------------------------------------------------- from the pipeline

    async def queue_frame(
        self,
        frame: Frame,
        direction: FrameDirection = FrameDirection.DOWNSTREAM,
        callback: FrameCallback | None = None,
    ) -> None:
        """Hear audio at once, in the transport's task; everything else waits for its turn."""
        if isinstance(frame, InputAudioRawFrame) and self.sample_rate and callback is None:
            await self.process_audio_frame(frame, direction)
            await hand_on(self, frame)
        else:
            await super().queue_frame(frame, direction, callback)

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Send audio on, or keep it for when the server is back."""
        if self.sample_rate != SAMPLE_RATE:
            audio = await self._resampler.resample(audio, self.sample_rate, SAMPLE_RATE)
        self._piece += audio
        if len(self._piece) >= PIECE_BYTES:
            self._note_piece()
            await self._pump()
        if self._foresight.audio(len(audio) / 2 / SAMPLE_RATE * 1000):
            await self._ask_ahead()
        yield None

    def _note_piece(self) -> None:
        piece, self._piece = self._piece, b""
        if piece:
            self._journal.audio(piece)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStartedSpeakingFrame):
            self._journal.speaking = True
            self._wanted.set()
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            await self._finish_utterance()
        elif isinstance(frame, VoiceActivityFrame) and self._eager:
            self._hear_silence(frame.voiced)
        elif isinstance(frame, SilenceFrame) and self._foresight.silent():
            await self._ask_ahead()

    def _hear_silence(self, voiced: bool) -> None:
        """Follow the silences within what the user says."""
        self._asked.clear()
        if voiced:
            self._foresight.voiced()
        elif self._journal.speaking:
            self._foresight.quiet()

    async def _finish_utterance(self) -> None:
        self._note_piece()
        self._journal.speaking = False
        self._foresight.pauses()
        self._journal.mark()
        self.request_finalize()
        await self._pump()
        if self._socket is None:
            self._wanted.set()
        if self._socket is None or self.is_silent:
            await self._give_up_later()

    # ------------------------------------------------------------------------------ to the server

    @property
    def is_awaited(self) -> bool:
        return self._journal.speaking or self.owes_words

    @property
    def owes_words(self) -> bool:
        """True if speech has no transcript yet."""
        return bool(self._journal.pending)

    @property
    def owed(self) -> Owed:
        """Answer or repetition owed to the user for speech in the outage."""
        return self._owed

    async def _pump(self) -> None:
        """Send what the journal has, in order: the only sender, so a replay and new audio cannot mix."""
        async with self._sending:
            while self._socket is not None and (item := self._journal.next()) is not None:
                await self._send(self._reset(item) if isinstance(item, UtteranceEnd) else item)

    async def _ask_ahead(self) -> None:
        """Ask for the words so far, as far as they are known; the recogniser goes on as if not asked."""
        self._note_piece()
        await self._pump()
        async with self._sending:
            if self._may_ask:
                id, message = self._client.reset(finalize=False)
                self._asked[id] = self._foresight.silence_ms
                self._foresight.asked()
                await self._send(message)

    @property
    def _may_ask(self) -> bool:
        connected = self._socket is not None and self._knows_soft_resets
        return connected and self._journal.speaking and not self._client.pending

    def _reset(self, mark: UtteranceEnd) -> str:
        id, message = self._client.reset()
        self._watch()
        self._resets[id] = mark.number
        return message

    async def _greet(self, websocket: ClientConnection) -> None:
        self._client, self._resets = AsrClient(), {}
        self._asked.clear()
        self._foresight.connected()
        self._knows_soft_resets = True
        while True:
            message = await websocket.recv()
            match self._client.receive(message) if isinstance(message, str) else None:
                case Ready():
                    return
                case AsrError(message=reason):
                    logger.warning(f"{self}: {self._server.address} says: {reason}")

    async def _on_connected(self) -> None:
        if not self.is_silent:
            await self._stop_giving_up()
        logger.debug(f"{self}: connected to {self._server.address}")
        self._journal.rewind()
        await self._pump()

    async def _on_lost(self) -> None:
        await self._stop_watching()
        if self.is_silent:
            return
        self._owed = Owed.NOTHING
        if self._journal.pending:
            await self._give_up_later()

    @property
    def _is_answer_due(self) -> bool:
        return bool(self._resets)

    async def _on_silence(self, lasted_s: float) -> None:
        self._owed = Owed.NOTHING
        await self._give_up_later(lasted_s)

    @property
    def _language(self) -> Language | None:
        """The language the recogniser was told, if it is one (`auto` is none)."""
        language = self._settings.language
        return language if isinstance(language, Language) else None

    # ---------------------------------------------------------------------------- from the server

    async def _on_message(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            raise PeerError("the recogniser sent binary data")
        self._sign_of_life()
        match self._client.receive(message):
            case Interim(text=text) if self._journal.speaking and not self._resets:
                await self._interim(text.strip())
            case Final(finalize=False) as final:
                await self._words_so_far(final)
            case Final() as final:
                await self._final(final)
            case AsrError(message=reason):
                logger.warning(f"{self}: {self._server.address} says: {reason}")

    async def _interim(self, text: str) -> None:
        """Show what is heard of the utterance being spoken; after its final it would undo that."""
        if text:
            await self.push_frame(self._heard(InterimTranscriptionFrame, text))
            if self._foresight.grew(text):
                await self.push_frame(self._heard(EagerTranscriptionFrame, text))

    async def _words_so_far(self, final: Final) -> None:
        """Take the answer to a soft reset: the words of the turn, if they are believed to be all."""
        text, silence_ms = final.text.strip(), self._asked.pop(final.id, None)
        if silence_ms is not None and self._foresight.answered(text, silence_ms, final.flushed):
            await self.push_frame(self._heard(EagerTranscriptionFrame, text))
        elif text and self._journal.speaking:
            await self.push_frame(self._heard(InterimTranscriptionFrame, text))

    def _heard(self, kind: type[TranscriptT], text: str) -> TranscriptT:
        """Return a transcript that outlives an interruption: words that interrupt are followed by others."""
        frame = kind(text, self._user_id, time_now_iso8601(), self._language)
        frame.interruptible = False
        return frame

    async def _final(self, final: Final) -> None:
        number = self._resets.pop(final.id, None)
        if number is None:
            await self._cut_in_two(final)
            return
        self._journal.answered(number)
        if self.is_silent:
            await self._answers_again(bool(final.text.strip()))
        is_last = number == self._journal.last_mark
        if is_last:
            self._foresight.final(final.text.strip())
        if text := final.text.strip():
            if is_last:
                self.confirm_finalize()
            await self.emit_stt_usage_metrics()
            await self.push_frame(self._heard(TranscriptionFrame, text))
            await self._handle_transcription(text, True, self._language)
        elif is_last:
            await self._nothing_said()
            if number == self._given_up:
                await self._call_event_handler("on_unheard")

    async def _answers_again(self, has_words: bool) -> None:
        """Take the first answer of a server that was silent: with words, it is the news that it is back."""
        await self._stop_giving_up()
        if self._owed is Owed.NOTHING and has_words:
            self._owed = Owed.ANSWER
        await self._speaks_again()

    async def _cut_in_two(self, final: Final) -> None:
        """Take the first part of an utterance from a server that takes every reset for a hard one."""
        self._knows_soft_resets = False
        if text := final.text.strip():
            await self.push_frame(self._heard(TranscriptionFrame, text))

    async def _nothing_said(self) -> None:
        """Let the turn go on without words."""
        await self._reset_stt_ttfb_state()
        if not self._journal.speaking:
            await self.push_frame(NothingSaidFrame())

    @traced_stt
    async def _handle_transcription(self, transcript: str, is_final: bool, language: Any = None) -> None:
        """Exist for the tracer."""

    # ------------------------------------------------------------------------------- giving up

    async def _give_up_later(self, waited_s: float = 0.0) -> None:
        await self._stop_giving_up()
        left_s = max(0.0, self._patience_s - waited_s)
        self._giving_up = self.create_task(self._give_up(self._journal.last_mark, left_s), name="giving_up")

    async def _stop_giving_up(self) -> None:
        task, self._giving_up = self._giving_up, None
        if task is not None:
            await self.cancel_task(task)

    async def _give_up(self, number: int, patience_s: float) -> None:
        """Let the turn go on; the words are kept for a while, and answered when the server is back."""
        await asyncio.sleep(patience_s)
        logger.warning(f"{self}: an utterance waits in vain for {self._server.address}")
        self._given_up, self._owed = number, Owed.ANSWER
        await self._nothing_said()
        await asyncio.sleep(MEMORY_S)
        self._journal.answered(number)
        self._owed = Owed.REPETITION

    async def _disconnect(self) -> None:
        await self._stop_giving_up()
        await super()._disconnect()
