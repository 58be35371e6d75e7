"""A segment comes in one piece only where what is queued plays until it is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.client.pace import MARGIN, RESERVE_S, Pace

SENTENCE = 60


def seen(work_per_audio: float, audio_s: float = 4.0) -> Pace:
    pace = Pace()
    pace.saw(SENTENCE, audio_s, work_per_audio * audio_s)
    return pace


def test_what_nothing_plays_before_is_streamed_however_fast_the_server_is() -> None:
    assert seen(0.0).mode(SENTENCE, queued_s=0.0) == "stream"


def test_a_server_not_seen_yet_is_taken_for_a_slow_one() -> None:
    assert Pace().mode(SENTENCE, queued_s=4.0) == "stream"
    assert seen(0.1).mode(SENTENCE, queued_s=4.0) == "batch"


@pytest.mark.parametrize("work_per_audio", [0.1, 0.45, 0.9])
def test_the_queue_has_to_last_as_long_as_the_work_with_a_margin(work_per_audio: float) -> None:
    needed_s = MARGIN * work_per_audio * 4.0 + RESERVE_S
    pace = seen(work_per_audio)
    assert pace.mode(SENTENCE, needed_s + 0.01) == "batch"
    assert pace.mode(SENTENCE, needed_s - 0.01) == "stream"
    assert pace.mode(2 * SENTENCE, needed_s + 0.01) == "stream"


def test_audio_that_was_asked_for_before_plays_first_and_has_to_be_made_first() -> None:
    assert seen(0.1).mode(SENTENCE, queued_s=0.5) == "stream"
    assert seen(0.1).mode(SENTENCE, queued_s=0.5, waiting_s=2.0) == "batch"
    assert seen(0.9).mode(SENTENCE, queued_s=6.0) == "batch"
    assert seen(0.9).mode(SENTENCE, queued_s=6.0, waiting_s=4.0) == "stream"


def test_a_server_that_becomes_slow_is_believed_at_once_and_one_that_becomes_fast_is_not() -> None:
    pace = seen(0.1)
    pace.saw(SENTENCE, 4.0, 4.0)
    assert pace.mode(SENTENCE, queued_s=4.0) == "stream"
    pace.saw(SENTENCE, 4.0, 0.4)
    assert pace.mode(SENTENCE, queued_s=4.0) == "stream"
    for _ in range(5):
        pace.saw(SENTENCE, 4.0, 0.4)
    assert pace.mode(SENTENCE, queued_s=4.0) == "batch"


def test_one_short_word_says_little_about_a_sentence() -> None:
    pace = seen(0.1)
    pace.saw(3, 0.4, 0.2)
    assert pace.audio_s(SENTENCE) < 5.0
    assert pace.mode(SENTENCE, queued_s=4.0) == "batch"


def test_a_segment_without_sound_teaches_nothing() -> None:
    pace = seen(0.1)
    pace.saw(SENTENCE, 0.0, 9.0)
    pace.saw(0, 1.0, 9.0)
    assert pace.mode(SENTENCE, queued_s=4.0) == "batch"


@given(
    st.lists(st.tuples(st.integers(1, 300), st.floats(0.05, 30), st.floats(0.0, 30)), min_size=1),
    st.floats(0.0, 30),
)
def test_what_is_expected_stays_within_what_was_seen(
    segments: list[tuple[int, float, float]], queued_s: float
) -> None:
    pace = Pace()
    for segment in segments:
        pace.saw(*segment)
    rates = [audio_s / characters for characters, audio_s, _ in segments]
    assert min(rates) * 0.999 <= pace.audio_s(1) <= max(rates) * 1.001
    if pace.mode(SENTENCE, queued_s) == "batch":
        assert pace.mode(SENTENCE, queued_s + 1.0) == "batch"
        assert pace.mode(SENTENCE // 2, queued_s) == "batch"
