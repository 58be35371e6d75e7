"""Anything may happen while the bot speaks, in any order; holds and releases of the bot alternate."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from pipecat_bots.turn_text.phrases import Phrases
from pipecat_bots.turns.interruption import Interjection, InterruptionVerdict

Happening = Callable[[Interjection], InterruptionVerdict | None]

HAPPENINGS: tuple[Happening, ...] = (
    lambda it: it.audio(20.0),
    lambda it: it.audio(500.0),
    lambda it: it.voice(True),
    lambda it: it.voice(False),
    lambda it: it.speaks(),
    lambda it: it.pauses(),
    lambda it: it.text("mhm", is_last=True),
    lambda it: it.text("mhm", is_last=False),
    lambda it: it.text("what about Paris", is_last=True),
    lambda it: it.nothing_said(),
    lambda it: it.held(5.0),
    lambda it: it.bot_speaks(),
    lambda it: it.bot_stops(),
    lambda it: it.turn_ends(),
)


@given(st.lists(st.sampled_from(HAPPENINGS), max_size=40))
def test_a_bot_that_is_held_is_released_before_it_is_held_again(happenings: list[Happening]) -> None:
    it = Interjection(Phrases("mhm"))
    is_held = False
    for happens in happenings:
        verdict = happens(it)
        if verdict is InterruptionVerdict.HOLD:
            assert not is_held
            is_held = True
        elif (
            verdict in (InterruptionVerdict.RESUME, InterruptionVerdict.ASSENT, InterruptionVerdict.INTERRUPT)
            or happens is HAPPENINGS[-1]
        ):
            is_held = False
        if verdict is InterruptionVerdict.INTERRUPT:
            it.turn_begins()


@given(st.lists(st.sampled_from(HAPPENINGS), max_size=40))
def test_in_the_users_turn_nothing_is_held(happenings: list[Happening]) -> None:
    it = Interjection(Phrases("mhm"))
    it.bot_speaks()
    it.turn_begins()
    verdicts = [happens(it) for happens in happenings if happens is not HAPPENINGS[-1]]
    assert InterruptionVerdict.HOLD not in verdicts
