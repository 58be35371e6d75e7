"""Calls whose every part is made up: what is found in them is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from benchmarks.outside.judging import Findings, Judge, lost
from benchmarks.outside.lessons import GREETING, MS_PER_CHARACTER, Lesson, interrupted, ordinary, split
from benchmarks.outside.plan import Asked, Call, Record, Said
from benchmarks.outside.sound import FRAME, RATE, Track

SYSTEM = {"role": "system", "content": "Be brief."}
At = tuple[float, float, float]
"""Beginning of a sound in seconds, its length in seconds, its tone in Hz."""


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def bot(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def recorded(sounds: Sequence[At], seconds: float) -> Track:
    samples = np.zeros(round(seconds * 50) * FRAME, np.int16)
    for began, length, hz in sounds:
        first, count = round(began * RATE), round(length * RATE)
        samples[first : first + count] = np.sin(2 * np.pi * hz * np.arange(count) / RATE) * 10000
    return Track([0.02 * number for number in range(len(samples) // FRAME)], samples)


def spoken(lesson: Lesson, reply: int, at: float, sentences: int = 9) -> list[At]:
    """A reply from its beginning."""
    made: list[At] = []
    for sentence in lesson.replies[reply].sentences[:sentences]:
        length = len(sentence.text) * MS_PER_CHARACTER / 1000
        made.append((at, length, sentence.hz))
        at += length
    return made


def said(name: str, text: str, began: float, ended: float) -> Said:
    return Said(name, (text,), ((began, ended),))


HELLO = [(0.2, len(GREETING.text) * MS_PER_CHARACTER / 1000, GREETING.tones[0])]
LESSON = ordinary(["what time is it"])
QUESTION = said("ordinary", "what time is it", 3.0, 4.0)
REQUEST = Asked(4.2, (SYSTEM, bot(GREETING.text), user("what time is it")), wants_answer=True)


def judged(
    sounds: Sequence[At],
    asked: Sequence[Asked] = (REQUEST,),
    lesson: Lesson = LESSON,
    said: Sequence[Said] = (QUESTION,),
    events: Sequence[tuple[float, str, object]] = (),
) -> Findings:
    record = Record(0.0, 20.0, tuple(said), tuple(events))
    return Judge(lesson, Call(record, recorded(sounds, 20.0)), asked).judge()


def test_an_ordinary_turn() -> None:
    metrics = {"type": "turn-metrics", "voice_to_voice_ms": 450}
    answer = spoken(LESSON, 0, 4.5)
    found = judged([*HELLO, *answer], events=[(4.5, "server-message", metrics)])
    assert (found.greeted, found.answered, found.responses, found.contexts_right) == (1, 1, 1, 1)
    assert found.voice_to_voice_ms == [pytest.approx(500, abs=1)]
    assert found.outside_minus_inside_ms == [pytest.approx(50, abs=1)]
    assert (found.stale, found.spoke_over, found.gaps_ms, found.faults) == (0, 0, [], [])


def test_a_greeting_that_is_not_heard() -> None:
    found = judged(spoken(LESSON, 0, 4.5), [Asked(4.2, (SYSTEM, user("what time is it")), True)])
    assert (found.calls, found.greeted) == (1, 0)


def test_no_answer_and_an_answer_to_something_else() -> None:
    assert judged(HELLO).answered == 0
    assert judged([*HELLO, *spoken(LESSON, 1, 4.5)]).answered == 0
    half = Asked(4.2, (SYSTEM, bot(GREETING.text), user("what time")), wants_answer=True)
    found = judged([*HELLO, *spoken(LESSON, 0, 4.5)], [half])
    assert (found.answered, found.contexts_right) == (0, 0)


def test_a_warm_up_is_no_request() -> None:
    warm_up = Asked(4.1, REQUEST.messages, wants_answer=False)
    assert judged([*HELLO, *spoken(LESSON, 0, 4.5)], [warm_up, REQUEST]).requests == 1


def test_the_bot_that_begins_to_speak_into_the_users_voice() -> None:
    into = (3.4, 0.3, 1550.0 + 150)
    assert judged([*HELLO, into, *spoken(LESSON, 0, 4.5)]).spoke_over == 1
    at_once = (3.05, 0.3, 1550.0 + 150)
    assert judged([*HELLO, at_once, *spoken(LESSON, 0, 4.5)]).spoke_over == 0


def test_words_that_were_not_heard_and_are_claimed() -> None:
    lesson = ordinary(["what time is it", "thank you"])
    reply = lesson.replies[0]
    turns = [QUESTION, said("ordinary", "thank you", 9.0, 9.5)]
    second = Asked(9.6, (*REQUEST.messages, bot(reply.text), user("thank you")), wants_answer=True)
    whole = [*HELLO, *spoken(lesson, 0, 4.5), *spoken(lesson, 1, 10.0)]
    assert judged(whole, [REQUEST, second], lesson, turns).contexts_right == 2
    half = [*HELLO, *spoken(lesson, 0, 4.5, sentences=1), *spoken(lesson, 1, 10.0)]
    found = judged(half, [REQUEST, second], lesson, turns)
    assert (found.contexts, found.contexts_right) == (2, 1)
    assert "4 words of" in found.faults[0]
    assert "7 are claimed" in found.faults[0]


def test_sentences_that_were_synthesised_in_one_segment_were_heard() -> None:
    lesson = ordinary(["what time is it", "thank you"])
    reply = lesson.replies[0]
    turns = [QUESTION, said("ordinary", "thank you", 9.0, 9.5)]
    second = Asked(9.6, (*REQUEST.messages, bot(reply.text), user("thank you")), wants_answer=True)
    in_one = (4.5, len(reply.text) * MS_PER_CHARACTER / 1000, reply.tones[0])
    found = judged([*HELLO, in_one, *spoken(lesson, 1, 10.0)], [REQUEST, second], lesson, turns)
    assert found.contexts_right == 2


@pytest.mark.parametrize("text", ["Nonsense.", "Baxone  baxtwo baxthree baxfour baxfive."])
def test_words_that_the_bot_never_said(text: str) -> None:
    request = Asked(4.2, (SYSTEM, bot(text), user("what time is it")), wants_answer=True)
    assert judged([*HELLO, *spoken(LESSON, 0, 4.5)], [request]).contexts_right == 0


def test_the_mark_of_a_request_to_be_silent_claims_no_words() -> None:
    messages = (SYSTEM, user("stop it now"), bot("\N{EM DASH}"), user("what time is it"))
    found = judged([*HELLO, *spoken(LESSON, 0, 4.5)], [Asked(4.2, messages, wants_answer=True)])
    assert not [fault for fault in found.faults if "claimed" in fault]


LONG = interrupted(["where am I"])
STORY = said("long", "tell me a long story please", 3.0, 4.0)
BARGE_IN = said("barge-in", "where am I", 6.0, 6.8)
ASKED = Asked(4.2, (SYSTEM, user("tell me a long story please")), wants_answer=True)
ASKED_AGAIN = Asked(7.0, (*ASKED.messages, user("where am I")), wants_answer=True)


def barged_in(*more: At) -> Findings:
    old, new = (reply.tones[0] for reply in LONG.replies[:2])
    sounds = [*HELLO, (4.5, 1.78, old), (7.3, 1.0, new), *((at, s, old) for at, s, _ in more)]
    return judged(sounds, [ASKED, ASKED_AGAIN], LONG, [STORY, BARGE_IN])


def test_silence_after_an_interruption() -> None:
    found = barged_in()
    assert found.silent_after_ms == [pytest.approx(280, abs=1)]
    assert (found.stale, found.answered) == (0, 2)


def test_an_old_answer_that_comes_back_is_stale() -> None:
    found = barged_in((6.6, 0.02, 0))
    assert found.stale == 1
    assert found.silent_after_ms == [pytest.approx(280, abs=1)]


def test_a_pause_of_the_speaker_is_no_end() -> None:
    lesson = split([("remind me to", 1.0, "buy some milk")])
    parts = Said("split", ("remind me to", 1.0, "buy some milk"), ((3.0, 3.6), (4.6, 5.4)))
    both = Asked(5.6, (SYSTEM, user("remind me to buy some milk")), wants_answer=True)
    found = judged([*HELLO, *spoken(lesson, 0, 6.0)], [both], lesson, [parts])
    assert (found.answered, found.contexts_right, found.spoke_over) == (1, 1, 0)
    found = judged([*HELLO, (4.9, 0.2, 1700.0), *spoken(lesson, 0, 6.0)], [both], lesson, [parts])
    assert found.spoke_over == 1


def test_a_call_that_fails_is_one_without_answers() -> None:
    found = lost(LONG, "no bot-ready within 20 s")
    whole = barged_in()
    assert (found.calls, found.greeted, found.answered) == (1, 0, 0)
    assert found.turns == whole.turns + 1  # the three short ones were not said in that
    assert found.faults == ["interrupted: no bot-ready within 20 s"]


def test_findings_add_up() -> None:
    found = Findings()
    for _ in range(2):
        found.add(judged([*HELLO, *spoken(LESSON, 0, 4.5)]))
    assert (found.calls, found.turns, len(found.voice_to_voice_ms)) == (2, 2, 2)
