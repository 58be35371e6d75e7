from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipecat_bots.connections.replay_buffer import ReplayBuffer, UtteranceEnd

SECOND = 1000


def sent(journal: ReplayBuffer) -> list[bytes | UtteranceEnd]:
    items = []
    while (item := journal.next()) is not None:
        items.append(item)
    return items


def test_what_was_answered_is_not_said_again() -> None:
    journal = ReplayBuffer(SECOND)
    journal.speaking = True
    journal.audio(b"a")
    first = journal.mark()
    journal.audio(b"b")
    assert sent(journal) == [b"a", first, b"b"]
    journal.answered(first.number)
    journal.rewind()
    assert sent(journal) == [b"b"]


def test_silence_is_kept_for_a_second_and_speech_for_ten() -> None:
    journal = ReplayBuffer(SECOND)
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
    journal = ReplayBuffer(SECOND, limit_s=0.01)
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
    assert [item.number for item in sent(journal) if isinstance(item, UtteranceEnd)] == expected


def test_an_utterance_that_waits_is_not_pushed_out_by_the_silence_after_it() -> None:
    journal = ReplayBuffer(SECOND)
    journal.speaking = True
    for _ in range(40):
        journal.audio(b"a" * (SECOND // 10))
    journal.speaking = False
    mark = journal.mark()
    for _ in range(600):
        journal.audio(bytes(SECOND // 10))
    journal.rewind()
    kept = sent(journal)
    assert kept[:41] == [b"a" * (SECOND // 10)] * 40 + [mark]
    assert len(kept) == 41 + 10, "and a second of silence"


@given(
    st.lists(st.sampled_from(["audio", "mark", "answer", "next", "rewind", "speak", "pause"]), max_size=80)
)
def test_what_is_kept_is_bounded_and_sent_in_order_once(steps: list[str]) -> None:
    journal = ReplayBuffer(SECOND, limit_s=0.05, idle_s=0.02)
    taken: list[int] = []
    spoken = 0
    for step in steps:
        match step:
            case "audio":
                spoken += 1
                journal.audio(spoken.to_bytes(6, "big"))
            case "mark":
                journal.mark()
            case "answer" if journal.pending:
                journal.answered(journal.pending[0])
            case "next":
                item = journal.next()
                taken += [int.from_bytes(item, "big")] if isinstance(item, bytes) else []
            case "rewind":
                journal.rewind()
                taken = []
            case "speak":
                journal.speaking = True
            case "pause":
                journal.speaking = False
        assert taken == sorted(set(taken))
    journal.rewind()
    assert sum(len(item) for item in sent(journal) if isinstance(item, bytes)) <= 50
