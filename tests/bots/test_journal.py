from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipecat_bots.peers.journal import Journal, Mark

SECOND = 1000


def sent(journal: Journal) -> list[bytes | Mark]:
    items = []
    while (item := journal.next()) is not None:
        items.append(item)
    return items


def test_what_was_answered_is_not_said_again() -> None:
    journal = Journal(SECOND)
    journal.speaking = True
    journal.audio(b"a")
    first = journal.mark()
    journal.audio(b"b")
    assert sent(journal) == [b"a", first, b"b"]
    journal.answered(first.number)
    journal.rewind()
    assert sent(journal) == [b"b"]


def test_silence_is_kept_for_a_second_and_speech_for_ten() -> None:
    journal = Journal(SECOND)
    for _ in range(50):
        journal.audio(bytes(SECOND // 10))
    journal.rewind()
    assert sum(map(len, sent(journal))) == SECOND  # type: ignore[arg-type]
    journal.speaking = True
    for _ in range(500):
        journal.audio(bytes(SECOND // 10))
    journal.rewind()
    assert sum(map(len, sent(journal))) == 10 * SECOND  # type: ignore[arg-type]


@given(st.lists(st.sampled_from(["audio", "mark", "answer", "send", "rewind"]), max_size=60))
def test_marks_are_never_lost_before_their_answer(steps: list[str]) -> None:
    journal = Journal(SECOND, limit_s=0.01)
    journal.speaking = True
    expected: list[int] = []
    for step in steps:
        match step:
            case "audio":
                journal.audio(bytes(6))
            case "mark":
                expected.append(journal.mark().number)
            case "answer" if expected:
                journal.answered(expected.pop(0))
            case "send":
                journal.next()
            case "rewind":
                journal.rewind()
        assert list(journal.pending) == expected
    journal.rewind()
    assert [item.number for item in sent(journal) if isinstance(item, Mark)] == expected
