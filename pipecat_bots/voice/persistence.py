"""A voice that is asked again for what it has not said: on its next connection, or once where it is silent.

docs/decisions/silent-voice.md says what is waited for, and for how long.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from loguru import logger
from pipecat.processors.frame_processor import FrameProcessorSetup
from websockets.asyncio.client import ClientConnection

from nemotron_speech.client.pace import Pace
from nemotron_speech.protocol.tts import PLAIN_RATE, Event, SynthesisFailed
from nemotron_speech.protocol.tts_client import TtsClient
from pipecat_bots.connections.outage import silent
from pipecat_bots.connections.websocket import ConnectionRefused, KeepConnected
from pipecat_bots.voice.addresses import ask_rate
from pipecat_bots.voice.patience import ANNOUNCED_S, AWAY_S, MOST_S, STILL_AWAY_S, SilentVoicePatience, Voice
from pipecat_bots.voice.segments import VoiceSegment, VoiceUtterance

HABITS_S = 1.0
"""A server that has not answered `init` by then is taken for one that announces the first text only."""


class PersistentVoice(KeepConnected):
    """Text given to the voice, the protocol that asks for it, and the patience with it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._client = TtsClient()
        self._utterances: dict[str, VoiceUtterance] = {}
        """Utterances by audio context, in the order they are spoken."""
        self._pace = Pace()
        self._patience = SilentVoicePatience()
        self._voice = Voice.FINE
        self._assumed_rate = PLAIN_RATE
        self._is_linked = False
        """True if the text given to the voice has been asked of the server that is connected."""
        self._away_since = 0.0
        self._news = asyncio.Event()
        """Set when the moment to wait until may have changed."""
        self._to_send = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    # ------------------------------------------------------------------------ what a service fills in

    @abstractmethod
    def _init(self, client: TtsClient) -> None:
        """Set the voice of what is spoken from now on."""

    @abstractmethod
    def _ask(self, context_id: str, utterance: VoiceUtterance, segment: VoiceSegment) -> None:
        """Ask the server for a segment."""

    @abstractmethod
    async def _on_event(self, event: Event) -> None:
        """Act on what the server has said."""

    @abstractmethod
    async def _keep_the_rest(self) -> None:
        """Reduce what is to be spoken to what has not been heard."""

    @abstractmethod
    async def _give_up(self) -> None:
        """End everything that is to be spoken."""

    @abstractmethod
    async def _release(self, segment: VoiceSegment) -> None:
        """Let the model go on behind a segment."""

    # ---------------------------------------------------------------------------------- the connection

    async def setup(self, setup: FrameProcessorSetup) -> None:
        await super().setup(setup)
        self._away_since = asyncio.get_running_loop().time()
        self._tasks = [
            self.create_task(self._send_all(), "sending"),
            self.create_task(self._watch(), "watching"),
        ]
        await self._connect()

    async def cleanup(self) -> None:
        await super().cleanup()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            await self.cancel_task(task)

    @property
    def is_awaited(self) -> bool:
        """True if something waits to be spoken."""
        return next(self._pending(), None) is not None

    def _pending(self) -> Iterator[VoiceSegment]:
        return (segment for utterance in self._utterances.values() for segment in utterance.segments)

    async def _send_all(self) -> None:
        """Send what the protocol has to say: the only sender, so no interruption tears it apart."""
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            if self._socket is not None:
                for message in self._client.to_send():
                    await self._send(message)

    async def _greet(self, websocket: ClientConnection) -> None:
        """Learn the server's habits from its answer to `init`, and its rate."""
        client = TtsClient()
        self._init(client)
        for message in client.to_send():
            await websocket.send(message)
        errors = await self._habits(client, websocket)
        for error in errors:
            if "language" in error.message:  # spoken in another one it would be worse than silence
                raise ConnectionRefused(error.message)
        if client.sample_rate is None:
            self._assumed_rate = await ask_rate(self._url)
        self._client = client
        for error in errors:
            await self._on_event(error)

    async def _habits(self, client: TtsClient, websocket: ClientConnection) -> list[SynthesisFailed]:
        errors: list[SynthesisFailed] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(HABITS_S):
                while not client.is_understood:
                    events = client.receive(await websocket.recv())
                    errors += [event for event in events if isinstance(event, SynthesisFailed)]
        client.assume_plain()
        return errors

    async def _on_connected(self) -> None:
        logger.debug(f"{self}: connected to {self._server.address}")
        self._is_linked = True
        if self.outage != silent(self._server):
            self._voice = Voice.FINE
        self._patience.begin(asyncio.get_running_loop().time())
        self._ask_again()

    async def _on_lost(self) -> None:
        """Keep what has not been heard for the next connection; what was received still plays."""
        self._is_linked = False
        self._client = TtsClient()
        self._away_since = asyncio.get_running_loop().time()
        await self._keep_the_rest()
        self._news.set()

    async def _on_message(self, message: str | bytes) -> None:
        events = self._client.receive(message)
        self._to_send.set()
        for event in events:
            await self._on_event(event)

    def _ask_again(self) -> None:
        """Ask for all that has not been heard, in its order."""
        for context_id, utterance in self._utterances.items():
            for segment in utterance.segments:
                self._ask(context_id, utterance, segment)
            if utterance.is_finished:
                self._client.finish(context_id)
        self._to_send.set()
        self._news.set()

    # ------------------------------------------------------------------------------------ the patience

    async def _watch(self) -> None:
        """Lose patience with a server that is away, or that is there and says nothing."""
        clock = asyncio.get_running_loop()
        while True:
            self._news.clear()
            until = self._waits_until()
            if until is None or until > clock.time():
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(until):
                        await self._news.wait()
            elif self._is_linked:
                await self._lose_patience()
            else:
                self._voice = Voice.LOST
                await self._give_up()

    def _waits_until(self) -> float | None:
        """Return when patience ends with what is to be spoken next; None if nothing is."""
        segment = next(self._pending(), None)
        if segment is None:
            return None
        if not self._is_linked:
            still = segment.since + STILL_AWAY_S
            return still if self._voice is Voice.LOST else max(still, self._away_since + AWAY_S)
        if self._voice is Voice.LOST and self._patience.is_announced:
            return self._patience.until() + MOST_S
        work_s = self._pace.work_s(len(segment.text)) if segment.mode == "batch" else 0.0
        return self._patience.until(work_s, MOST_S if self._voice is Voice.FINE else ANNOUNCED_S)

    async def _lose_patience(self) -> None:
        """Ask once more for what a silent server was asked for; then let nobody wait for it."""
        match self._voice:
            case Voice.FINE:
                self._voice = Voice.ASKED_AGAIN
                logger.warning(f"{self}: no sign of the {self._server.name}; it is asked again")
                await self._keep_the_rest()
                self._client.cancel()
                self._patience.begin_again(asyncio.get_running_loop().time())
                self._ask_again()
            case Voice.ASKED_AGAIN:
                self._voice = Voice.LOST
                await self._report_outage(silent(self._server), "it was asked twice")
                for segment in list(self._pending()):
                    await self._release(segment)
                if not self._patience.is_announced:
                    await self._give_up()
                    await self._hang_up()
            case Voice.LOST:
                await self._give_up()

    async def _hang_up(self) -> None:
        """End a connection on which nothing comes; the link makes another."""
        if (websocket := self._socket) is not None:
            await websocket.close()

    async def _sign_of_life(self) -> None:
        """Note that the server has done some of what it was asked for."""
        self._patience.heard(asyncio.get_running_loop().time())
        self._news.set()
        if self._voice is not Voice.FINE:
            self._voice = Voice.FINE
            await self._report_recovery()

    async def _report_recovery(self) -> None:
        """Report a silent voice as back when it is heard, not when it answers."""
        if self.outage != silent(self._server) or self._voice is Voice.FINE:
            await super()._report_recovery()
