"""Answers begun before the turn is over: at once if they were wanted, without a trace if not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count
from statistics import fmean

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipecat_bots.llm.backpressure import CHUNKED, streamed
from tests.bots.conversation import NAMES, TOOL_WORD, Outcome, Setting, Spoken, converse, is_valid, number_of
from tests.virtual_time import VirtualTimeLoop


def hold(script: list[Spoken], setting: Setting | None = None) -> Outcome:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(converse(script, setting))


SPEECH_S = 0.8
QUESTION: list[Spoken] = [("alpha", 400), ("bravo", 400)]


def test_a_confirmed_answer_is_heard_with_the_stages_hidden() -> None:
    outcome = hold(QUESTION)
    assert outcome.roles == "ua"
    assert outcome.user_said == "alpha bravo"
    assert outcome.answered_at[0] - SPEECH_S < 0.45
    assert len(outcome.asked) == 1


def test_without_speculation_the_stages_follow_one_another() -> None:
    outcome = hold(QUESTION, Setting(speculation=0))
    assert outcome.roles == "ua"
    assert outcome.answered_at[0] > hold(QUESTION).answered_at[0] + 0.1
    assert outcome.waste.confirmed == outcome.waste.withdrawn == 0


def test_going_on_after_a_breath_leaves_no_trace_of_the_answer_begun() -> None:
    outcome = hold([*QUESTION, ("", 140), ("charlie", 400)])
    assert outcome.roles == "ua"
    assert outcome.user_said == "alpha bravo charlie"
    assert outcome.heard == [2]
    assert outcome.waste.withdrawn == 1
    assert len(outcome.asked) == 2


def test_a_voice_that_was_at_work_for_a_withdrawn_answer_is_told_to_stop() -> None:
    setting = Setting(first_token_s=0.01, voice_s=1.0, verdicts=(0.3, 0.9))
    outcome = hold([*QUESTION, ("", 460), ("charlie", 400)], setting)
    assert outcome.user_said == "alpha bravo charlie"
    assert outcome.heard == outcome.answers == [2]
    assert outcome.cancels >= 1


@pytest.mark.parametrize(("at_ms", "goes_on"), [(0, True), (60, True), (200, True), (120, False)])
def test_what_the_bot_says_of_its_own_accord_survives_an_answer_that_is_withdrawn(
    at_ms: int, goes_on: bool
) -> None:
    pause_ms = 240
    rest = [("charlie", 400)] if goes_on else []
    announced = ("(Answer 99 is that the server is away.)", 0)
    outcome = hold(
        [*QUESTION, ("", at_ms), announced, ("", pause_ms - at_ms), *rest], Setting(verdicts=(0.3, 0.9))
    )
    answer = len(outcome.asked)
    assert (outcome.waste.withdrawn > 0) is goes_on
    assert sorted(outcome.heard) == [answer, 99]
    assert outcome.answers == [answer]


@pytest.mark.parametrize("pause_ms", [140, 300, 400, 800, 1200, 1600, 2000])
@pytest.mark.parametrize("sounds_complete", [True, False])
def test_an_utterance_split_by_a_pause_ends_in_one_right_answer(pause_ms: int, sounds_complete: bool) -> None:
    verdicts = (0.9,) if sounds_complete else (0.0, 0.9)
    outcome = hold([*QUESTION, ("", pause_ms), ("charlie", 500)], Setting(verdicts=verdicts))
    assert outcome.user_said == "alpha bravo charlie"
    last = len(outcome.asked)
    assert outcome.heard in ([last], [last - 1, last]), "what was begun in the pause is not gone on with"
    assert outcome.answers[-1] == last
    assert outcome.roles == ("ua" if len(outcome.answers) == 1 else "uaua")
    assert outcome.messages[:-1] == outcome.asked[-1]
    assert outcome.messages[-1]["content"] == f"Answer {outcome.answers[-1]} is what I have to say."


def test_three_quick_utterances_are_one_message_with_one_answer() -> None:
    said: list[Spoken] = [("alpha", 300), ("", 260), ("bravo", 300), ("", 260), ("charlie", 300)]
    outcome = hold(said)
    assert outcome.roles == "ua"
    assert outcome.user_said == "alpha bravo charlie"
    assert outcome.heard == outcome.answers == [len(outcome.asked)]


def test_speech_while_the_answer_is_prepared_takes_it_back_and_joins_the_question() -> None:
    slow = Setting(first_token_s=1.5)
    outcome = hold([*QUESTION, ("", 900), ("charlie", 400)], slow)
    assert outcome.roles == "ua"
    assert outcome.messages[0]["content"] == "alpha bravo charlie"
    assert outcome.heard == outcome.answers == [len(outcome.asked)]


def test_the_first_sound_waits_for_a_user_who_begins_again_at_that_moment() -> None:
    outcome = hold([*QUESTION, ("", 280), ("charlie", 500)])
    assert outcome.roles == "ua"
    assert outcome.heard == [len(outcome.asked)]


def test_a_tool_is_not_used_before_the_turn_is_over_and_then_once() -> None:
    outcome = hold([("alpha", 400), (TOOL_WORD, 400)], Setting(first_token_s=0.01, verdicts=(0.0,)))
    assert outcome.tools == [f"alpha {TOOL_WORD}"]
    assert outcome.tools_at[0] > SPEECH_S + 0.85, "the silence that an unfinished turn is given"
    assert outcome.waste.withdrawn == 1, "the answer that wanted it earlier"
    assert outcome.roles == "uata"
    assert outcome.heard == outcome.answers == [len(outcome.asked)]


def test_a_tool_that_only_a_withdrawn_answer_wanted_is_never_used() -> None:
    script: list[Spoken] = [("alpha", 400), (TOOL_WORD, 300), ("", 140), ("charlie", 400)]
    outcome = hold(script, Setting(first_token_s=0.01))
    assert outcome.tools == [f"alpha {TOOL_WORD} charlie"]


def test_an_answer_to_words_that_the_transcript_corrects_is_not_given() -> None:
    """The last word is spoken so late into the pause that only the final has it."""
    outcome = hold([*QUESTION, ("", 120), ("charlie", 60)], Setting(verdicts=(0.4,)))
    assert outcome.user_said == "alpha bravo charlie"
    assert outcome.messages[:-1] == outcome.asked[-1]


def test_the_breaths_of_a_user_are_known_after_the_first_ones() -> None:
    said: list[Spoken] = []
    for _ in range(20):
        said += [("alpha", 300), ("", 140), ("bravo", 300), ("", 140)]
    outcome = hold([*said, ("charlie", 300)], Setting(speculation=0.5))
    assert 1 <= outcome.waste.withdrawn <= 3
    assert outcome.heard == [len(outcome.asked)]


# ------------------------------------------------------------------------- plain recognisers, which lag

TURNS = 6


def conversation(turns: int = TURNS) -> list[Spoken]:
    """Questions, each answered before the next one."""
    said: list[Spoken] = []
    for turn in range(turns):
        said += [(NAMES[1 + turn % 4], 400), (NAMES[5 + turn % 3], 400), ("", 1800)]
    return said


def gains(setting: Setting, turns: int = TURNS) -> tuple[list[float], Outcome]:
    """Return how much earlier each answer is heard than without speculation, in seconds, and the outcome."""
    on, off = hold(conversation(turns), setting), hold(conversation(turns), replace(setting, speculation=0))
    assert on.roles == off.roles == "ua" * turns
    assert len(on.answered_at) == len(off.answered_at) == turns
    return [before - after for before, after in zip(off.answered_at, on.answered_at, strict=True)], on


def test_with_a_recogniser_that_flushes_every_answer_comes_earlier_and_none_is_for_nothing() -> None:
    gained, outcome = gains(Setting(speculation=0.5), turns=3)
    assert min(gained) >= 0.1
    assert outcome.waste.withdrawn == 0
    assert outcome.waste.gain_s == pytest.approx(fmean(gained), abs=0.02)


@pytest.mark.parametrize("verdict", [0.9, 0.3])
@pytest.mark.parametrize("lag_ms", [150, 300])
def test_a_recogniser_that_lags_behind_the_pause_costs_no_turn_anything(lag_ms: int, verdict: float) -> None:
    setting = Setting(speculation=0.5, lag_ms=lag_ms, verdicts=(verdict,))
    gained, outcome = gains(setting, turns=3)
    assert min(gained) >= -0.005
    assert outcome.waste.withdrawn == 0
    assert len(outcome.asked) == 3
    if verdict < 0.5:
        assert min(gained) >= 0.1, "the pause after the final is used"


@pytest.mark.parametrize(("lag_ms", "least_s"), [(0, 0.1), (40, 0.06)])
def test_the_words_of_a_recogniser_that_lags_less_are_used_once_that_is_known(
    lag_ms: int, least_s: float
) -> None:
    gained, outcome = gains(Setting(speculation=0.5, lag_ms=lag_ms))
    assert max(map(abs, gained[:3])) <= 0.005, "not yet"
    assert min(gained[3:]) >= least_s
    assert outcome.waste.withdrawn == 0


def test_a_lag_that_varies_costs_no_turn_anything() -> None:
    answers = count()
    setting = Setting(speculation=0.5, lag_ms=lambda: (20, 300, 100)[next(answers) // 7 % 3])
    gained, outcome = gains(setting)
    assert min(gained) >= -0.005
    assert outcome.waste.withdrawn == 0


def test_words_that_come_after_those_an_answer_was_begun_to_begin_another_at_once() -> None:
    """Words came without lag, turn after turn; in the last turn the second one is late."""
    turns, began_s = 5, 0.3
    last_s = began_s + (turns - 1) * 2.6

    def lag_ms() -> int:
        return 0 if asyncio.get_running_loop().time() < last_s else 80

    setting = Setting(speculation=0.5, lag_ms=lag_ms)
    gained, outcome = gains(setting, turns)
    assert outcome.waste.withdrawn == 1, "the one without the last word"
    assert outcome.waste.confirmed == 2
    assert gained[-1] >= 0.06
    assert outcome.overlaps == 0, "a withdrawn request is closed before the next one is sent"


@pytest.mark.parametrize("tool_s", [0.1, 3.0])
def test_what_is_said_before_a_tool_is_written_before_its_call(tool_s: float) -> None:
    setting = Setting(tool_s=tool_s, before_tool="Let me look that up for you now.")
    outcome = hold([("alpha", 400), (TOOL_WORD, 400)], setting)
    assert outcome.roles == "uaata"
    assert outcome.messages[1]["content"] == setting.before_tool
    assert all(map(is_valid, outcome.asked))


@pytest.mark.parametrize(
    ("pause_ms", "tool_s", "plain"),
    [(600, 2.0, True), (900, 1000.0, False), (1300, 2.0, False), (1700, 1000.0, True)],
)
def test_words_during_a_tool_cancel_it_and_the_next_request_is_valid(
    pause_ms: int, tool_s: float, plain: bool
) -> None:
    script: list[Spoken] = [("alpha", 400), (TOOL_WORD, 400), ("", pause_ms), ("charlie", 500)]
    outcome = hold(script, Setting(tool_s=tool_s, plain=plain))
    assert len(outcome.tools) == 1, "it was at work when the user went on"
    assert all(map(is_valid, outcome.asked))
    results = [m["content"] for m in outcome.asked[-1] if m["role"] == "tool"]
    assert results == ["CANCELLED"]
    assert outcome.messages[:-1] == outcome.asked[-1]
    assert outcome.user_said == f"alpha {TOOL_WORD} charlie"
    assert outcome.answers == outcome.heard == [len(outcome.asked)]


@pytest.mark.parametrize(
    ("pause_ms", "tool_s", "plain"),
    [(500, 3.0, False), (700, 3.0, True), (900, 0.0, False), (900, 0.3, True), (1100, 0.3, False)],
)
def test_words_over_what_is_said_before_a_tool_leave_one_right_answer(
    pause_ms: int, tool_s: float, plain: bool
) -> None:
    """The call, its result and its cancellation come to the conversation behind that, or overtake it."""
    before = "Just a moment please I look that up for you. "
    script: list[Spoken] = [("alpha", 400), (TOOL_WORD, 400), ("", pause_ms), ("charlie", 700)]
    outcome = hold(script, Setting(before_tool=before, tool_s=tool_s, plain=plain))
    assert all(map(is_valid, outcome.asked))
    assert "IN_PROGRESS" not in [message.get("content") for message in outcome.messages]
    assert outcome.asked[-1][-1]["content"] == "charlie"
    assert outcome.answers == [len(outcome.asked)]


# ------------------------------------------------------------------------------ a perfect listener

PAUSES_MS = (40, 80, 140, 180, 220, 260, 300, 360, 420, 500, 700, 1000, 1500, 2200)
WORD = st.sampled_from(NAMES[1:])


@st.composite
def scripts(draw: st.DrawFn) -> list[Spoken]:
    """Stretches of one or two words, each long enough to be noticed, with pauses of any kind between."""
    script: list[Spoken] = []
    for _ in range(draw(st.integers(1, 5))):
        first = draw(WORD)
        script.append((first, draw(st.sampled_from((240, 300, 500)))))
        second = draw(WORD)
        if second != first and draw(st.booleans()):
            script.append((second, 300))
        script.append(("", draw(st.sampled_from(PAUSES_MS))))
    return script


PROBABILITY = st.sampled_from((0.0, 0.2, 0.45, 0.55, 0.9))
SETTINGS = st.builds(
    Setting,
    verdicts=st.lists(PROBABILITY, min_size=1, max_size=4),
    verdict_s=st.sampled_from((0.001, 0.04, 0.15, 0.4)),
    final_s=st.sampled_from((0.001, 0.024, 0.1, 0.3)),
    lag_ms=st.sampled_from((None, None, 0, 40, 100, 200, 300)),
    first_token_s=st.sampled_from((0.001, 0.09, 0.3, 1.0)),
    voice_s=st.sampled_from((0.001, 0.11, 0.5)),
    tool_s=st.sampled_from((0.0, 0.3, 1.0, 3.0)),
    before_tool=st.sampled_from(("", "Just a moment please.")),
    plain=st.booleans(),
    strategy=st.sampled_from((streamed(), streamed(), CHUNKED)),
    speculation=st.sampled_from((0.0, 0.5, 1.0, 1.0)),
)


@settings(max_examples=24, suppress_health_check=list(HealthCheck))
@given(scripts(), SETTINGS)
def test_whatever_happens_the_conversation_is_what_a_perfect_listener_would_write_down(
    script: list[Spoken], setting: Setting
) -> None:
    outcome = hold(script, setting)
    said = [word for word, _ in script if word]

    assert outcome.user_said.split() == said, "every word once, in order"
    assert all(map(is_valid, outcome.asked))
    assert "IN_PROGRESS" not in [message.get("content") for message in outcome.messages]
    assert "uu" not in outcome.roles, "what nothing was answered to is one message"
    assert outcome.answers, "there is an answer"
    assert outcome.answers == sorted(set(outcome.answers)), "no answer is given twice"
    last = outcome.messages[-1]["content"]
    assert last == f"Answer {outcome.answers[-1]} is what I have to say.", "the last one is heard to its end"
    assert outcome.answers[-1] == outcome.heard[-1]
    assert set(outcome.answers) <= set(outcome.heard), "what is written down was heard"
    for i, message in enumerate(outcome.messages):
        if message["role"] == "assistant" and (number := number_of(message.get("content") or "")):
            assert outcome.asked[number - 1] == outcome.messages[:i], "it answers the conversation before it"
    assert len(outcome.tools) == outcome.roles.count("t"), "a tool acts for what is written down alone"
