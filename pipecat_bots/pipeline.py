"""The session of one caller: its pipeline, what watches it, and what is said when a server is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from loguru import logger
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import UserIdleTimeoutUpdateFrame
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.processors.frameworks.rtvi import RTVIProcessor
from pipecat.processors.frameworks.rtvi.models import ClientMessage
from pipecat.runner.types import (
    DailyRunnerArguments,
    RunnerArguments,
    SmallWebRTCRunnerArguments,
    WebSocketRunnerArguments,
)
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import BaseTransport
from pipecat.turns.user_mute import FirstSpeechUserMuteStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.types import NOT_GIVEN
from pipecat.workers.runner import WorkerRunner

from nemotron_speech import caller_log
from pipecat_bots.connections.outage import Dependent, Notice, all_busy, in_line
from pipecat_bots.connections.outage_notice import LostRecogniser
from pipecat_bots.context.assistant import AssistantAggregator
from pipecat_bots.context.user import Conversation, UserAggregator
from pipecat_bots.frames import AnnouncementFrame
from pipecat_bots.greeting import Greeting
from pipecat_bots.llm.tools import Tools, check_servers, toolbox
from pipecat_bots.observability import log
from pipecat_bots.observability.first_sound import FirstSound
from pipecat_bots.observability.recording import recorder
from pipecat_bots.observability.turn_metrics import JsonLines, TurnMetrics, TurnMetricsObserver
from pipecat_bots.playout import Playout
from pipecat_bots.process import sessions, sweeper
from pipecat_bots.runtime.audio_path import QuietPipeline
from pipecat_bots.services import Services, assemble
from pipecat_bots.settings import BotSettings, TransportSettings
from pipecat_bots.speculation.rtvi import QuietRTVIProcessor
from pipecat_bots.transports.doors import open_transport
from pipecat_bots.transports.telephony import PROVIDERS
from pipecat_bots.transports.webrtc import Line, connected, watched
from pipecat_bots.turns.idle_user import IdlePlan, IdleUser
from pipecat_bots.turns.strategies import WORDLESS_TURN_S, smart_turns
from pipecat_bots.turns.vad import WatchfulVADAnalyzer


def idle_plan(settings: BotSettings) -> IdlePlan:
    return IdlePlan(
        settings.bot_user_idle_secs,
        settings.bot_user_leave_secs,
        settings.bot_user_idle_question,
        settings.bot_user_goodbye,
    )


# ------------------------------------------------------------------------------------------ session


async def run_session(
    runner_args: RunnerArguments,
    services: Callable[[BotSettings], Services],
    turns: Callable[[BotSettings], UserTurnStrategies],
) -> None:
    """Run one caller's session until it ends."""
    with caller_log.about(caller_log.short(runner_args.session_id or "")):
        await _run_session(runner_args, services, turns)


async def _run_session(
    runner_args: RunnerArguments,
    services: Callable[[BotSettings], Services],
    turns: Callable[[BotSettings], UserTurnStrategies],
) -> None:
    settings = BotSettings()
    log.set_up(settings)
    # Where nothing has warmed up, two models are loaded: not on the event loop that serves other callers.
    listening = await asyncio.to_thread(lambda: Listening(voice_activity(settings), turns(settings)))
    if isinstance(runner_args, SmallWebRTCRunnerArguments) and not await connected(
        runner_args.webrtc_connection
    ):
        return
    transport = await open_transport(runner_args, TransportSettings())
    if transport is None:
        return
    async with toolbox(settings.bot_tools, settings.bot_mcp_servers) as tools:
        session = CallSession(settings, transport, runner_args, services(settings), listening, tools)
        sessions.add(session)
        try:
            await session.run()
        finally:
            sessions.discard(session)
            sweeper.call_ended()


def warm_up() -> None:
    """Load what a first session would wait for: the transport's code and the two models of listening."""
    import pipecat.transports.smallwebrtc.transport  # noqa: F401

    settings = BotSettings()
    check_servers(settings.bot_mcp_servers)
    voice_activity(settings)
    smart_turns(settings)


def voice_activity(settings: BotSettings) -> WatchfulVADAnalyzer:
    return WatchfulVADAnalyzer(params=VADParams(stop_secs=settings.bot_vad_stop_secs))


@dataclass(frozen=True, slots=True)
class Listening:
    """Detectors that tell a session that the user speaks, and that a turn ends."""

    vad: WatchfulVADAnalyzer
    turns: UserTurnStrategies


class CallSession:
    """One caller: the pipeline and everything that watches it."""

    def __init__(
        self,
        settings: BotSettings,
        transport: BaseTransport,
        runner_args: RunnerArguments,
        services: Services,
        listening: Listening,
        tools: Tools,
    ) -> None:
        self._settings = settings
        self._args = runner_args
        self._services = services
        for service in (services.stt, services.tts):
            service.session_id = runner_args.session_id or ""
        self._tools = tools
        self._greeting = Greeting(self._greet, self._can_serve, self._on_arrival)
        self._awaited = False
        self._told_place = 0
        self._lost_recogniser = LostRecogniser(self._apologise)
        self._idle_user = IdleUser(idle_plan(settings), self._say, self._wait_for_user, self._leave)
        self._metrics = self._observer(listening.vad)
        self._worker = self._build_worker(self._processors(transport, listening))
        self._runner = WorkerRunner(handle_sigint=runner_args.handle_sigint)
        self._watch(transport)

    async def run(self) -> None:
        """Serve the caller; returns when it has gone."""
        logger.info(f"session {self._args.session_id} begins")
        if isinstance(self._args, DailyRunnerArguments):
            # A room may stay empty; everybody else who has a session is connected already.
            await self._rest()
        await self._runner.add_workers(self._worker)
        try:
            async with self._line():
                await self._runner.run()
        finally:
            await self._metrics.close()
            logger.info(f"session {self._args.session_id} ends")

    def _line(self) -> AbstractAsyncContextManager[None]:
        """Watch whether anything comes, where ICE alone would notice late that a caller is gone."""
        if isinstance(self._args, SmallWebRTCRunnerArguments):
            return watched(self._args.webrtc_connection, self._on_line)
        return nullcontext()

    async def _rest(self) -> None:
        """Hold no place at a server: nobody is there."""
        await self._services.stt.rest()
        await self._services.tts.rest()

    @property
    def is_awaited(self) -> bool:
        """True if the user has said something and not been answered yet."""
        return self._awaited

    async def stop(self) -> None:
        """End the session now."""
        await self._runner.cancel()

    # ------------------------------------------------------------------------------------ building

    def _processors(self, transport: BaseTransport, listening: Listening) -> list[FrameProcessor]:
        params = LLMUserAggregatorParams(
            vad_analyzer=listening.vad,
            user_turn_strategies=listening.turns,
            # A cough is no question: it may silence the bot, it does not make it speak.
            empty_user_turn=None,
            user_turn_stop_timeout=WORDLESS_TURN_S,
            user_idle_timeout=self._settings.bot_user_idle_secs,
            user_mute_strategies=[FirstSpeechUserMuteStrategy()] if self._settings.bot_mute_greeting else [],
        )
        context = Conversation(tools=self._tools or NOT_GIVEN)
        if self._settings.bot_warm_up:
            self._services.llm.warmer.keep(context)
        recording = self._recorder()
        user = UserAggregator(context, params=params, recorder=recording)
        assistant = AssistantAggregator(context)
        user.add_event_handler("on_user_turn_started", self._on_turn_started)
        user.add_event_handler("on_user_turn_stopped", self._on_turn_stopped)
        user.add_event_handler("on_user_turn_idle", self._on_user_idle)
        playout = Playout(self._settings.bot_playout_lead_secs)
        sink = [transport.output(), *([recording] if recording is not None else [])]
        return assemble(self._services, user, assistant, playout, [transport.input()], sink)

    def _recorder(self) -> FrameProcessor | None:
        if not self._settings.enable_recording:
            return None
        return recorder(self._settings.recording_dir, self._args.session_id)

    def _build_worker(self, processors: list[FrameProcessor]) -> PipelineWorker:
        idle = self._settings.bot_idle_timeout_secs or self._args.pipeline_idle_timeout_secs
        return PipelineWorker(
            QuietPipeline(processors),
            # it feeds a tracer, of which there is none
            enable_turn_tracking=False,
            params=PipelineParams(enable_metrics=True, enable_usage_metrics=True),
            observers=[self._metrics],
            rtvi_processor=QuietRTVIProcessor(),
            idle_timeout_secs=idle,
            conversation_id=self._args.session_id,
        )

    def _observer(self, vad: WatchfulVADAnalyzer) -> TurnMetricsObserver:
        path = self._settings.metrics_jsonl
        lines = JsonLines(path, self._args.session_id) if path else None
        return TurnMetricsObserver(self._report, lines, silence_s=lambda: vad.silence_s)

    def _watch(self, transport: BaseTransport) -> None:
        if isinstance(output := transport.output(), BaseOutputTransport):
            FirstSound(output)
        transport.add_event_handler("on_client_connected", self._on_connected)
        transport.add_event_handler("on_client_disconnected", self._on_disconnected)
        if (rtvi := self._worker.rtvi) is not None:
            rtvi.add_event_handler("on_client_ready", self._on_ready)
            rtvi.add_event_handler("on_client_message", self._on_request)
        self._services.stt.add_event_handler("on_connected", self._on_line_free)
        for service in self._services.dependents:
            service.add_event_handler("on_outage", self._on_outage)
            service.add_event_handler("on_recovered", self._on_recovered)
        self._services.stt.add_event_handler("on_missed", self._on_recogniser_missed)
        self._services.stt.add_event_handler("on_unheard", self._on_unheard)

    # -------------------------------------------------------------------------------------- events

    async def _on_connected(self, *_: Any) -> None:
        logger.info("a caller is connected")
        await self._services.stt.resume()
        await self._services.tts.resume()
        by_telephone = (
            isinstance(self._args, WebSocketRunnerArguments) and self._args.transport_type in PROVIDERS
        )
        await self._greeting.connected(is_page=not by_telephone)

    def _can_serve(self) -> bool:
        """Return whether the bot can speak, and has a line for the caller, or none to wait for."""
        stt, tts = self._services.stt, self._services.tts
        has_line = stt.is_connected or (stt.outage is not None and not self._is_full)
        return tts.outage is None and has_line

    @property
    def _is_full(self) -> bool:
        return self._services.stt.place_in_line > 0

    async def _on_arrival(self) -> None:
        if self._is_full:
            await self._apologise(all_busy(self._services.stt.place_in_line))

    async def _on_line_busy(self) -> None:
        """Say that the caller has to wait; of a line that moves, only where the caller stands now."""
        place, before = self._services.stt.place_in_line, self._told_place
        self._told_place = place
        await self._apologise(in_line(place) if 0 < place < before else all_busy(place))

    async def _on_line(self, line: Line) -> None:
        """Free the recogniser for others while nothing comes from the caller; take it up again after that."""
        if line is Line.QUIET:
            logger.info("nothing comes from the caller any more; the recogniser is free for others")
            await self._services.stt.rest()
        else:
            logger.info("the caller is heard again")
            await self._services.stt.resume()

    async def _on_ready(self, *_: Any) -> None:
        """Tell a page that is ready what is wrong already, then say hello."""
        for service in self._services.dependents:
            if service.outage is not None:
                await self._tell(service.outage.message_data())
        await self._greeting.ready()

    async def _on_request(self, rtvi: RTVIProcessor, request: ClientMessage) -> None:
        """Refuse a request: the bot knows none, and a client waits for an answer to each."""
        await rtvi.send_error_response(request, f"This bot knows no request {request.type!r}.")

    async def _on_disconnected(self, *_: Any) -> None:
        logger.info("the caller has gone")
        await self._runner.cancel()

    async def _on_outage(self, service: Dependent, notice: Notice) -> None:
        await self._tell(notice.message_data())
        await self._greeting.services_changed()
        if service is self._services.stt and self._is_full:
            await self._on_line_busy()

    async def _on_recogniser_missed(self, *_: Any) -> None:
        if not self._is_full:
            await self._lost_recogniser.lost()

    async def _on_unheard(self, *_: Any) -> None:
        await self._lost_recogniser.unheard()

    async def _on_recovered(self, service: Dependent) -> None:
        await self._tell({"type": "notice-cleared", "service": service.role})
        if service is self._services.stt:
            await self._lost_recogniser.recovered(self._services.stt.owed)
        await self._greeting.services_changed()

    async def _on_line_free(self, *_: Any) -> None:
        await self._greeting.services_changed()

    async def _on_turn_started(self, *_: Any) -> None:
        self._awaited = False
        self._lost_recogniser.turn_started()
        await self._idle_user.spoke()

    async def _on_turn_stopped(self, *_: Any) -> None:
        self._awaited = True
        await self._lost_recogniser.turn_stopped()

    async def _on_user_idle(self, *_: Any) -> None:
        await self._idle_user.silent()

    async def _say(self, text: str) -> None:
        await self._worker.queue_frame(AnnouncementFrame(text))

    async def _wait_for_user(self, seconds: float) -> None:
        await self._worker.queue_frame(UserIdleTimeoutUpdateFrame(seconds))

    async def _leave(self) -> None:
        logger.info("the user says nothing any more")
        await self._worker.stop_when_done()

    async def _apologise(self, text: str) -> None:
        if self._greeting.heard:
            await self._worker.queue_frame(AnnouncementFrame(text, append_to_context=False))

    async def _report(self, metrics: TurnMetrics) -> None:
        self._awaited = False
        await self._tell(metrics.message())

    async def _greet(self) -> None:
        if greeting := self._settings.bot_greeting.strip():
            await self._say(greeting)

    async def _tell(self, data: dict[str, Any]) -> None:
        if (rtvi := self._worker.rtvi) is not None:
            await rtvi.send_server_message(data)
