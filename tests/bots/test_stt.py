"""Recognition: finals matched to their resets, outages survived."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest
from pipecat.audio.turn.base_turn_analyzer import BaseTurnAnalyzer, BaseTurnParams, EndOfTurnState
from pipecat.frames.frames import (
    EagerTranscriptionFrame,
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.tests.utils import SleepFrame
from pipecat.transcriptions.language import Language
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import TurnAnalyzerUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from pipecat_bots.connections.outage import Notice
from pipecat_bots.connections.outage_notice import Owed
from pipecat_bots.frames import NothingSaidFrame
from pipecat_bots.nvidia_stt import PATIENCE_S, NVidiaWebSocketSTTService
from pipecat_bots.turns.strategies import NothingSaidStopStrategy
from tests.bots.conversation import NAMES, user
from tests.bots.fakes import FakeAsr, free_port, of_type, spoken, through, utterance
from tests.virtual_time import virtual_time


def finals(frames: list[Frame]) -> list[str]:
    return [frame.text for frame in of_type(frames, TranscriptionFrame)]


@virtual_time
async def test_each_utterance_gets_one_final_with_its_own_words() -> None:
    async with FakeAsr() as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url)
        steps = [*utterance("one", "two"), SleepFrame(0.3), *utterance("three"), SleepFrame(0.3)]
        down, _ = await through([stt], [SleepFrame(0.2), *steps])
    assert finals(down) == ["one two", "three"]
    assert all(frame.finalized for frame in of_type(down, TranscriptionFrame))


@pytest.mark.parametrize(("named", "language"), [("de", Language.DE), ("auto", None), (None, None)])
@virtual_time
async def test_transcripts_carry_the_language_the_recogniser_was_told(
    named: str | None, language: Language | None
) -> None:
    async with FakeAsr() as asr:
        settings = NVidiaWebSocketSTTService.Settings(language=named)
        stt = NVidiaWebSocketSTTService(url=asr.url, settings=settings, eager=True)
        down, _ = await through([stt], [SleepFrame(0.2), *utterance("one"), SleepFrame(0.3)])
    (final,) = of_type(down, TranscriptionFrame)
    assert final.language is language


@virtual_time
async def test_a_late_final_is_not_taken_for_the_next_utterances() -> None:
    async with FakeAsr(final_delay_s=0.4) as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url)
        steps = [*utterance("one"), SleepFrame(0.1), *utterance("two"), SleepFrame(2)]
        down, _ = await through([stt], [SleepFrame(0.2), *steps])
    assert finals(down) == ["one", "two"]
    assert [frame.finalized for frame in of_type(down, TranscriptionFrame)] == [False, True]


@pytest.mark.parametrize("lag_ms", [None, 0, 60, 200])
@pytest.mark.parametrize("late_s", [0.03, 3.0])
@virtual_time
async def test_soft_and_hard_answers_without_ids_find_their_utterances(
    lag_ms: int | None, late_s: float
) -> None:
    said = [("alpha", 400), ("", 120), ("bravo", 400), ("", 600), ("charlie", 400), ("", 300)]
    async with FakeAsr(late_s, NAMES, lag_ms) as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url, eager=True)
        down, _ = await through([stt], [SleepFrame(0.2), *user(said), SleepFrame(8)])
    assert finals(down) == ["alpha bravo", "charlie"]
    assert [frame.finalized for frame in of_type(down, TranscriptionFrame)][-1]
    assert asr.resets >= 3


@virtual_time
async def test_what_a_plain_recogniser_hears_is_shown_while_it_is_spoken() -> None:
    async with FakeAsr(0.03, NAMES, lag_ms=100) as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url, eager=True)
        said = [("alpha", 400), ("", 140), ("bravo", 400), ("charlie", 400), ("", 300)]
        down, _ = await through([stt], [SleepFrame(0.2), *user(said), SleepFrame(1)])
    shown = [frame.text for frame in of_type(down, InterimTranscriptionFrame)]
    assert list(dict.fromkeys(shown)) == ["alpha", "alpha bravo", "alpha bravo charlie"]


@virtual_time
async def test_a_server_that_takes_every_reset_for_a_hard_one_loses_no_words_and_is_not_asked_again() -> None:
    async with FakeAsr(0.01, NAMES, lag_ms=0) as asr:
        asr.knows_soft_resets = False
        stt = NVidiaWebSocketSTTService(url=asr.url, eager=True)
        said = [("alpha", 400), ("", 100), ("bravo", 400), ("", 600), ("charlie", 400), ("", 300)]
        down, _ = await through([stt], [SleepFrame(0.2), *user(said), SleepFrame(1)])
    assert finals(down) == ["alpha", "bravo", "charlie"]
    assert asr.resets == 3
    assert of_type(down, EagerTranscriptionFrame) == []


@virtual_time
async def test_no_interim_follows_the_final_it_would_undo() -> None:
    async with FakeAsr() as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url)
        steps = [*utterance("one", "two"), SleepFrame(0.3), *spoken("three"), SleepFrame(0.3)]
        down, _ = await through([stt], [SleepFrame(0.2), *steps])
    texts = [frame for frame in down if isinstance(frame, (InterimTranscriptionFrame, TranscriptionFrame))]
    assert len(of_type(down, InterimTranscriptionFrame)) >= 1
    assert isinstance(texts[-1], TranscriptionFrame)


@virtual_time
async def test_a_cough_is_reported_as_nothing_said() -> None:
    async with FakeAsr() as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url)
        down, _ = await through([stt], [SleepFrame(0.2), *utterance(""), SleepFrame(0.3)])
    assert finals(down) == []
    assert len(of_type(down, NothingSaidFrame)) == 1


@virtual_time
async def test_words_spoken_before_the_server_is_there_are_not_lost() -> None:
    asr = FakeAsr()
    stt = NVidiaWebSocketSTTService(url=asr.url)
    down, _ = await through([stt], [*utterance("one", "two"), SleepFrame(0.5), asr.start, SleepFrame(2)])
    await asr.stop()
    assert finals(down) == ["one two"]


@virtual_time
async def test_a_server_that_dies_and_returns_within_an_utterance_costs_no_words() -> None:
    async with FakeAsr() as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url)
        steps = [
            VADUserStartedSpeakingFrame(),
            *spoken("one"),
            SleepFrame(0.1),
            asr.stop,
            *spoken("two"),
            SleepFrame(0.3),
            asr.start,
            *spoken("three"),
            SleepFrame(0.05),
            VADUserStoppedSpeakingFrame(stop_secs=0.2),
            SleepFrame(3),
        ]
        down, _ = await through([stt], [SleepFrame(0.2), *steps])
    assert finals(down) == ["one two three"]


@virtual_time
async def test_a_pending_final_is_asked_for_again_after_a_reconnect() -> None:
    async with FakeAsr() as asr:
        asr.deaf = True
        stt = NVidiaWebSocketSTTService(url=asr.url)

        async def back() -> None:
            asr.deaf = False
            await asr.start()

        steps = [*utterance("one"), SleepFrame(0.2), asr.stop, SleepFrame(0.5), back, SleepFrame(3)]
        down, _ = await through([stt], [SleepFrame(0.2), *steps])
    assert finals(down) == ["one"]
    assert of_type(down, NothingSaidFrame) == []


@virtual_time
async def test_a_turn_does_not_hang_on_a_server_that_stays_away_and_its_words_come_when_it_is_back() -> None:
    async with FakeAsr() as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url)
        steps = [
            *(SleepFrame(0.2), asr.stop, *utterance("one"), SleepFrame(8)),
            *(asr.start, SleepFrame(4), *utterance("two"), SleepFrame(1)),
        ]
        down, _ = await through([stt], steps)
    assert stt.owed is Owed.ANSWER
    assert finals(down) == ["one", "two"]
    said = [type(frame) for frame in down if isinstance(frame, (NothingSaidFrame, TranscriptionFrame))]
    assert said == [NothingSaidFrame, TranscriptionFrame, TranscriptionFrame]


@virtual_time
async def test_words_that_nobody_remembers_any_more_are_not_answered_but_asked_for() -> None:
    async with FakeAsr() as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url)
        steps = [SleepFrame(0.2), asr.stop, *utterance("one"), SleepFrame(70), asr.start, SleepFrame(4)]
        down, _ = await through([stt], steps)
    assert stt.owed is Owed.REPETITION
    assert finals(down) == []


@virtual_time
async def test_a_sound_without_words_that_was_waited_for_is_reported_when_the_server_is_back() -> None:
    async with FakeAsr() as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url)
        unheard: list[object] = []
        stt.add_event_handler("on_unheard", _append(unheard, default="unheard"))
        steps = [SleepFrame(0.2), asr.stop, *utterance(""), SleepFrame(8), asr.start, SleepFrame(4)]
        await through([stt], [*steps, *utterance(""), SleepFrame(1)])
    assert unheard == ["unheard"], "and not for the cough after it"


async def attempts(stt: NVidiaWebSocketSTTService, steps: list[Any]) -> list[float]:
    """Run steps; return when connections were tried."""
    tried: list[float] = []
    attempt, loop = stt._attempt, asyncio.get_running_loop()

    async def noted() -> Exception | None:
        tried.append(loop.time())
        return await attempt()

    stt._attempt = noted
    await through([stt], steps)
    return tried


@virtual_time
async def test_a_server_that_somebody_waits_for_is_tried_every_300_ms() -> None:
    """It has been away for long when the user begins to speak: the waits have grown by then."""
    stt = NVidiaWebSocketSTTService(url=f"ws://127.0.0.1:{free_port()}")
    loop = asyncio.get_running_loop()
    marks: list[float] = []

    async def note() -> None:
        marks.append(loop.time())

    speech = [frame for word in ("one", "two") * 10 for f in spoken(word) for frame in (f, SleepFrame(0.02))]
    steps = [SleepFrame(30), note, VADUserStartedSpeakingFrame(), *speech]
    tried = await attempts(
        stt, [*steps, VADUserStoppedSpeakingFrame(stop_secs=0.2), SleepFrame(3), note, SleepFrame(0.1)]
    )
    began, ended = marks
    waited = [at for at in tried if began + 0.15 <= at <= ended]
    assert waited[0] - began < 0.4
    assert all(b - a < 0.3 for a, b in pairwise(waited))
    assert waited[-1] > ended - 0.3


@pytest.mark.parametrize(("away_s", "missed"), [(3.0, False), (4.5, False), (5.5, True), (60.0, True)])
def test_a_restart_is_not_missed_and_an_outage_once(away_s: float, missed: bool) -> None:
    @virtual_time
    async def scenario() -> None:
        async with FakeAsr() as asr:
            stt = NVidiaWebSocketSTTService(url=asr.url)
            told: list[object] = []
            stt.add_event_handler("on_missed", _append(told, default="missed"))
            speaks = VADUserStartedSpeakingFrame()
            steps = [SleepFrame(2), asr.stop, speaks, SleepFrame(away_s), asr.start, SleepFrame(9)]
            await through([stt], steps)
        assert told == ["missed"] * missed

    scenario()


@pytest.mark.parametrize("away_s", [3.0, 60.0, 600.0])
def test_the_service_reconnects_however_long_the_server_is_away(away_s: float) -> None:
    @virtual_time
    async def scenario() -> None:
        asr = FakeAsr()
        stt = NVidiaWebSocketSTTService(url=asr.url)
        steps = [SleepFrame(away_s), asr.start, SleepFrame(4), *utterance("five"), SleepFrame(1)]
        down, _ = await through([stt], steps)
        await asr.stop()
        assert stt.is_usable
        assert finals(down) == ["five"]

    scenario()


@virtual_time
async def test_an_outage_is_reported_once_with_the_address_and_the_remedy() -> None:
    asr = FakeAsr()
    stt = NVidiaWebSocketSTTService(url=asr.url)
    notices: list[Notice] = []
    recoveries: list[object] = []
    stt.add_event_handler("on_outage", _append(notices))
    stt.add_event_handler("on_recovered", _append(recoveries, default="recovered"))
    await through([stt], [SleepFrame(20), asr.start, SleepFrame(5)])
    await asr.stop()
    message = f"The speech recogniser at {asr.url} is not answering."
    assert notices == [Notice("error", "asr", message, "uv run nemotron up")]
    assert recoveries == ["recovered"]


@virtual_time
async def test_a_full_server_is_reported_as_such_and_tried_again() -> None:
    async with FakeAsr() as asr:
        asr.full = True
        stt = NVidiaWebSocketSTTService(url=asr.url)
        notices: list[Notice] = []
        stt.add_event_handler("on_outage", _append(notices))

        async def room() -> None:
            asr.full = False

        steps = [SleepFrame(10), room, SleepFrame(4), *utterance("one"), SleepFrame(1)]
        down, _ = await through([stt], steps)
    assert [(n.level, n.service) for n in notices] == [("warning", "asr")]
    assert finals(down) == ["one"]
    assert stt.is_usable


def test_retries_are_neither_hurried_nor_given_up() -> None:
    @virtual_time
    async def scenario() -> None:
        asr = FakeAsr()
        stt = NVidiaWebSocketSTTService(url=f"ws://127.0.0.1:{free_port()}")
        attempts = 0
        attempt = stt._attempt

        async def counted() -> Exception | None:
            nonlocal attempts
            attempts += 1
            return await attempt()

        stt._attempt = counted
        await through([stt], [SleepFrame(300)])
        assert 90 <= attempts <= 130
        assert asr.connections == 0

    scenario()


# ------------------------------------------------------------------------------------ whole turns


class ScriptedTurns(BaseTurnAnalyzer):
    """A turn detector with given verdicts."""

    def __init__(self, *verdicts: EndOfTurnState) -> None:
        super().__init__()
        self._verdicts = list(verdicts)

    @property
    def speech_triggered(self) -> bool:
        return True

    @property
    def params(self) -> BaseTurnParams:
        return BaseTurnParams()

    def append_audio(self, buffer: bytes, is_speech: bool) -> EndOfTurnState:
        return EndOfTurnState.INCOMPLETE

    async def analyze_end_of_turn(self) -> tuple[EndOfTurnState, None]:
        return self._verdicts.pop(0), None

    def update_vad_start_secs(self, vad_start_secs: float) -> None:
        pass

    def clear(self) -> None:
        pass


async def turns(asr: FakeAsr, steps: list[object], *verdicts: EndOfTurnState) -> list[tuple[str, float]]:
    """What the user's turns were, and when each was over after it could be."""
    stt = NVidiaWebSocketSTTService(url=asr.url)
    strategies = UserTurnStrategies(
        start=[VADUserTurnStartStrategy()],
        stop=[
            NothingSaidStopStrategy(),
            TurnAnalyzerUserTurnStopStrategy(turn_analyzer=ScriptedTurns(*verdicts)),
        ],
    )
    params = LLMUserAggregatorParams(user_turn_strategies=strategies, empty_user_turn=None)
    user, _ = LLMContextAggregatorPair(LLMContext(), user_params=params)
    over: list[tuple[str, float]] = []

    @user.event_handler("on_user_turn_stopped")
    async def stopped(aggregator: object, strategy: object, message: object) -> None:
        over.append((message.content, asyncio.get_running_loop().time()))  # type: ignore[attr-defined]

    began = asyncio.get_running_loop().time()
    await through([stt, user], [SleepFrame(0.2), *steps])  # type: ignore[list-item]
    return [(text, at - began) for text, at in over]


@virtual_time
async def test_segments_of_an_unfinished_turn_are_put_together() -> None:
    async with FakeAsr() as asr:
        steps = [*utterance("one"), SleepFrame(0.5), *utterance("two"), SleepFrame(2)]
        over = await turns(asr, steps, EndOfTurnState.INCOMPLETE, EndOfTurnState.COMPLETE)
    assert [text for text, _ in over] == ["one two"]


@virtual_time
async def test_a_cough_ends_its_turn_at_once() -> None:
    async with FakeAsr() as asr:
        steps = [*utterance(""), SleepFrame(9)]
        over = await turns(asr, steps, EndOfTurnState.COMPLETE)
    assert [text for text, _ in over] == [""]
    assert over[0][1] < 2.0


@virtual_time
async def test_a_cough_after_words_does_not_end_the_turn_before_its_time() -> None:
    async with FakeAsr() as asr:
        steps = [*utterance("one"), SleepFrame(0.5), *utterance(""), SleepFrame(0.5), *utterance("two")]
        verdicts = (EndOfTurnState.INCOMPLETE, EndOfTurnState.INCOMPLETE, EndOfTurnState.COMPLETE)
        over = await turns(asr, [*steps, SleepFrame(3)], *verdicts)
    assert [text for text, _ in over] == ["one two"]


@virtual_time
async def test_a_turn_whose_recogniser_is_gone_ends_after_its_patience() -> None:
    async with FakeAsr() as asr:
        steps = [asr.stop, *utterance("one"), SleepFrame(9)]
        over = await turns(asr, steps, EndOfTurnState.COMPLETE)
    assert [text for text, _ in over] == [""]
    assert PATIENCE_S < over[0][1] < PATIENCE_S + 1.5


def _append(to: list[Any], default: object = None) -> Callable[..., Coroutine[Any, Any, None]]:
    async def handler(service: object, *args: object) -> None:
        to.append(args[0] if args else default)

    return handler


# ------------------------------------------------------------------------------- a server without answers


@virtual_time
async def test_a_server_that_falls_silent_is_left_and_told_again_what_it_did_not_answer() -> None:
    async with FakeAsr() as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url)
        notices: list[Notice] = []
        recoveries: list[object] = []
        stt.add_event_handler("on_outage", _append(notices))
        stt.add_event_handler("on_recovered", _append(recoveries, default="recovered"))

        async def hear_again() -> None:
            asr.deaf = False

        asr.deaf = True
        steps = [SleepFrame(0.2), *utterance("one", "two"), SleepFrame(3), hear_again, SleepFrame(2)]
        down, _ = await through([stt], [*steps, *utterance("three"), SleepFrame(1)])
    assert finals(down) == ["one two", "three"]
    assert of_type(down, NothingSaidFrame) == [], "the turn has waited for it"
    message = f"The speech recogniser at {asr.url} answers, but says nothing."
    assert [notice.message for notice in notices] == [message]
    assert recoveries == ["recovered"]
    assert asr.connections == 2


@virtual_time
async def test_a_server_that_stays_silent_is_asked_ever_more_rarely_and_reported_once() -> None:
    async with FakeAsr() as asr:
        asr.deaf = True
        stt = NVidiaWebSocketSTTService(url=asr.url)
        notices: list[Notice] = []
        missed: list[object] = []
        stt.add_event_handler("on_outage", _append(notices))
        stt.add_event_handler("on_missed", _append(missed, default="missed"))

        async def hear_again() -> None:
            asr.deaf = False

        steps = [SleepFrame(0.2), *utterance("one"), SleepFrame(40), hear_again, SleepFrame(30)]
        down, _ = await through([stt], steps)
    assert len(notices) == 1
    assert missed == ["missed"]
    assert asr.connections <= 5
    said = [type(frame) for frame in down if isinstance(frame, (NothingSaidFrame, TranscriptionFrame))]
    assert said == [NothingSaidFrame, TranscriptionFrame], "the turn goes on; its words come when they can"
    assert stt.owed is Owed.ANSWER


@virtual_time
async def test_a_turn_does_not_hang_on_a_silent_server_nor_does_the_one_after_it() -> None:
    async with FakeAsr() as asr:
        asr.deaf = True
        stt = NVidiaWebSocketSTTService(url=asr.url)
        steps = [SleepFrame(0.2), *utterance("one"), SleepFrame(10), *utterance("two"), SleepFrame(6)]
        down, _ = await through([stt], steps)
    assert len(of_type(down, NothingSaidFrame)) == 2


@pytest.mark.parametrize("final_s", [3.0, 3.9])
@virtual_time
async def test_a_server_whose_finals_are_late_is_not_taken_for_a_silent_one(final_s: float) -> None:
    async with FakeAsr(final_s) as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url)
        spoken_twice = [*utterance("one"), SleepFrame(1.5), *utterance("two"), SleepFrame(5)]
        down, _ = await through([stt], [SleepFrame(0.2), *spoken_twice])
    assert finals(down) == ["one", "two"]
    assert asr.connections == 1


@virtual_time
async def test_a_server_that_is_slower_than_silence_is_known_for_it_afterwards() -> None:
    async with FakeAsr(6.0) as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url)
        words = ("one", "two", "three")
        steps = [step for word in words for step in (*utterance(word), SleepFrame(20))]
        down, _ = await through([stt], [SleepFrame(0.2), *steps])
    assert finals(down) == ["one", "two", "three"]
    assert asr.connections == 2


@virtual_time
async def test_a_long_rest_between_two_utterances_says_nothing_about_the_server() -> None:
    async with FakeAsr() as asr:
        stt = NVidiaWebSocketSTTService(url=asr.url)

        async def fall_silent() -> None:
            asr.deaf = True

        steps = [*utterance("one"), SleepFrame(300), fall_silent, *utterance("two"), SleepFrame(5)]
        await through([stt], [SleepFrame(0.2), *steps])
    assert asr.connections == 2
