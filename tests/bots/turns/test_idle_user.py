from __future__ import annotations

from pipecat_bots.turns.idle_user import OBJECTION_S, IdlePlan, IdleUser

PLAN = IdlePlan(10.0, 20.0, "Are you there?", "Goodbye.")


class Session:
    """Notes what happens to it."""

    def __init__(self) -> None:
        self.events: list[str | float] = []

    async def say(self, text: str) -> None:
        self.events.append(text)

    async def wait(self, seconds: float) -> None:
        self.events.append(seconds)

    async def leave(self) -> None:
        self.events.append("left")


async def test_a_silent_user_is_asked_then_bidden_farewell_and_left() -> None:
    session = Session()
    user = IdleUser(PLAN, session.say, session.wait, session.leave)
    for _ in range(3):
        await user.silent()
    assert session.events == [20.0, "Are you there?", OBJECTION_S, "Goodbye.", "left"]


async def test_whoever_speaks_is_asked_again_after_the_next_silence() -> None:
    session = Session()
    user = IdleUser(PLAN, session.say, session.wait, session.leave)
    await user.silent()
    await user.silent()
    await user.spoke()
    await user.spoke()
    await user.silent()
    assert session.events[4:] == [10.0, 20.0, "Are you there?"]
