"""Sound leaves when it is due, can be held and resumed, and is forgotten when interrupted."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pipecat.frames.frames import EndFrame, Frame, OutputAudioRawFrame, TTSAudioRawFrame, TTSStoppedFrame

from pipecat_bots.playout import (
    HALF_S,
    LEAD_S,
    LONGEST_HOLD_S,
    MOST_LEAD_S,
    PIECE_S,
    SPARE_S,
    TAIL_S,
    Lateness,
    PlayoutBuffer,
)

RATE = 16000
PIECE = round(RATE * PIECE_S)


def sound(first: int, samples: int) -> TTSAudioRawFrame:
    """Samples that count on from `first`."""
    return TTSAudioRawFrame(np.arange(first, first + samples).astype(np.int16).tobytes(), RATE, 1)


def pop_all(reel: PlayoutBuffer, now: float) -> list[Frame]:
    """What is due now, asked in time."""
    frames = []
    while (frame := reel.pop(now + 1e-6)) is not None:
        frames.append(frame)
    return frames


def play(reel: PlayoutBuffer, start: float, end: float) -> list[Frame]:
    """What is due from `start` to `end`, asked often."""
    return [f for n in range(round((end - start) * 100) + 1) for f in pop_all(reel, start + n / 100)]


def samples(frames: Iterable[Frame]) -> list[int]:
    parts = [np.frombuffer(f.audio, np.int16) for f in frames if isinstance(f, OutputAudioRawFrame)]
    return np.concatenate(parts).tolist() if parts else []


def test_the_first_sound_leaves_at_once_with_as_much_as_the_lead() -> None:
    reel = PlayoutBuffer()
    reel.add(sound(0, RATE))
    assert samples(pop_all(reel, 5.0)) == list(range(round(LEAD_S * RATE)))


def test_the_rest_leaves_at_the_pace_of_real_time() -> None:
    reel = PlayoutBuffer()
    reel.add(sound(0, RATE))
    pop_all(reel, 5.0)
    assert math.isclose(reel.wait_s(5.0) or 0, PIECE_S, abs_tol=1e-5)
    assert len(samples(pop_all(reel, 5.0 + PIECE_S))) == PIECE
    assert len(samples(play(reel, 5.0 + PIECE_S, 5.5))) == round(0.5 * RATE) - PIECE


def test_what_follows_a_sound_leaves_with_it_and_what_is_no_sound_does_not_wait() -> None:
    reel = PlayoutBuffer()
    marker, after = EndFrame(), EndFrame()
    reel.add(marker)
    assert pop_all(reel, 0.0) == [marker]
    reel.add(sound(0, 2 * round(LEAD_S * RATE)))
    reel.add(after)
    assert after not in pop_all(reel, 0.0)
    assert after not in pop_all(reel, LEAD_S - PIECE_S)
    assert after in pop_all(reel, LEAD_S)


def test_a_held_reel_gives_silence_and_goes_on_with_the_very_next_sample() -> None:
    reel = PlayoutBuffer()
    reel.add(sound(1, RATE))
    played = samples(pop_all(reel, 0.0))
    reel.hold(0.0)
    held = samples(play(reel, 0.0, 0.5))
    assert len(held) == round(0.5 * RATE)
    assert set(held) == {0}
    reel.resume()
    assert samples(pop_all(reel, 0.5 + PIECE_S)) == list(range(played[-1] + 1, played[-1] + 1 + PIECE))


def test_a_hold_nobody_ends_ends_itself() -> None:
    reel = PlayoutBuffer()
    reel.add(sound(1, RATE))
    pop_all(reel, 0.0)
    reel.hold(0.0)
    assert set(samples(play(reel, 0.0, LONGEST_HOLD_S - 0.01))) == {0}
    assert 2000 in samples(play(reel, LONGEST_HOLD_S, LONGEST_HOLD_S + 0.1))


def test_a_reel_held_before_its_first_sound_keeps_it_back_in_silence() -> None:
    reel = PlayoutBuffer()
    reel.hold(1.0)
    reel.add(sound(1, RATE))
    assert pop_all(reel, 1.5) == []
    assert reel.wait_s(1.5) == LONGEST_HOLD_S - 0.5
    reel.resume()
    assert samples(pop_all(reel, 1.5))[0] == 1


def test_an_interruption_leaves_nothing_but_what_may_not_be_dropped() -> None:
    reel, end = PlayoutBuffer(), EndFrame()
    reel.add(sound(1, RATE))
    pop_all(reel, 0.0)
    reel.add(end)
    reel.hold(0.0)
    reel.interrupt()
    assert pop_all(reel, 0.1) == [end]
    reel.add(sound(7, PIECE))
    assert samples(pop_all(reel, 0.1))[0] == 7


def test_what_is_left_is_known_when_the_end_is() -> None:
    reel = PlayoutBuffer()
    assert reel.left_s(0.0) == 0
    reel.add(sound(0, RATE))
    assert math.isinf(reel.left_s(0.0))
    reel.add(TTSStoppedFrame())
    play(reel, 0.0, 0.25)
    assert math.isclose(reel.left_s(0.25), 0.75, abs_tol=1e-5)
    play(reel, 0.25, 2.0)
    assert reel.left_s(3.0) == 0


def test_a_late_sound_is_not_hurried() -> None:
    reel = PlayoutBuffer()
    reel.add(sound(0, PIECE))
    pop_all(reel, 0.0)
    reel.add(sound(0, RATE))
    assert len(samples(pop_all(reel, 3.0))) == round(LEAD_S * RATE)


def test_sound_that_nothing_follows_is_brought_out_by_a_little_silence_once() -> None:
    reel = PlayoutBuffer()
    reel.add(sound(1, 2 * PIECE + 10))
    played = samples(play(reel, 0.0, 3.0))
    assert played == [*range(1, 2 * PIECE + 11), *[0] * round(TAIL_S * RATE)]
    assert reel.wait_s(3.0) is None


def test_the_end_of_an_utterance_is_brought_out_by_the_transport_itself() -> None:
    reel = PlayoutBuffer()
    reel.add(sound(1, PIECE + 10))
    reel.add(TTSStoppedFrame())
    assert samples(play(reel, 0.0, 3.0)) == list(range(1, PIECE + 11))


def gaps(reel: PlayoutBuffer, late_s: float, seconds: float) -> list[float]:
    """Play on a machine that is late at every second call; return when silence came between sounds."""
    now, heard_until, found, calls = 0.0, 0.0, [], 0
    while now < seconds:
        for piece in pop_all(reel, now):
            assert isinstance(piece, OutputAudioRawFrame)
            if now - heard_until > 1e-3:
                found.append(now)
            heard_until = max(now, heard_until) + len(piece.audio) / 2 / RATE
        wait_s = reel.wait_s(now)
        assert wait_s is not None
        calls += 1
        late = late_s if calls % 2 else 0.0
        now += wait_s + late
        reel.woke(late, now)
    return found


def test_a_machine_within_the_lead_leaves_no_gap() -> None:
    reel = PlayoutBuffer()
    reel.add(sound(0, 10 * RATE))
    assert gaps(reel, LEAD_S - PIECE_S, 5.0) == []


def test_the_lead_grows_at_once_with_what_a_machine_is_late_and_leaves_no_second_gap() -> None:
    reel = PlayoutBuffer()
    reel.add(sound(0, 20 * RATE))
    (surprise,) = gaps(reel, MOST_LEAD_S - PIECE_S - 0.001, 10.0)
    assert surprise < 0.5


def test_the_lead_has_a_bound_and_is_forgotten_slowly() -> None:
    reel = PlayoutBuffer()
    assert reel.lead_s(0.0) == LEAD_S
    reel.woke(0.02, 0.0)
    assert reel.lead_s(0.0) == LEAD_S, "that much is in it"
    reel.woke(LEAD_S - SPARE_S + 0.03, 0.0)
    assert math.isclose(reel.lead_s(0.0), LEAD_S + 0.03)
    reel.woke(2.0, 1.0)
    assert reel.lead_s(1.0) == MOST_LEAD_S
    assert reel.lead_s(60.0) < MOST_LEAD_S
    assert reel.lead_s(120.0) == LEAD_S


def test_lateness_is_the_latest_and_halves() -> None:
    lateness = Lateness()
    lateness.note(0.08, 0.0)
    lateness.note(0.01, HALF_S)
    assert math.isclose(lateness.expected_s(HALF_S), 0.04)
    lateness.note(0.06, HALF_S)
    assert math.isclose(lateness.expected_s(2 * HALF_S), 0.03)


def test_a_lead_that_was_asked_for_is_the_least() -> None:
    reel = PlayoutBuffer(lead_s=0.3)
    reel.woke(5.0, 0.0)
    assert reel.lead_s(0.0) == 0.3


STEPS = st.lists(  # samples to add, hundredths of a second to wait
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 4000)),
        st.tuples(st.just("wait"), st.integers(0, 40)),
        st.sampled_from([("hold", 0), ("resume", 0), ("stop", 0), ("interrupt", 0)]),
    ),
    max_size=30,
)


@given(STEPS)
def test_what_is_played_is_what_was_given_in_order_and_once(steps: list[tuple[str, int]]) -> None:
    reel, now = PlayoutBuffer(), 0.0
    given_samples = played = 0
    for step, amount in [*steps, ("resume", 0), ("wait", 1100)]:
        new: list[int] = []
        match step:
            case "add":
                reel.add(_counted(given_samples, amount))
                given_samples += amount
            case "wait":
                new += samples(play(reel, now, now + amount / 100))
                now += amount / 100
            case "hold":
                reel.hold(now)
            case "resume":
                reel.resume()
            case "stop":
                reel.add(TTSStoppedFrame())
            case "interrupt":
                reel.interrupt()
                played = given_samples
        new = [n for n in new + samples(pop_all(reel, now)) if n]
        assert new == [_value(n) for n in range(played, played + len(new))]
        played += len(new)
    assert played == given_samples


def _value(number: int) -> int:
    return number % 30000 + 1


def _counted(first: int, amount: int) -> TTSAudioRawFrame:
    values = np.array([_value(n) for n in range(first, first + amount)], np.int16)
    return TTSAudioRawFrame(values.tobytes(), RATE, 1)
