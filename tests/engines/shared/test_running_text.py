"""A text that grows for hours costs as much per word as one that has just begun."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.engines.base import Word
from nemotron_speech.engines.nemo_asr.decode import DecodedToken
from nemotron_speech.engines.nemo_asr.text import TokenTranscript, TokenVocabulary
from nemotron_speech.engines.shared.running_text import (
    MOST_CHARACTERS,
    MOST_WORDS,
    RECENT_CHARACTERS,
    RunningText,
)
from nemotron_speech.engines.whisper_asr.local_agreement import LocalAgreement

PIECES = ["▁hel", "lo", "▁you", "ノ", "<0xE3>"]
HOUR_OF_WORDS = 9000


def vocabulary() -> TokenVocabulary:
    return TokenVocabulary(PIECES, lambda ids: "".join(PIECES[i] for i in ids).replace("▁", " ").strip())


def lines_run(function: Callable[[], object]) -> int:
    """Count the lines of the engines that `function` runs: work, without a clock."""
    lines = 0

    def count(frame: FrameType, event: str, argument: object) -> object:
        nonlocal lines
        lines += event == "line" and "nemotron_speech" in frame.f_code.co_filename
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        function()
    finally:
        sys.settrace(before)
    return lines


@given(st.lists(st.text("ab ", max_size=900), max_size=40))
def test_the_newest_part_and_its_place_are_those_of_the_whole(pieces: list[str]) -> None:
    text, said = RunningText(), ""
    for piece in pieces:
        text.append(piece)
        said += piece
        assert said == said[: text.offset] + text.recent
        assert min(len(said), RECENT_CHARACTERS) <= len(text.recent) <= 2 * RECENT_CHARACTERS
    assert text.whole == said[text.dropped :]


def test_beyond_an_hour_the_oldest_text_is_let_go_and_counted() -> None:
    text, said = RunningText(), ""
    for i in range(30_000):
        piece = f"word{i} "
        text.append(piece)
        said += piece
        assert len(text.whole) <= MOST_CHARACTERS if i % 1000 == 0 else True
    assert text.dropped > 0
    assert len(text.whole) > MOST_CHARACTERS - 4 * RECENT_CHARACTERS
    assert text.whole == said[text.dropped :]


def test_a_copy_grows_on_its_own() -> None:
    text = RunningText()
    for _ in range(3000):
        text.append("hello ")
    copy = text.copy()
    copy.append("you")
    assert (copy.whole, copy.offset) == (text.whole + "you", text.offset)


def test_a_step_of_an_hour_long_utterance_does_the_work_of_an_early_one() -> None:
    transcript = TokenTranscript(vocabulary(), frame_ms=80)
    work, sizes = [], []
    for i in range(HOUR_OF_WORDS):
        tokens = [DecodedToken(0, 5 * i, 0.9), DecodedToken(1, 5 * i + 1, 0.9)]
        if i % 1000 == 500:
            work.append(lines_run(lambda tokens=tokens: (transcript.extend(tokens), transcript.text)))
            sizes.append(len(transcript.text))
        else:
            transcript.extend(tokens)
    assert len(set(work)) == 1
    assert max(sizes) <= 2 * RECENT_CHARACTERS + len(" hello")
    whole, dropped = transcript.whole
    assert (whole, dropped) == (" ".join(["hello"] * HOUR_OF_WORDS), 0)
    assert whole[transcript.offset :] == transcript.text
    assert len(transcript.words) <= MOST_WORDS + 1
    assert transcript.words[-1].end_ms == 80 * (5 * (HOUR_OF_WORDS - 1) + 2)


def test_a_reading_of_an_hour_long_utterance_does_the_work_of_an_early_one() -> None:
    heard, work = LocalAgreement(), []
    for i in range(HOUR_OF_WORDS):
        first = max(i - 6, 0)
        buffer = [Word(f"w{k}", 400 * k, 400 * k + 400) for k in range(first, i + 2)]

        def step(buffer: list[Word] = buffer, start_ms: int = 400 * max(i - 5, 0)) -> None:
            heard.hear(buffer)
            heard.forget_audio(start_ms)

        if i > 2 * MOST_WORDS and i % 1000 == 500:
            work.append(lines_run(step))
        else:
            step()
    assert len(set(work)) == 1
    assert len(heard.committed) <= MOST_WORDS + 8
    text = heard.text.whole + heard.joined(heard.words[len(heard.committed) :])
    assert text == " ".join(f"w{k}" for k in range(HOUR_OF_WORDS + 1))


def test_writing_without_spaces_is_one_text_however_long() -> None:
    transcript = TokenTranscript(vocabulary(), frame_ms=80)
    decoded: list[int] = []
    decode = transcript._vocabulary.decode
    transcript._vocabulary.decode = lambda ids: (decoded.append(len(ids)), decode(ids))[1]
    for i in range(1000):
        transcript.extend([DecodedToken(3, i, 0.9)])
    assert transcript.text == "ノ" * 1000
    assert max(decoded) <= 64


def test_a_character_in_bytes_is_not_cut() -> None:
    transcript = TokenTranscript(vocabulary(), frame_ms=80)
    transcript.extend([DecodedToken(3, i, 0.9) for i in range(63)] + [DecodedToken(4, 64, 0.9)] * 4)
    assert len(transcript._open) == 67
