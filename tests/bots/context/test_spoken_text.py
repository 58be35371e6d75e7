from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipecat_bots.context.spoken_text import SpokenText, cut


@given(st.text(max_size=200))
def test_pieces_joined_are_the_text(text: str) -> None:
    heard = SpokenText(text)
    pieces = [heard.take() for _ in heard.timeline(1000)]
    assert "".join(pieces) == heard.text == text
    assert heard.unsaid == ""


@given(st.text(max_size=100), st.floats(0, 10000), st.integers(0, 20))
def test_pieces_end_in_order_and_within_the_audio(text: str, audio_ms: float, taken: int) -> None:
    heard = SpokenText(text)
    for _ in range(min(taken, len(heard.timeline(audio_ms)))):
        heard.take()
    ends = heard.timeline(audio_ms)
    assert ends == sorted(ends)
    assert all(0 <= end <= audio_ms for end in ends)


@given(st.lists(st.floats(0, 500), max_size=10), st.integers(0, 8000))
def test_cut_audio_joined_is_the_audio(ends_ms: list[float], samples: int) -> None:
    pcm = bytes(range(256)) * (2 * samples // 256) + bytes(2 * samples % 256)
    parts = cut(pcm, sorted(ends_ms), 100.0, 16000)
    assert b"".join(parts) == pcm
    assert len(parts) == len(ends_ms) + 1
    assert all(len(part) % 2 == 0 for part in parts)


def test_word_times_of_the_server_are_used_where_they_fit_the_text() -> None:
    heard = SpokenText("Hello — my friend.")
    assert heard.timeline(900, [("Hello", 0, 300), ("my", 350, 500), ("friend", 500, 850)]) == [
        300,
        300,
        500,
        850,
    ]
    assert heard.timeline(900, [("Hello", 0, 300)])[-1] == 900


def test_without_times_a_piece_is_due_rather_late() -> None:
    heard = SpokenText("Hello my friend.")
    assert heard.due(100) == 0
    assert heard.due(400) == 1
    heard.take()
    assert heard.due(400) == 0
    assert heard.due(10_000) == 2


def test_sound_that_begins_again_is_that_of_the_words_that_are_left() -> None:
    heard = SpokenText("One two three four.")
    assert heard.due(100, 10) == 2
    said = heard.take() + heard.take()
    heard.begin_again()
    assert heard.due(59, 10) == 0
    assert heard.due(60, 10) == 1
    assert heard.timeline(110) == [60, 110]
    assert heard.timeline(500, [("three", 0, 200), ("four", 200, 450)]) == [200, 450]
    assert (said, heard.unsaid, heard.text) == ("One two ", "three four.", "One two three four.")
