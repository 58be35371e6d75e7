from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.responder.talk.understanding import Intent, IntentName, understand

ASKED = {
    IntentName.INTRODUCE: ["Greet the user.", "say hello and briefly introduce yourself"],
    IntentName.GREETING: ["hello", "Hi there!", "um good morning", "hey"],
    IntentName.OWN_NAME: ["what is your name", "what's you're name", "who are you", "are you a robot"],
    IntentName.ASK_NAME: ["what is my name", "do you know my name", "who am i"],
    IntentName.HOW_ARE_YOU: ["how are you", "hello how are you today", "how's it going"],
    IntentName.HEAR_ME: ["can you hear me", "hello are you there", "are you listening"],
    IntentName.HEARD: ["what did i say", "what did i just say"],
    IntentName.RESTART: ["start again", "please start over"],
    IntentName.TIME: [
        "what time is it",
        "can you tell me the time",
        "uh what's the time please",
        "time is it",
    ],
    IntentName.DATE: ["what is the date", "what's today's date", "which month is it"],
    IntentName.WEEKDAY: ["what day is it", "which day of the week is it", "what day is today"],
    IntentName.YEAR: ["what year is it", "which year are we in"],
    IntentName.CALCULATE: ["what is twelve times seven", "um how much is for plus for", "hello two plus two"],
    IntentName.AGAIN: [
        "say that again",
        "could you repeat that please",
        "pardon",
        "what did you say",
        "repeat",
    ],
    IntentName.STORY: ["tell me a story", "i would like to hear another story", "story"],
    IntentName.CONTINUE: ["go on", "please continue", "what happened next", "and then what", "more"],
    IntentName.HELP: ["help", "what can you do", "can you help me", "what can i say"],
    IntentName.STOP: ["stop", "be quiet", "please stop talking", "shut up", "that's enough", "wait a minute"],
    IntentName.THANKS: ["thanks", "thank you very much", "no thank you", "thank you for your help"],
    IntentName.GOODBYE: ["bye", "goodbye", "good night", "okay see you later", "thank you goodbye"],
    IntentName.YES: ["yes", "yeah sure", "yes please", "okay", "all right", "that's right"],
    IntentName.NO: ["no", "nope", "no not now", "i don't think so", "not really"],
    IntentName.NOTHING: ["", "   ", "...", "?!"],
    IntentName.UNKNOWN: [
        "who painted the mona lisa",
        "when does the bus stop at the station tomorrow",
        "five",
        "the quick brown fox",
        "\u4f60\u597d",
    ],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in ASKED.items() for text in texts])
def test_it_is_understood(name: IntentName, text: str) -> None:
    assert understand(text).name is name


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("my name is anna", Intent(IntentName.TELL_NAME, text="anna")),
        ("Hi, I'm Anna.", Intent(IntentName.TELL_NAME, text="anna")),
        ("please call me bob", Intent(IntentName.TELL_NAME, text="bob")),
        ("i am tom", Intent(IntentName.TELL_NAME, text="tom")),
        ("very well thank you and you", Intent(IntentName.MOOD, text="good")),
        ("hello i am fine", Intent(IntentName.MOOD, text="good")),
        ("i am not well", Intent(IntentName.MOOD, text="bad")),
        ("i'm very tired", Intent(IntentName.MOOD, text="bad")),
        ("repeat after me the cat sat", Intent(IntentName.REPEAT, text="the cat sat")),
        ("say hello world", Intent(IntentName.REPEAT, text="hello world")),
        ("spell banana", Intent(IntentName.SPELL, text="banana")),
        ("how do you spell the word necessary", Intent(IntentName.SPELL, text="necessary")),
        ("how is well spelled", Intent(IntentName.SPELL, text="well")),
        ("what day is tomorrow", Intent(IntentName.WEEKDAY, days=1)),
        ("what date was yesterday", Intent(IntentName.DATE, days=-1)),
        ("count to ten", Intent(IntentName.COUNT, first=1, last=10)),
        ("count from to to ate", Intent(IntentName.COUNT, first=2, last=8)),
        ("count from five", Intent(IntentName.COUNT, first=5, last=14)),
        ("count down from five", Intent(IntentName.COUNT, first=5, last=1)),
        ("count backwards from ten to three", Intent(IntentName.COUNT, first=10, last=3)),
        ("can you count", Intent(IntentName.COUNT)),
    ],
)
def test_what_the_answer_needs_is_found(text: str, intent: Intent) -> None:
    assert understand(text) == intent


@pytest.mark.parametrize(
    "text",
    [
        "Say hello and ask how you can help.",
        "Please say hello to the user and ask them how you may help today.",
        "Greet the user warmly and offer your assistance.",
        "Start by saying hello to the caller.",
        "Say hi and ask the caller how you can assist.",
        "Welcome the visitor.",
        "Start the conversation by introducing yourself.",
    ],
)
def test_a_bots_instruction_to_greet_is_no_text_to_repeat(text: str) -> None:
    assert understand(text).name is IntentName.INTRODUCE


@pytest.mark.parametrize(
    "text", ["say hello", "say good morning", "say hello to my mother", "how can you help"]
)
def test_what_a_caller_says_alike_is_no_such_instruction(text: str) -> None:
    assert understand(text).name is not IntentName.INTRODUCE


def test_an_unknown_request_is_carried_as_it_was_heard() -> None:
    assert understand("Who painted  the Mona Lisa?").text == "Who painted the Mona Lisa?"


NOISE = st.sampled_from(["um", "uh", "er", "please", "well", "okay"])


@given(
    st.sampled_from(
        [
            (name, text)
            for name, texts in ASKED.items()
            if name is not IntentName.NOTHING
            for text in texts[:1]
        ]
    ),
    st.lists(NOISE, max_size=3),
    st.lists(NOISE, max_size=3),
    st.booleans(),
)
def test_hesitations_and_case_change_nothing(
    case: tuple[IntentName, str], before: list[str], after: list[str], upper: bool
) -> None:
    name, text = case
    noisy = " ".join([*before, text, *after])
    assert understand(noisy.upper() if upper else noisy).name is name


@given(st.text(max_size=300))
def test_any_text_has_an_intent(text: str) -> None:
    assert understand(text).name in IntentName


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Wait, what time is it?", IntentName.TIME),
        ("stop what time is it", IntentName.TIME),
        ("hold on what is two plus two", IntentName.CALCULATE),
        ("Wait, what?", IntentName.AGAIN),
        ("stop it now goodbye", IntentName.GOODBYE),
        ("wait", IntentName.STOP),
        ("stop it now", IntentName.STOP),
        ("hold on a second", IntentName.STOP),
        ("stop the story", IntentName.STOP),
        ("stop counting", IntentName.STOP),
    ],
)
def test_a_question_behind_a_halt_is_a_question(text: str, name: IntentName) -> None:
    assert understand(text).name is name
