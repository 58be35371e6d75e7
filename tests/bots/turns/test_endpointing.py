"""When a turn is over: words, prosody and silence together."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipecat_bots.turn_text.languages import LANGUAGES
from pipecat_bots.turns.endpointing import EndpointingDelays, TurnEnd

PATIENCE = EndpointingDelays()


def paused(*texts: str, probability: float | None = 0.9) -> TurnEnd:
    """A turn with these words, at the moment its pause is reported."""
    turn = TurnEnd()
    turn.speaks()
    turn.audio(1000)
    turn.voice(False)
    if probability is not None:
        turn.judged(probability)
    turn.audio(160)
    turn.pauses(200)
    for i, text in enumerate(texts):
        turn.said(text, is_last=i == len(texts) - 1)
    return turn


def over_after(turn: TurnEnd) -> float:
    """Further milliseconds of silence until it is over."""
    waited = 0.0
    while not turn.over:
        turn.audio(10)
        waited += 10
        assert waited < 5000, "it is never over"
    return waited


def test_a_turn_that_sounds_complete_is_over_with_its_transcript() -> None:
    assert over_after(paused("tell me a story")) == 0


def test_a_turn_is_not_over_before_its_transcript_is_there() -> None:
    turn = paused()
    assert not turn.over
    turn.said("tell me a story", is_last=True)
    assert turn.over


def test_a_turn_that_sounds_unfinished_is_waited_for_within_a_bound() -> None:
    waits = [over_after(paused("a story about dragons", probability=p)) for p in (0.49, 0.3, 0.1, 0.0)]
    assert waits == sorted(waits)
    assert waits[0] >= 150
    assert waits[-1] <= PATIENCE.most_ms - PATIENCE.sure_ms


def test_one_word_answers_do_not_wait_for_prosody() -> None:
    assert over_after(paused("yes", probability=0.1)) == 0


@pytest.mark.parametrize("text", ["my number is five five five", "a table for two and", "um"])
def test_a_pause_in_the_middle_is_waited_out_however_complete_it_sounds(text: str) -> None:
    assert over_after(paused(text, probability=0.95)) >= 1000


def test_a_sentence_that_lacks_something_is_given_more_time_than_a_number_that_may_be_whole() -> None:
    number, sentence, trailing = (
        over_after(paused(text, probability=0.95))
        for text in ("it is four nine two one", "can you tell me", "a table for two and")
    )
    assert number < 1200 < 1500 < sentence < trailing


def test_a_number_that_was_paused_in_is_given_time_for_another_pause() -> None:
    in_one_breath = paused("it is four nine two one", probability=0.95)
    in_groups = paused("it is four nine", "two one", probability=0.95)
    assert over_after(in_one_breath) < over_after(in_groups)
    assert over_after(paused("it is four nine", "seven six five four three", probability=0.95)) == 0


def test_prosody_that_is_not_known_yet_is_waited_for_a_while() -> None:
    turn = paused("tell me a story", probability=None)
    assert not turn.over
    turn.judged(0.9)
    assert turn.over


def test_a_voice_that_has_just_begun_keeps_the_turn_open_and_a_click_does_not_restart_its_wait() -> None:
    turn = paused("tell me a story", probability=0.4)
    turn.voice(True)
    turn.audio(3000)
    assert not turn.over
    turn.voice(False)
    assert turn.over


def test_going_on_makes_the_pause_count_for_nothing() -> None:
    turn = paused("tell me a story")
    turn.speaks()
    assert not turn.over
    turn.voice(False)
    turn.audio(160)
    turn.pauses(200)
    assert not turn.over
    turn.said("about dragons", is_last=True)
    assert turn.text == "tell me a story about dragons"
    turn.judged(0.8)
    assert turn.over


def test_a_transcript_of_an_earlier_pause_does_not_end_the_turn() -> None:
    turn = paused()
    turn.said("tell me", is_last=False)
    assert not turn.over


def test_a_transcript_that_never_comes_keeps_the_words_there_are_for_three_seconds() -> None:
    turn = paused("tell me a story")
    turn.speaks()
    turn.voice(False)
    turn.pauses(200)
    assert 2900 <= over_after(turn) <= 3100


def test_a_transcript_that_is_late_belongs_to_its_turn_and_ends_it_at_once() -> None:
    turn = paused("tell me a story")
    turn.speaks()
    turn.voice(False)
    turn.pauses(200)
    turn.judged(0.9)
    turn.audio(2900)
    assert not turn.over
    turn.said("about dragons", is_last=True)
    assert turn.over
    assert turn.text == "tell me a story about dragons"


def test_a_cough_after_words_leaves_the_turn_to_silence() -> None:
    turn = paused("tell me a story", probability=0.2)
    turn.speaks()
    turn.voice(False)
    turn.pauses(200)
    turn.said_nothing()
    assert 0 < over_after(turn) <= 700


def test_speech_too_soft_for_the_detector_ends_a_while_after_its_last_transcript() -> None:
    turn = TurnEnd()
    turn.audio(3000)
    turn.said("hello", is_last=False)
    turn.said("there you are", is_last=False)
    assert not turn.over
    assert over_after(turn) == PATIENCE.most_ms


HAPPENINGS: tuple[Callable[[TurnEnd], None], ...] = (
    lambda turn: turn.audio(20),
    lambda turn: turn.audio(900),
    lambda turn: turn.voice(True),
    lambda turn: turn.voice(False),
    lambda turn: turn.speaks(),
    lambda turn: turn.pauses(200),
    lambda turn: turn.judged(0.9),
    lambda turn: turn.said("hello", is_last=True),
    lambda turn: turn.said("hello and", is_last=False),
    lambda turn: turn.said_nothing(),
    lambda turn: turn.begin(),
    lambda turn: turn.end(),
)


@given(st.lists(st.sampled_from(HAPPENINGS), max_size=40))
def test_in_any_order_of_what_happens_a_turn_ends_with_words_in_silence_and_within_its_limits(
    happenings: list[Callable[[TurnEnd], None]],
) -> None:
    turn = TurnEnd()
    for happens in happenings:
        happens(turn)
        if turn.over:
            assert turn.text
            assert not turn.is_voiced
            assert not turn.is_speaking
    if turn.text and not turn.is_voiced and not turn.is_speaking:
        turn.audio(PATIENCE.sure_ms + PATIENCE.final_ms)
        assert turn.over


NUMBERS = ("seven", "zero", "oh", "double", "twenty", "hundred", "vingt", "sept", "zwei", "treinta", "meia")
WORDS = sorted(
    {word for table in LANGUAGES.values() for word in table.goes_on | table.starters | set(table.named)}
)
TEXTS = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from([*WORDS, *NUMBERS, "table", "want", "5", "05", "x", ",", "?", "l'"])).map(
        " ".join
    ),
)
LANGUAGE = st.sampled_from([*LANGUAGES, "ja", ""])


@given(TEXTS, LANGUAGE, st.one_of(st.none(), st.floats(min_value=0, max_value=1)))
def test_every_wait_is_bounded_whatever_is_said_and_heard(
    text: str, language: str, probability: float | None
) -> None:
    for patience in (PATIENCE, EndpointingDelays(longest_ms=400)):
        assert patience.sure_ms <= patience.wait_ms(text, probability, language) <= patience.longest_ms


@given(TEXTS, LANGUAGE, st.floats(min_value=0, max_value=1), st.floats(min_value=0, max_value=1))
def test_what_sounds_more_complete_is_never_waited_for_longer(
    text: str, language: str, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert PATIENCE.wait_ms(text, high, language) <= PATIENCE.wait_ms(text, low, language)


def test_the_language_of_a_turn_tells_how_its_words_are_read() -> None:
    turn = paused("ich fahre nach")
    assert turn.over
    turn.language = "de"
    assert not turn.over
