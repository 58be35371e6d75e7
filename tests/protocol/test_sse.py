from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.errors import PeerError
from nemotron_speech.protocol.sse import MAX_EVENT_BYTES, SseEvent, SseParser

STREAM = (
    "\ufeff: a comment\r\n"
    "data: one\n\n"
    "event: note\ndata: two\ndata:  three \n\n"
    "data\n\n"
    "id: 4\nretry: 10\n\n"
    'error: {"message": "no"}\r\r'
    "data: caf\u00e9 \u2615\r\n\r\n"
    "data: unfinished"
).encode()
EVENTS = [
    SseEvent("one"),
    SseEvent("two\n three ", "note"),
    SseEvent(""),
    SseEvent('{"message": "no"}', "error"),
    SseEvent("caf\u00e9 \u2615"),
]


def test_a_stream_gives_its_whole_events() -> None:
    assert SseParser().feed(STREAM) == EVENTS


def test_the_event_that_the_end_left_open_is_given_once() -> None:
    parser = SseParser()
    parser.feed(STREAM)
    assert parser.finish() == [SseEvent("unfinished")]
    assert parser.finish() == []


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_any_split_of_the_bytes_gives_the_same_events(cuts: list[int]) -> None:
    parser, found, start = SseParser(), [], 0
    for cut in [*sorted(cuts), len(STREAM)]:
        found += parser.feed(STREAM[start:cut])
        start = cut
    assert found == EVENTS


LINE = st.sampled_from(["data: x", "data:y", "event: e", "", "", ": c", "error: z", "data"])


@given(st.lists(st.tuples(LINE, st.sampled_from(["\n", "\r", "\r\n"]))), st.integers(1, 7))
def test_any_line_ends_in_any_pieces_give_the_same_events(lines: list[tuple[str, str]], size: int) -> None:
    data = "".join(line + end for line, end in lines).encode()
    parser = SseParser()
    pieces = [event for at in range(0, len(data), size) for event in parser.feed(data[at : at + size])]
    assert pieces == SseParser().feed(data)


def test_an_event_without_end_is_refused_before_it_fills_the_memory() -> None:
    lines = (b"data: " + b"x" * 65530 + b"\n") * (MAX_EVENT_BYTES // 65530 + 2)
    with pytest.raises(PeerError):
        SseParser().feed(lines)
    with pytest.raises(PeerError):
        SseParser().feed(b"x" * (MAX_EVENT_BYTES + 1))


def test_many_events_in_one_read_are_no_event_without_end() -> None:
    data = b"data: " + b"x" * 1000 + b"\n\n"
    count = MAX_EVENT_BYTES // len(data) + 10
    assert len(SseParser().feed(data * count)) == count
