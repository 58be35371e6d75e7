"""Words and text from tokens."""

from __future__ import annotations

import pytest

from nemotron_speech.engines.nemo_asr.decode import DecodedToken
from nemotron_speech.engines.nemo_asr.text import TokenTranscript, TokenVocabulary

PIECES = ["<unk>", "▁hel", "lo", "▁you", ",", "▁!", "<EOU>", "<en-US>", "▁", "<0xC3>"]


def text_of(ids: list[int]) -> str:
    return "".join(PIECES[i] for i in ids).replace("▁", " ").removeprefix(" ")


@pytest.fixture
def transcript() -> TokenTranscript:
    return TokenTranscript(TokenVocabulary(PIECES, text_of, frozenset("!")), frame_ms=80)


def tokens(*ids: int, start: int = 0) -> list[DecodedToken]:
    return [DecodedToken(i, start + frame, 0.9 - frame / 10) for frame, i in enumerate(ids)]


def test_pieces_join_to_words_with_their_times(transcript: TokenTranscript) -> None:
    transcript.restart(1000)
    transcript.extend(tokens(1, 2, 3))
    assert transcript.text == "hello you"
    assert [(w.text, w.start_ms, w.end_ms, w.confidence) for w in transcript.words] == [
        ("hello", 1000, 1160, 0.8),
        ("you", 1160, 1240, 0.7),
    ]


def test_a_word_in_two_steps_is_one_word(transcript: TokenTranscript) -> None:
    transcript.extend(tokens(1))
    assert transcript.text == "hel"
    transcript.extend(tokens(2, start=5))
    assert transcript.text == "hello"
    assert [(w.start_ms, w.end_ms) for w in transcript.words] == [(0, 480)]


def test_punctuation_takes_no_space_before_it(transcript: TokenTranscript) -> None:
    transcript.extend(tokens(1, 2, 4, 3, 5))
    assert transcript.text == "hello, you!"


def test_marks_are_not_text_and_the_end_of_an_utterance_is_noticed(transcript: TokenTranscript) -> None:
    transcript.extend(tokens(7, 1, 2, 6))
    assert transcript.text == "hello"
    assert transcript.ended
    transcript.extend(tokens(2, start=9))
    assert (transcript.text, transcript.ended) == ("hello lo", False)


def test_looking_ahead_leaves_the_transcript_as_it_was(transcript: TokenTranscript) -> None:
    transcript.extend(tokens(1))
    ahead = transcript.extended(tokens(2, 3, start=1))
    assert (ahead.text, transcript.text) == ("hello you", "hel")
    transcript.extend(tokens(3, start=1))
    assert transcript.text == "hel you"
    assert ahead.text == "hello you"


def test_another_utterance_knows_nothing_of_the_last(transcript: TokenTranscript) -> None:
    transcript.extend(tokens(1, 2, 6))
    transcript.restart(500)
    assert (transcript.text, transcript.words, transcript.ended) == ("", (), False)


def test_each_word_is_decoded_a_bounded_number_of_times() -> None:
    decoded: list[int] = []

    def decode(ids: list[int]) -> str:
        decoded.append(len(ids))
        return text_of(ids)

    transcript = TokenTranscript(TokenVocabulary(PIECES, decode), frame_ms=80)
    for i in range(400):
        transcript.extend(tokens(1, 2, start=2 * i))
        assert transcript.text.endswith("hello")
    assert max(decoded) == 2
    assert len(decoded) <= 400 * 2
