"""When words were said, estimated from the readings in which they first appeared."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.engines.moonshine_asr.emergence import Sighting, sighted, timed
from nemotron_speech.engines.moonshine_asr.vocabulary import SpokenWord


def words(text: str) -> list[SpokenWord]:
    return [SpokenWord(word, 0.9) for word in text.split()]


def frames(pattern: str) -> np.ndarray:
    return np.array([letter == "#" for letter in pattern])


def test_without_earlier_readings_time_is_shared_out_by_the_lengths_of_the_words() -> None:
    found = timed(words("aaa bbbbbbb"), [], frames("#" * 12), 1000)
    assert [(word.start_ms, word.end_ms) for word in found] == [(1000, 1120), (1120, 1360)]


def test_a_word_had_been_said_by_the_reading_in_which_it_first_appears() -> None:
    seen = [Sighting(10, ("turn",)), Sighting(30, ("turn", "on"))]
    found = timed(words("Turn on, please"), seen, frames("#" * 60), 0)
    assert [word.end_ms for word in found] == [300, 900, 1800]


def test_a_reading_whose_last_word_was_another_tells_nothing() -> None:
    wrong = [Sighting(10, ("tur",)), Sighting(20, ("turn", "off")), Sighting(50, ("turn", "on", "please"))]
    plain = timed(words("turn on please"), [], frames("#" * 60), 0)
    assert timed(words("turn on please"), wrong, frames("#" * 60), 0) == plain


def test_a_word_ends_before_a_pause_and_the_next_begins_after_it() -> None:
    seen = [sighted(10, words("Stop."))]
    stop, now = timed(words("stop now"), seen, frames("#" * 10 + "." * 40 + "#" * 10), 0)
    assert (stop.start_ms, stop.end_ms) == (0, 300)
    assert (now.start_ms, now.end_ms) == (1500, 1800)


@given(
    st.lists(st.sampled_from(["a", "turn", "Light.", "—"]), max_size=8),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 9)), max_size=6),
    st.lists(st.booleans(), max_size=120),
)
def test_words_are_in_order_and_within_the_window(
    said: list[str], readings: list[tuple[int, int]], spoken: list[bool]
) -> None:
    heard = [SpokenWord(word, 0.5) for word in said]
    seen = [sighted(end, heard[:count]) for end, count in sorted(readings)]
    found = timed(heard, seen, np.array(spoken, bool), 500)
    assert [word.text for word in found] == said
    starts = [word.start_ms for word in found]
    assert starts == sorted(starts)
    assert all(500 <= word.start_ms <= word.end_ms <= 500 + 30 * len(spoken) for word in found)
