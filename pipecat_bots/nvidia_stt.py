"""Streaming recognition for a bot: audio frames out, transcripts in, one final per pause of the user.

At every pause that the voice activity detector reports, a hard reset follows the audio to the server, and
its final covers exactly that audio (docs/decisions/turn-finalisation.md). What has not been answered is
said again on a new connection, so a short outage costs no words.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from loguru import logger
from pipecat.audio.utils import create_stream_resampler
from pipecat.frames.frames import (
    EagerTranscriptionFrame,
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import WebsocketSTTService
from pipecat.transcriptions.language import Language
from pipecat.utils.time import time_now_iso8601
from pipecat.utils.tracing.service_decorators import traced_stt
from websockets.asyncio.client import ClientConnection

from nemotron_speech.errors import PeerError
from nemotron_speech.protocol.asr import SAMPLE_RATE, AsrClient, Error, Final, Interim, Ready
from pipecat_bots.frames import NothingSaidFrame, VoiceActivityFrame
from pipecat_bots.peers.connection import KeepConnected
from pipecat_bots.peers.dependence import Server
from pipecat_bots.peers.journal import Journal, Mark

PATIENCE_S = 2.0
"""How long a finished utterance waits for a lost server before the turn goes on without it."""
FINAL_P99_S = 1.0
"""Speech end to final transcript. Finals are matched to their reset, so this only bounds the wait of a turn
that has words already and gets none from its last pause."""


@dataclass
class NVidiaSTTSettings(STTSettings):
    """Runtime settings: `language` is passed to the server, None leaves it the choice."""


class NVidiaWebSocketSTTService(KeepConnected, WebsocketSTTService):
    """Recognise speech with the streaming server of docs/protocols.md, section 1.

    Args:
        url: The server, `ws://host:port`.
        settings: Runtime settings.
        patience_s: How long a finished utterance waits for a lost server.
        replay_s: How much unanswered audio is kept for a new connection.
        eager: Whether to ask what has been heard whenever the user falls silent, before it is a pause.
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
        self._voiced = False
        self._journal = Journal(2 * SAMPLE_RATE, replay_s)
        self._client = AsrClient()
        self._resets: dict[str, int] = {}
        """Reset ids of this connection, and the marks they stand for."""
        self._sending = asyncio.Lock()
        self._giving_up: asyncio.Task[None] | None = None
        self._resampler = create_stream_resampler()

    def can_generate_metrics(self) -> bool:
        return True

    async def setup(self, setup: FrameProcessorSetup) -> None:
        await super().setup(setup)
        await self._connect()

    # ---------------------------------------------------------------------------- from the pipeline

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Send audio on, or keep it for when the server is back."""
        if self.sample_rate != SAMPLE_RATE:
            audio = await self._resampler.resample(audio, self.sample_rate, SAMPLE_RATE)
        if audio:
            self._journal.audio(audio)
            await self._pump()
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStartedSpeakingFrame):
            self._journal.speaking = True
            self._wanted.set()
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            await self._finish_utterance()
        elif isinstance(frame, VoiceActivityFrame):
            self._voiced = frame.voiced
            if self._eager and self._journal.speaking and not frame.voiced:
                await self._ask_ahead()

    async def _finish_utterance(self) -> None:
        self._journal.speaking = False
        self._journal.mark()
        self.request_finalize()
        await self._pump()
        if self._socket is None:
            self._wanted.set()
            await self._give_up_later()

    # ------------------------------------------------------------------------------ to the server

    async def _pump(self) -> None:
        """Send what the journal has, in order: the only sender, so a replay and new audio cannot mix."""
        async with self._sending:
            while self._socket is not None and (item := self._journal.next()) is not None:
                await self._send(self._reset(item) if isinstance(item, Mark) else item)

    async def _ask_ahead(self) -> None:
        """Ask for the words so far, the last one included; the recogniser goes on as if not asked."""
        async with self._sending:
            if self._socket is not None and not self._client.pending:
                _, message = self._client.reset(finalize=False)
                await self._send(message)

    def _reset(self, mark: Mark) -> str:
        id, message = self._client.reset()
        self._resets[id] = mark.number
        return message

    async def _greet(self, websocket: ClientConnection) -> None:
        self._client, self._resets = AsrClient(), {}
        while True:
            message = await websocket.recv()
            match self._client.receive(message) if isinstance(message, str) else None:
                case Ready():
                    return
                case Error(message=reason):
                    logger.warning(f"{self}: {self._server.address} says: {reason}")

    async def _on_connected(self) -> None:
        await self._stop_giving_up()
        logger.debug(f"{self}: connected to {self._server.address}")
        self._journal.rewind()
        await self._pump()

    async def _on_lost(self) -> None:
        if self._journal.pending:
            await self._give_up_later()

    @property
    def _language(self) -> Language | None:
        """The language the recogniser was told, if it is one (`auto` is none)."""
        language = self._settings.language
        return language if isinstance(language, Language) else None

    # ---------------------------------------------------------------------------- from the server

    async def _on_message(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            raise PeerError("the recogniser sent binary data")
        match self._client.receive(message):
            case Interim(text=text) if self._journal.speaking and not self._client.pending:
                await self._interim(text)
            case Final(finalize=False, text=text):
                await self._words_so_far(text.strip())
            case Final() as final:
                await self._final(final)
            case Error(message=reason):
                logger.warning(f"{self}: {self._server.address} says: {reason}")

    async def _interim(self, text: str) -> None:
        """Show what is heard of the utterance being spoken; after its final it would undo that."""
        if text.strip():
            now, language = time_now_iso8601(), self._language
            await self.push_frame(InterimTranscriptionFrame(text.strip(), self._user_id, now, language))

    async def _words_so_far(self, text: str) -> None:
        if self._voiced:
            await self._interim(text)
        else:
            now, language = time_now_iso8601(), self._language
            await self.push_frame(EagerTranscriptionFrame(text, self._user_id, now, language))

    async def _final(self, final: Final) -> None:
        number = self._resets.pop(final.id, 0)
        self._journal.answered(number)
        is_last = number == self._journal.last_mark
        if text := final.text.strip():
            if is_last:
                self.confirm_finalize()
            await self.emit_stt_usage_metrics()
            now, language = time_now_iso8601(), self._language
            await self.push_frame(TranscriptionFrame(text, self._user_id, now, language))
            await self._handle_transcription(text, True, language)
        elif is_last:
            await self._nothing_said()

    async def _nothing_said(self) -> None:
        """Let the turn go on without words."""
        await self._reset_stt_ttfb_state()
        if not self._journal.speaking:
            await self.push_frame(NothingSaidFrame())

    @traced_stt
    async def _handle_transcription(self, transcript: str, is_final: bool, language: Any = None) -> None:
        """Exist for the tracer."""

    # ------------------------------------------------------------------------------- giving up

    async def _give_up_later(self) -> None:
        await self._stop_giving_up()
        self._giving_up = self.create_task(self._give_up(self._journal.last_mark), name="giving_up")

    async def _stop_giving_up(self) -> None:
        task, self._giving_up = self._giving_up, None
        if task is not None:
            await self.cancel_task(task)

    async def _give_up(self, number: int) -> None:
        await asyncio.sleep(self._patience_s)
        logger.warning(f"{self}: an utterance was lost with {self._server.address}")
        self._journal.answered(number)
        await self._nothing_said()

    async def _disconnect(self) -> None:
        await self._stop_giving_up()
        await super()._disconnect()
