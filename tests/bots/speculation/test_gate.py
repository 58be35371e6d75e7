"""Nothing of an answer passes before it is known to be wanted, and nothing of one that is not wanted ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    EagerEndOfTurnCancelFrame,
    Frame,
    FunctionCallResultFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSAudioRawFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.tests.utils import SleepFrame, run_test

from pipecat_bots.frames import VoiceActivityFrame
from pipecat_bots.speculation.gate import QUIET_S, VOICE_HOLD_S, AnswerGate, GateState, State
from pipecat_bots.speculation.speculation import Speculation, SpeculationOutcome, mark
from tests.bots.fakes import Step, of_type, through
from tests.virtual_time import virtual_time


def speculation() -> Speculation:
    return Speculation("hello", began=0.0)


def start(belongs_to: Speculation | None = None) -> LLMFullResponseStartFrame:
    frame = LLMFullResponseStartFrame()
    mark(frame, belongs_to)
    return frame


def audio(context_id: str | None = None) -> TTSAudioRawFrame:
    return TTSAudioRawFrame(bytes(320), 16000, 1, context_id=context_id)


def answer(belongs_to: Speculation | None = None) -> list[Frame]:
    return [start(belongs_to), audio(), audio(), LLMFullResponseEndFrame()]


def given(gate: GateState, frames: Iterable[Frame]) -> list[Frame]:
    return [passed for frame in frames for passed in gate.take(frame)]


def test_an_ordinary_answer_passes_as_it_comes() -> None:
    frames = answer()
    assert given(GateState(), frames) == frames


def test_a_confirmed_answer_passes_whole_and_in_order_when_it_is_confirmed() -> None:
    gate, guess = GateState(), speculation()
    frames = answer(guess)
    assert given(gate, frames) == []
    guess.confirm()
    assert gate.settled() == frames


def test_what_comes_after_the_confirmation_is_not_held() -> None:
    gate, guess = GateState(), speculation()
    first, *rest = answer(guess)
    given(gate, [first])
    guess.confirm()
    assert [*gate.settled(), *given(gate, rest)] == [first, *rest]


def test_nothing_of_a_withdrawn_answer_passes_however_late_it_comes() -> None:
    gate, guess = GateState(), speculation()
    first, *rest = answer(guess)
    given(gate, [first])
    guess.withdraw()
    assert gate.settled() == []
    assert given(gate, rest) == []
    frames = answer()
    assert given(gate, frames) == frames


def test_an_answer_that_was_withdrawn_before_its_first_frame_came_is_dropped() -> None:
    gate, guess = GateState(), speculation()
    guess.withdraw()
    gate.settled()
    assert given(gate, answer(guess)) == []
    assert gate.state is State.OPEN


def test_the_end_of_an_answer_that_never_began_is_dropped() -> None:
    assert given(GateState(), [LLMFullResponseEndFrame()]) == []


def test_what_must_not_be_lost_survives_a_withdrawn_answer() -> None:
    gate, guess = GateState(), speculation()
    result = FunctionCallResultFrame("f", "1", {}, "done")
    assert not result.interruptible
    given(gate, [start(guess), result, audio()])
    guess.withdraw()
    assert gate.settled() == [result]


def test_a_new_answer_takes_the_place_of_one_that_is_held() -> None:
    gate = GateState()
    given(gate, answer(speculation()))
    frames = answer()
    assert given(gate, frames) == frames


def test_the_first_sound_waits_while_the_user_may_be_about_to_go_on() -> None:
    gate = GateState()
    gate.heard_voice(True)
    first, *rest = answer()
    assert given(gate, [first, *rest]) == [first]
    assert gate.is_held_for_voice
    assert gate.heard_voice(False) == rest


def test_a_voice_does_not_hold_an_answer_that_is_being_heard() -> None:
    gate = GateState()
    first, sound, *rest = answer()
    given(gate, [first, sound])
    gate.heard_voice(True)
    assert given(gate, rest) == rest


def test_an_answer_confirmed_while_the_user_may_be_about_to_go_on_waits_for_that_too() -> None:
    gate, guess = GateState(), speculation()
    frames = answer(guess)
    given(gate, frames)
    gate.heard_voice(True)
    guess.confirm()
    assert gate.settled() == []
    assert gate.heard_voice(False) == frames


def test_an_interruption_voids_what_is_held() -> None:
    gate = GateState()
    gate.heard_voice(True)
    given(gate, answer())
    assert gate.interrupted() == []
    assert gate.heard_voice(False) == []


@pytest.mark.parametrize("voice_ends", [True, False])
@virtual_time
async def test_a_voice_that_becomes_no_turn_holds_an_answer_for_a_bounded_time(voice_ends: bool) -> None:
    steps = [VoiceActivityFrame(True), SleepFrame(0.01), *answer(), SleepFrame(VOICE_HOLD_S / 2)]
    steps += [VoiceActivityFrame(False)] if voice_ends else []
    down, _ = await run_test(
        AnswerGate(), frames_to_send=[*steps, SleepFrame(VOICE_HOLD_S)], start_timeout=20
    )
    assert len(of_type(list(down), TTSAudioRawFrame)) == 2


class Noted(FrameProcessor):
    """Notes when sounds arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[float] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self.at.append(asyncio.get_running_loop().time())
        await self.push_frame(frame, direction)


@pytest.mark.parametrize("sound", [answer(), [audio()]], ids=["an answer", "an announcement"])
@pytest.mark.parametrize("quiet_s", [0.0, 0.05, 0.09, 0.3])
def test_the_bot_never_begins_to_speak_within_100_ms_of_a_voice(quiet_s: float, sound: list[Frame]) -> None:
    @virtual_time
    async def scenario() -> None:
        line, loop = Noted(), asyncio.get_running_loop()
        ended: list[float] = []

        async def note() -> None:
            ended.append(loop.time())

        voice: list[Step] = [VoiceActivityFrame(True), SleepFrame(0.1), note, VoiceActivityFrame(False)]
        await through([AnswerGate(), line], [*voice, SleepFrame(quiet_s), *sound, SleepFrame(1)])
        assert line.at[0] - ended[0] >= QUIET_S
        assert line.at[0] - ended[0] < max(QUIET_S, quiet_s) + 0.15

    scenario()


@virtual_time
async def test_a_sound_after_a_silence_within_an_answer_waits_for_a_voice_too() -> None:
    class Line(Noted):
        """Says that the bot is silent after each sound."""

        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            await super().process_frame(frame, direction)
            if isinstance(frame, TTSAudioRawFrame):
                await self.push_frame(BotStoppedSpeakingFrame(), FrameDirection.UPSTREAM)

    line = Line()
    steps: list[Step] = [
        start(),
        audio(),
        SleepFrame(0.5),
        VoiceActivityFrame(True),
        SleepFrame(0.05),
        audio(),
    ]
    await through([AnswerGate(), line], [*steps, SleepFrame(0.3), VoiceActivityFrame(False), SleepFrame(1)])
    first, second = line.at
    assert second - first >= 0.5 + 0.05 + 0.3 + QUIET_S - 0.01


@virtual_time
async def test_each_hold_for_a_voice_is_timed_from_its_own_beginning() -> None:
    """A click holds the first answer, and is over; a voice begins when its second would be."""
    down: list[tuple[float, Frame]] = []

    class Line(FrameProcessor):
        async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
            await super().process_frame(frame, direction)
            down.append((asyncio.get_running_loop().time(), frame))
            await self.push_frame(frame, direction)

    click: list[Step] = [
        VoiceActivityFrame(True),
        start(),
        audio(),
        SleepFrame(0.05),
        VoiceActivityFrame(False),
    ]
    voice: list[Step] = [SleepFrame(0.7), VoiceActivityFrame(True), start(), audio(), SleepFrame(0.5)]
    end: list[Step] = [VoiceActivityFrame(False), SleepFrame(0.5)]
    began = asyncio.get_running_loop().time()
    await through([AnswerGate(), Line()], [*click, *voice, *end])
    first, second = (at - began for at, frame in down if isinstance(frame, TTSAudioRawFrame))
    assert first == pytest.approx(0.05 + QUIET_S, abs=0.02)
    assert second == pytest.approx(0.05 + 0.7 + 0.5 + QUIET_S, abs=0.02)


@virtual_time
async def test_the_door_opens_on_the_frames_that_settle_an_answer() -> None:
    confirmed, withdrawn = speculation(), speculation()
    confirmed.confirm()
    withdrawn.withdraw()

    steps: list[Frame] = [
        *answer(withdrawn),
        EagerEndOfTurnCancelFrame(),
        *answer(confirmed),
        UserStoppedSpeakingFrame(),
        SleepFrame(0.05),
        *answer(speculation()),
        InterruptionFrame(),
    ]
    down, _ = await run_test(AnswerGate(), frames_to_send=steps, start_timeout=20)
    assert len(of_type(list(down), TTSAudioRawFrame)) == 2


class Doors(RuleBasedStateMachine):
    """Any order of answers, verdicts, voices and interruptions."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = GateState()
        self.answers: list[Speculation | None] = []
        self.owner: dict[int, Speculation | None] = {}
        self.passed: list[Frame] = []
        self.sent: list[Frame] = []
        self.unfinished = False

    def out(self, frames: list[Frame]) -> None:
        for frame in frames:
            guess = self.owner.get(frame.id)
            assert guess is None or guess.fate is SpeculationOutcome.CONFIRMED, (
                "a frame of an unconfirmed answer passed"
            )
        self.passed += frames

    def send(self, frame: Frame) -> None:
        self.owner[frame.id] = self.answers[-1] if self.answers else None
        self.sent.append(frame)
        self.out(self.gate.take(frame))

    @rule()
    def ordinary_answer(self) -> None:
        self.unfinished = True
        self.answers.append(None)
        self.send(start())

    @rule()
    def speculative_answer(self) -> None:
        self.unfinished = True
        guess = speculation()
        self.answers.append(guess)
        self.send(start(guess))

    @precondition(lambda self: self.unfinished)
    @rule()
    def sound(self) -> None:
        self.send(audio(str(len(self.answers))))

    @precondition(lambda self: self.unfinished)
    @rule()
    def end(self) -> None:
        self.unfinished = False
        self.send(LLMFullResponseEndFrame())

    @precondition(lambda self: self.answers and self.answers[-1] is not None)
    @rule()
    def confirm(self) -> None:
        guess = self.answers[-1]
        assert guess is not None
        guess.confirm()
        self.out(self.gate.settled())

    @precondition(lambda self: self.answers and self.answers[-1] is not None)
    @rule()
    def withdraw(self) -> None:
        guess = self.answers[-1]
        assert guess is not None
        guess.withdraw()
        self.out(self.gate.settled())

    @rule()
    def voice_begins(self) -> None:
        self.out(self.gate.heard_voice(True))

    @rule()
    def voice_ends(self) -> None:
        self.out(self.gate.heard_voice(False))

    @rule()
    def interruption(self) -> None:
        self.out(self.gate.interrupted())

    @invariant()
    def what_passes_is_in_order_and_passes_once(self) -> None:
        order = [self.sent.index(frame) for frame in self.passed]
        assert order == sorted(set(order))

    @invariant()
    def an_open_door_holds_nothing(self) -> None:
        if self.gate.state is not State.HELD:
            assert not self.gate._held


TestDoors = Doors.TestCase
TestDoors.settings = settings(max_examples=60, stateful_step_count=30)
