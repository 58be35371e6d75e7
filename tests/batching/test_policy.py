"""Who is in the next step."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.batching.policy import choose


@dataclass(frozen=True)
class Waiting:
    number: int
    urgency: float

    def due(self) -> float:
        return self.urgency


@given(st.lists(st.sampled_from((0.0, 1.0, 2.0))), st.integers(1, 5))
def test_the_most_urgent_are_chosen_and_equals_keep_their_order(urgencies: list[float], limit: int) -> None:
    waiting = [Waiting(number, urgency) for number, urgency in enumerate(urgencies)]
    assert choose(waiting, limit) == sorted(waiting, key=Waiting.due)[:limit]
