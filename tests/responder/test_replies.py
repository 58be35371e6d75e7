from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.responder.talk.replies import (
    ANSWERS,
    START_A_MODEL,
    WHO_I_AM,
    Turn,
    reply,
    say_time,
    say_year,
)
from nemotron_speech.responder.talk.stories import STORIES
from nemotron_speech.responder.talk.understanding import IntentName

NOW = datetime(2026, 11, 22, 14, 5)
SYSTEM = Turn("system", "You are a helpful voice assistant.")


class Conversation:
    """Turns so far; every answer is made from them alone."""

    def __init__(self) -> None:
        self.turns = [SYSTEM]

    def say(self, text: str) -> str:
        self.turns.append(Turn("user", text))
        answer = reply(self.turns, NOW)
        self.turns.append(Turn("assistant", answer))
        return answer


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("what time is it", "It is two oh five in the afternoon."),
        ("what's the date", "Today is Sunday, November twenty-second, twenty twenty-six."),
        ("what day is it tomorrow", "Tomorrow is Monday."),
        ("what year is it", "It is November twenty twenty-six."),
        ("what is twelve times seven", "Twelve times seven is eighty-four."),
        ("spell banana", "Banana is spelled B, A, N, A, N, A."),
        ("repeat after me the cat sat", "The cat sat."),
        ("count to five", "One, two, three, four, five."),
        ("count down from three", "Three, two, one."),
        ("what is my name", "You have not told me your name yet. Say: my name is, and then your name."),
        ("say that again", "I have not said anything yet."),
    ],
)
def test_it_answers(asked: str, answer: str) -> None:
    assert Conversation().say(asked) == answer


def test_it_greets_when_only_the_system_has_spoken() -> None:
    for turns in ([], [SYSTEM], [SYSTEM, Turn("developer", "Greet the user.")]):
        assert reply(turns, NOW).startswith(f"Hello! {WHO_I_AM}")


def test_it_says_that_it_is_no_language_model() -> None:
    assert "not a language model" in Conversation().say("what is your name")
    assert "not a language model" in Conversation().say("who painted the mona lisa")


def test_what_it_cannot_answer_it_says_with_what_it_heard_and_how_to_get_more() -> None:
    talk = Conversation()
    first = talk.say("who painted the mona lisa")
    assert "I heard: who painted the mona lisa." in first
    assert START_A_MODEL in first
    later = [talk.say("who painted the mona lisa") for _ in range(3)]
    assert len(set(later)) == 3
    assert all("who painted the mona lisa" in answer and START_A_MODEL not in answer for answer in later)


def test_a_long_text_is_not_read_back_whole() -> None:
    answer = Conversation().say("blue " * 200)
    assert answer.count("blue") == 12


def test_the_caller_is_greeted_by_the_name_given_earlier() -> None:
    talk = Conversation()
    assert talk.say("my name is anna") == "Nice to meet you, Anna! What can I do for you?"
    talk.say("what time is it")
    assert talk.say("what is my name") == "Your name is Anna. You told me so."
    assert talk.say("hello") == "Hello again, Anna! What can I do for you?"
    assert talk.say("goodbye").startswith("Goodbye, Anna!")


def test_nothing_is_remembered_but_what_the_messages_hold() -> None:
    Conversation().say("my name is anna")
    assert "Anna" not in Conversation().say("hello")


def test_the_last_answer_is_said_again() -> None:
    talk = Conversation()
    answer = talk.say("what is two plus two")
    assert talk.say("pardon") == answer


def test_what_the_caller_said_is_said_back() -> None:
    talk = Conversation()
    talk.say("What is two plus two?")
    assert talk.say("what did i say") == "You said: What is two plus two."


def test_a_story_starts_again() -> None:
    talk = Conversation()
    talk.say("tell me a story")
    story = talk.say("tell me another story")
    talk.turns[-1] = Turn("assistant", " ".join(story.split()[:20]))
    assert talk.say("start again") == story


def test_each_request_for_a_story_gives_another_one() -> None:
    talk = Conversation()
    assert {talk.say("tell me a story") for _ in STORIES} == set(STORIES)


@pytest.mark.parametrize("story", STORIES)
def test_stories_are_long_enough_to_be_interrupted_and_speakable(story: str) -> None:
    assert 150 <= len(story.split()) <= 200
    assert story.isascii()
    assert not set("*#_`[]()<>") & set(story)


@pytest.mark.parametrize("heard_words", [8, 30, 100])
def test_an_interrupted_story_goes_on_where_it_was_left(heard_words: int) -> None:
    talk = Conversation()
    story = talk.say("tell me a story")
    heard = " ".join(story.split()[:heard_words])
    talk.turns[-1] = Turn("assistant", heard)
    talk.say("stop")
    rest = talk.say("go on")
    assert story.endswith(rest)
    told = story[: story.index(rest)]
    assert heard.startswith(told.strip())


def test_a_story_told_to_its_end_does_not_go_on() -> None:
    talk = Conversation()
    talk.say("tell me a story")
    assert talk.say("go on").startswith("That was the end")
    assert Conversation().say("go on").startswith("I have nothing")


def test_a_request_in_two_pieces_is_understood_together() -> None:
    turns = [SYSTEM, Turn("user", "what is twenty five percent"), Turn("user", "of eighty")]
    assert reply(turns, NOW) == "Twenty-five percent of eighty is twenty."


def test_a_new_request_after_an_interruption_stands_alone() -> None:
    turns = [Turn("user", "tell me a story"), Turn("user", "what is two plus two")]
    assert reply(turns, NOW) == "Two plus two is four."


def test_counting_ends_at_a_hundred_numbers() -> None:
    answer = Conversation().say("count to a million")
    assert answer.endswith("one hundred. That is enough for now.")


def test_every_intent_has_an_answer() -> None:
    assert set(ANSWERS) == set(IntentName)


@pytest.mark.parametrize(
    ("hour", "minute", "spoken"),
    [
        (0, 0, "midnight"),
        (12, 0, "noon"),
        (0, 30, "twelve thirty at night"),
        (9, 0, "nine o'clock in the morning"),
        (12, 1, "twelve oh one in the afternoon"),
        (18, 45, "six forty-five in the evening"),
        (23, 59, "eleven fifty-nine at night"),
    ],
)
def test_the_time_of_day_is_said_as_people_say_it(hour: int, minute: int, spoken: str) -> None:
    assert say_time(datetime(2026, 1, 1, hour, minute)) == spoken


@pytest.mark.parametrize(
    ("year", "spoken"),
    [(2005, "two thousand and five"), (2026, "twenty twenty-six"), (1999, "nineteen ninety-nine")],
)
def test_years_are_said_as_people_say_them(year: int, spoken: str) -> None:
    assert say_year(year) == spoken


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant", "system", "tool"]), st.text(max_size=60))))
def test_any_conversation_has_an_answer_without_markup(turns: list[tuple[str, str]]) -> None:
    conversation = [Turn(role, text) for role, text in turns]
    answer = reply(conversation, NOW)
    assert answer.strip()
    assert answer == reply(conversation, NOW)
